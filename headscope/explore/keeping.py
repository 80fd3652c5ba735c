"""A prompt of the page, kept in a profile folder of one's own.

1. A folder that is not there yet, or is empty, is made: ``profile.yaml`` with the words and readouts of the profile
   that the page asks, ``prompts.jsonl`` with its control prompts.
2. The prompt is one more line of ``prompts.jsonl``. A concept that the folder does not have yet is one more block at
   the end of ``profile.yaml``, whose last key is ``concepts``; nothing that stands there is written anew.
3. The folder as it would be is read, as ``load_profile`` reads it, in a place of its own. Only then is anything
   written, each file in one step; what cannot be read is told and changes nothing.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headscope.errors import ProfileError, RequestError
from headscope.profiles.conversations import as_given
from headscope.profiles.files import expanded, inside, read_text
from headscope.profiles.loading import YAML_NAME, load_profile
from headscope.profiles.schema import FORMAT
from headscope.profiles.types import Concept, Lexicon, Profile, Prompt
from headscope.profiles.yaml_reading import read_yaml
from headscope.runs.atomic import write_text_atomic

PROMPTS_NAME = "prompts.jsonl"
_NOT_IN_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Kept:
    """Where a prompt went, and a sentence that says so."""

    path: Path
    sentence: str


def keep(folder: Path, profile: Profile, concept: str, prompt: Prompt) -> Kept:
    """Add a prompt's text, or its conversation, to the profile in ``folder``, under a concept of ``profile``.

    Raises:
        RequestError: ``profile`` asks tasks or has no such concept, or the prompt stands in the folder already.
        ProfileError: the folder holds something else, or would not be a profile with this prompt; nothing was written.
    """
    asked = profile.concepts[profile.chosen(concept)[0]]
    if asked.is_task:
        raise RequestError(
            "a prompt of a task needs its answers, which the page does not know",
            fix="write it into the profile's file yourself (docs/tasks.md)",
        )
    folder = expanded(folder)
    is_new = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    yaml_text, rows, file = _begun(profile, asked, folder) if is_new else _present(folder)
    there = None if is_new else load_profile(folder)
    present = profile.controls if there is None else there.prompts
    row = _new_row(asked.name, prompt, present)
    if there is not None and asked.name not in there.concepts:
        yaml_text = f"{yaml_text.rstrip()}\n{textwrap.indent(_yaml({asked.name: _section(asked)}), '  ')}"
    rows = f"{rows}\n" if rows and not rows.endswith("\n") else rows
    rows = f"{rows}{json.dumps(row, ensure_ascii=False)}\n"
    after = _proved(yaml_text, rows, file, row["id"], there)
    write_text_atomic(inside(folder, file), rows)
    write_text_atomic(inside(folder, YAML_NAME), yaml_text)
    count = len(after.prompts_of(asked.name))
    return Kept(
        folder / file,
        f"Kept as {row['id']} in {folder / file}, which holds {count} {'prompt' if count == 1 else 'prompts'} of "
        f"{asked.name}; headscope profiles check {shlex.quote(str(folder))} tells whether they can show anything.",
    )


def _new_row(concept: str, new: Prompt, present: Sequence[Prompt]) -> dict[str, Any]:
    """The line of a prompt, under an id that no other has.

    Raises:
        RequestError: it stands there already.
    """
    for prompt in present:
        if (prompt.text, prompt.roles) == (new.text, new.roles):
            raise RequestError(f"the prompt is there already, as {prompt.id}", fix="nothing was written")
    taken = {prompt.id for prompt in present}
    label = next(name for number in itertools.count(1) if (name := f"{concept}-{number:03d}") not in taken)
    return {"id": label, "concept": concept} | _said(new)


def _begun(profile: Profile, asked: Concept, folder: Path) -> tuple[str, str, str]:
    """The files of a new folder, without the prompt, and the name of the file of prompts."""
    name = _NOT_IN_NAME.sub("-", folder.resolve().name).strip("-_.")[:64] or "explored"
    content = {
        "format": FORMAT,
        "name": name,
        "description": f"Prompts tried in headscope explore; words, readouts and controls of {profile.name}.",
        "language": profile.language,
        "control": profile.control,
        "prompts": PROMPTS_NAME,
        "readouts": list(profile.readouts),
        **({"reference_words": list(profile.reference_words)} if profile.reference_words else {}),
        "concepts": {asked.name: _section(asked)},  # last, because more are written behind it
    }
    rows = [json.dumps(_control_row(prompt), ensure_ascii=False) + "\n" for prompt in profile.controls]
    return _yaml(content), "".join(rows), PROMPTS_NAME


def _present(folder: Path) -> tuple[str, str, str]:
    """The files of a folder that is a profile, and the name of the file of prompts."""
    if not (folder / YAML_NAME).is_file():
        raise ProfileError(
            "the folder for prompts holds other files",
            expected=f"a new or empty folder, or a profile with a {YAML_NAME}",
            where=str(folder),
            fix="name another folder (--keep)",
        )
    path = inside(folder, YAML_NAME)
    content, _ = read_yaml(path)
    file = content.get("prompts") if isinstance(content, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(file, str) or not file.endswith(".jsonl"):
        raise ProfileError(
            "the profile in the folder keeps its prompts in another form",
            expected="one file of prompts that ends in .jsonl",
            got=str(file),  # pyright: ignore[reportUnknownArgumentType]
            where=str(path),
            fix="name another folder (--keep)",
        )
    return read_text(path), read_text(inside(folder, file)), file


def _proved(yaml_text: str, rows: str, file: str, label: str, before: Profile | None) -> Profile:
    """The profile as it would be, read from a place of its own.

    Raises:
        ProfileError: it would be none, or the prompts that are there would be others.
    """
    with tempfile.TemporaryDirectory(prefix="headscope-keep-") as place:
        folder = Path(place)
        path = inside(folder, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rows, encoding="utf-8", newline="")
        (folder / YAML_NAME).write_text(yaml_text, encoding="utf-8", newline="")
        try:
            after = load_profile(folder)
        except ProfileError as error:
            raise ProfileError(
                f"the prompt cannot be kept: {error.problem}",
                **{name: error.facts[name] for name in ("expected", "got") if name in error.facts},
                fix="nothing was written",
            ) from error
    # Where the user moved the keys of profile.yaml, a block at its end may be read as something else.
    if before is not None and [one for one in after.prompts if one.id != label] != list(before.prompts):
        raise ProfileError(
            "the prompt cannot be kept: those that are there would be read otherwise", fix="nothing was written"
        )
    return after


def _section(concept: Concept) -> dict[str, Any]:
    return {"lexicon": _words(concept.lexicon), "control_lexicon": _words(concept.control_lexicon)}


def _words(lexicon: Lexicon) -> dict[str, list[str]]:
    return {part: list(words) for part, words in lexicon.by_part_of_speech.items()}


def _control_row(prompt: Prompt) -> dict[str, Any]:
    row = {"id": prompt.id, "concept": prompt.concept} | _said(prompt)
    row |= {} if prompt.span is None else {"span": as_given(prompt.span, prompt)}
    return row | ({} if prompt.template is None else {"template": prompt.template})


def _said(prompt: Prompt) -> dict[str, Any]:
    turns = [{"role": role, "content": content} for role, content in prompt.turns]
    return {"messages": turns} if prompt.messages else {"text": prompt.text}


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=110)
