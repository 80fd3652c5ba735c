"""``load_profile``: from a bundled name, a folder or a file to a checked profile.

A folder with ``profile.yaml`` is a profile. A folder without one is the Phase 6 study's data folder: every
``<class>_prompts.json`` (or another form of ``formats``) in it is a class. A single file of prompts holds one class,
named by the file, or names the class on every row. Concepts the bundled profile knows take its lexicon there.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import regex
from pydantic import ValidationError

from headscope.errors import ProfileError
from headscope.profiles import tasks
from headscope.profiles.assembling import Draft, assemble, build
from headscope.profiles.columns import Reading
from headscope.profiles.explaining import Place, first_misfit
from headscope.profiles.files import expanded, inside
from headscope.profiles.formats import SUFFIXES, RawPrompt, read_prompts
from headscope.profiles.schema import ProfileFile, WordsByPart
from headscope.profiles.types import Lexicon, Profile
from headscope.profiles.yaml_reading import read_yaml

BUILTIN = Path(__file__).parent / "builtin"
DEFAULT = "baseline"
DEFAULT_CONTROL = "neutral"
YAML_NAME = "profile.yaml"

_CLASS_FILE = regex.compile(r"^(?P<name>[^\W_][\w\p{M}.-]*?)(?:_prompts)?$")
_CLASS_FILE_IN_FOLDER = regex.compile(
    rf"^(?P<name>[^\W_][\w\p{{M}}.-]*)_prompts(?:{'|'.join(map(regex.escape, SUFFIXES))})$"
)
_NOT_IN_NAME = regex.compile(r"[^\w\p{M}.-]+")


def load_profile(name_or_path: str | Path, *, strict: bool = False, reading: Reading | None = None) -> Profile:
    """Read and check a profile.

    Args:
        name_or_path: name of a bundled profile (``"baseline"``), a profile folder, the study's data folder, a
            ``profile.yaml``, or a single file of prompts. A folder named like a bundled profile is written
            ``"./baseline"``.
        strict: near-duplicates are errors, as they always are in bundled profiles.
        reading: which column of its files is what, and whether exact repeats are left out.

    Raises:
        ProfileError: no such profile, or it is malformed or contradicts itself.
    """
    reading = reading or Reading()
    if _is_bundled(name_or_path, reading):
        return _bundled(str(name_or_path))
    return assemble(_draft_of(expanded(name_or_path), reading), _default, strict=strict)


def unchecked_profile(name_or_path: str | Path, reading: Reading | None = None) -> tuple[Profile, dict[str, str]]:
    """A profile before it is checked, and where each of its prompts came from, by id; for ``catalog.findings``.

    Raises:
        ProfileError: no such profile, or it cannot be read.
    """
    reading = reading or Reading()
    if _is_bundled(name_or_path, reading):
        return build(_draft_of_folder(BUILTIN / name_or_path, reading, source="bundled"), None)
    return build(_draft_of(expanded(name_or_path), reading), _default)


def bundled_names() -> tuple[str, ...]:
    """Names of the bundled profiles, sorted."""
    return tuple(sorted(folder.name for folder in BUILTIN.iterdir() if (folder / YAML_NAME).is_file()))


@functools.cache
def _bundled(name: str) -> Profile:
    return assemble(_draft_of_folder(BUILTIN / name, Reading(), source="bundled"), None, strict=True)


def _default() -> Profile:
    return _bundled(DEFAULT)


def _is_bundled(name_or_path: str | Path, reading: Reading) -> bool:
    is_bundled = isinstance(name_or_path, str) and name_or_path in bundled_names()
    if is_bundled and reading.names_columns:
        raise ProfileError(
            f"the bundled profile {name_or_path} has no columns to name",
            expected="a file of prompts",
            got=f"text column {reading.text_column}, label column {reading.label_column}",
            fix="leave out --text-column and --label-column, or name a file",
        )
    return is_bundled


def _draft_of(path: Path, reading: Reading) -> Draft:
    try:
        draft = _draft_of_path(path, reading)
    except OSError as error:  # a folder without permission, a name too long
        raise ProfileError("profile cannot be read", got=error.strerror, where=str(path)) from error
    draft.drop_duplicates = reading.drop_duplicates
    return draft


def _draft_of_path(path: Path, reading: Reading) -> Draft:
    if path.is_dir():
        has_yaml = (path / YAML_NAME).exists()
        return _draft_of_folder(path, reading) if has_yaml else _draft_of_data_folder(path, reading)
    if not path.exists():
        raise _no_such_profile(str(path))
    if path.suffix.lower() in (".yaml", ".yml"):
        return _draft_of_folder(path.parent, reading, path.name)
    return _draft_of_file(path, reading)


def _draft_of_folder(folder: Path, reading: Reading, yaml_name: str = YAML_NAME, source: str | None = None) -> Draft:
    path = inside(folder, yaml_name)
    data, lines = read_yaml(path)
    try:
        content = ProfileFile.model_validate(data)
    except ValidationError as error:
        misfit = first_misfit(error, data)
        raise ProfileError(
            f"{misfit.name} has the wrong shape",
            expected=misfit.expected,
            got=misfit.got,
            where=f"{path}, line {_line(lines, misfit.place)}",
            fix="docs/profiles.md shows the format; text that YAML reads as a number or as yes/no goes in quotes",
        ) from error
    notes: list[str] = []
    control = content.control or (tasks.CONTROL if content.tasks else DEFAULT_CONTROL)
    prompts = _prompts_of_folder(folder, content, control, reading, notes)
    return Draft(
        name=content.name,
        source=source or str(folder),
        description=content.description,
        language=content.language,
        control=control,
        tasks={name: section.description for name, section in content.tasks.items()},
        lexicons=dict.fromkeys(content.tasks, Lexicon({}))
        | {name: _lexicon(section.lexicon) for name, section in content.concepts.items()},
        control_lexicons={
            name: None if words is None else _lexicon(words)
            for name, section in content.concepts.items()
            for words in (section.control_lexicon or content.control_lexicon,)
        },
        prompts=prompts,
        readouts=None if content.readouts is None else tuple(content.readouts),
        reference_words=tuple(content.reference_words),
        notes=notes,
    )


def _prompts_of_folder(
    folder: Path, content: ProfileFile, control: str, reading: Reading, notes: list[str]
) -> list[tuple[str, RawPrompt]]:
    asked = (*content.concepts, *content.tasks)
    known = (*asked, control)
    if isinstance(content.prompts, str):
        only = asked[0] if len(asked) == 1 else None
        found = read_prompts(inside(folder, content.prompts), reading)
        notes += found.notes
        return [(_class_of(raw, only, known), raw) for raw in found.rows]
    prompts: list[tuple[str, RawPrompt]] = []
    for name, file in content.prompts.items():
        if name not in known:
            raise ProfileError(
                f'prompts are given for the unknown class "{name}"',
                expected=", ".join(known),
                got=name,
                where=str(folder / YAML_NAME),
            )
        rows, read = of_class(name, inside(folder, file), reading)
        prompts += rows
        notes += read
    return prompts


def _draft_of_data_folder(folder: Path, reading: Reading) -> Draft:
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if match := _CLASS_FILE_IN_FOLDER.match(file.name):
            name = match["name"]
            if name in files:
                raise ProfileError(
                    f"two files hold the prompts of {name}",
                    got=f"{files[name].name} and {file.name}",
                    where=str(folder),
                )
            files[name] = inside(folder, file.name)
    control = _default().control
    if not set(files) - {control}:
        raise ProfileError(
            "folder holds no profile",
            expected=f"{YAML_NAME}, or files named like gratitude_prompts.json",
            got=", ".join(sorted(file.name for file in folder.iterdir())[:5]) or "an empty folder",
            where=str(folder),
            fix="headscope profiles new makes a folder to fill in",
        )
    found = [of_class(name, file, reading) for name, file in files.items()]
    rows = [row for prompts, _ in found for row in prompts]
    notes = [note for _, read in found for note in read]
    return _draft_of_classes(_as_name(folder.resolve().name), str(folder), rows, notes)


def _draft_of_file(path: Path, reading: Reading) -> Draft:
    match = _CLASS_FILE.match(path.stem)
    own = match["name"] if match else None
    found = read_prompts(path, reading)
    rows = [(raw.row.concept or _class_of(raw, own, None), raw) for raw in found.rows]
    return _draft_of_classes(_as_name(path.stem), str(path), rows, found.notes)


def _draft_of_classes(name: str, source: str, prompts: list[tuple[str, RawPrompt]], read: list[str]) -> Draft:
    """A draft of prompts alone: what the bundled profile knows of their classes is taken from it."""
    bundled = _default()
    if any(raw.row.answers for _, raw in prompts):
        return _draft_of_tasks(name, source, prompts, read)
    found = dict.fromkeys(concept for concept, _ in prompts if concept != bundled.control)
    ordered = [
        *(concept for concept in bundled.concepts if concept in found),
        *(c for c in found if c not in bundled.concepts),
    ]
    if not ordered:
        raise ProfileError("file holds no concept", expected="prompts of a concept", got=bundled.control, where=source)
    notes = list(read)
    for concept in ordered:
        if concept in bundled.concepts:
            notes.append(f"{concept}: the words of the bundled profile {bundled.name} serve as its lexicon")
        else:
            notes.append(f"{concept}: no lexicon is known; headscope profiles new makes a profile that can hold one")
    return Draft(
        name=name,
        source=source,
        control=bundled.control,
        lexicons={c: bundled.concepts[c].lexicon if c in bundled.concepts else Lexicon({}) for c in ordered},
        control_lexicons={c: bundled.concepts[c].control_lexicon for c in ordered if c in bundled.concepts},
        prompts=prompts,
        notes=notes,
    )


def _draft_of_tasks(name: str, source: str, prompts: list[tuple[str, RawPrompt]], read: list[str]) -> Draft:
    """A draft of rows with answers: every class but the control is a task."""
    has_partners = any(raw.row.corrupted is not None or raw.row.pair is not None for _, raw in prompts)
    control = tasks.CONTROL if has_partners else DEFAULT_CONTROL
    found = dict.fromkeys(task for task, _ in prompts if task != control)
    return Draft(
        name=name, source=source, control=control, lexicons=dict.fromkeys(found, Lexicon({})),
        tasks=dict.fromkeys(found, ""), prompts=prompts, readouts=(), notes=list(read),
    )  # fmt: skip


def of_class(name: str, file: Path, reading: Reading) -> tuple[list[tuple[str, RawPrompt]], list[str]]:
    """The prompts of a file that holds one class, and the notes on it."""
    found = read_prompts(file, reading, name)
    return [(_class_of(raw, name, (name,)), raw) for raw in found.rows], found.notes


def _class_of(raw: RawPrompt, default: str | None, known: Sequence[str] | None) -> str:
    name = raw.row.concept or default
    if name is None:
        raise ProfileError(
            "row names no concept",
            expected=f'"concept": one of {", ".join(known)}'
            if known
            else '"concept" on every row, or in the file\'s name',
            where=raw.origin,
        )
    if known is not None and name not in known:
        raise ProfileError(
            f'row belongs to the unknown concept "{name}"', expected=", ".join(known), got=name, where=raw.origin
        )
    return name


def _lexicon(words: WordsByPart | list[str]) -> Lexicon:
    parts = words if isinstance(words, dict) else {"word": words}
    return Lexicon({part: tuple(dict.fromkeys(entries)) for part, entries in parts.items()})


def _line(lines: Mapping[Place, int], place: Place) -> int:
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _as_name(text: str) -> str:
    return _NOT_IN_NAME.sub("-", text).strip("-_.")[:64] or "profile"


def _no_such_profile(name: str) -> ProfileError:
    names = bundled_names()
    near = difflib.get_close_matches(name, names, n=1)
    return ProfileError(
        f'profile "{name}" does not exist',
        expected=f"a bundled profile ({', '.join(names)}), a profile folder, or a file of prompts",
        got=name,
        fix=f'did you mean "{near[0]}"?' if near else "headscope profiles list names the bundled ones",
    )
