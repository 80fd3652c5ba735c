"""``headscope profiles import``: a file of tasks of anyone's making becomes a profile folder.

1. The file is read as a table (``sources``), and its kind found (``registry``).
2. Its importer makes rows of the records. What cannot be asked is left out, with the reason: a prompt without an
   answer, an answer that is also a foil or begins one, a corrupted prompt that is the same text, a prompt that stands
   there already, a text that a profile's files may not hold.
3. Templates are given or found (``templates``). With a limit, the rows are drawn from all templates in turn.
4. The folder is written and read as any profile before it takes its place; nothing is left where that fails.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import regex
from pydantic import ValidationError

from headscope.errors import ProfileError
from headscope.profiles.columns import Table
from headscope.profiles.explaining import first_misfit
from headscope.profiles.files import PROMPT_LIMIT_CHARACTERS, expanded
from headscope.profiles.importing.cells import shortened
from headscope.profiles.importing.kinds import Importer, Left, TaskRow, Wanted
from headscope.profiles.importing.templates import template_ids
from headscope.profiles.loading import DEFAULT_CONTROL, YAML_NAME, load_profile
from headscope.profiles.schema import FORMAT, PromptRow
from headscope.profiles.task_checks import is_beginning
from headscope.profiles.tasks import CONTROL
from headscope.profiles.types import Profile
from headscope.profiles.validation import RESERVED_NAMES
from headscope.profiles.words import folded_words
from headscope.random_streams import generator

EXAMPLES_SHOWN = 3
PROMPTS_NAME = "prompts.jsonl"
_NOT_IN_NAME = regex.compile(r"[^\p{Alphabetic}\p{M}\p{Nd}_.-]+")
_NOT_AT_START = regex.compile(r"^[^\p{Alphabetic}\p{Nd}]+")


@dataclass(frozen=True)
class Imported:
    """Rows of a profile, made of a file.

    Attributes:
        kind: of the file.
        name: of the profile.
        rows: by task, each as a line of ``prompts.jsonl``.
        left: reason -> where each record that is left out stands and what it has.
        n_templates: how many templates there are.
        n_found: rows whose template was found by their text.
        n_equal, n_unequal: pairs of as many words and not.
        notes: what was taken for what.
    """

    kind: str
    name: str
    rows: Mapping[str, Sequence[dict[str, Any]]]
    left: Mapping[str, Sequence[tuple[str, str]]]
    n_templates: int
    n_found: int
    n_equal: int
    n_unequal: int
    notes: Sequence[str]

    @property
    def n_rows(self) -> int:
        """How many rows were taken."""
        return sum(map(len, self.rows.values()))


def import_rows(table: Table, importer: Importer, wanted: Wanted, *, name: str, limit: int | None = None) -> Imported:
    """The rows of a table as rows of a profile called ``name``, at most ``limit`` of each task.

    Raises:
        ProfileError: the file is not as its kind has it, or no record can be asked.
    """
    found = importer.read(table, wanted)
    left: dict[str, list[tuple[str, str]]] = defaultdict(list)
    taken: list[tuple[str, TaskRow]] = []
    seen: dict[object, str] = {}
    profile = as_name(name, "tasks")
    for at, made in found.rows:
        row = checked(made) if isinstance(made, TaskRow) else made
        if isinstance(row, TaskRow) and (earlier := _earlier(row, at, seen)) is not None:
            row = Left("its prompt stands there already", f"{shortened(row.text)}, as {earlier}")
        if isinstance(row, Left):
            left[row.reason].append((at, row.got))
        else:
            taken.append((at, replace(row, task=as_name(row.task or profile, "task"))))
    with_foils = {row.task for _, row in taken if row.foils}
    for at, row in taken:
        if row.task in with_foils and not row.foils:  # log-odds and log-probabilities make no mean
            left["it has no foil, and other prompts of its task have"].append((at, shortened(row.text)))
    rows = [row for _, row in taken if row.foils or row.task not in with_foils]
    if not rows:
        raise _nothing_taken(table, left)
    return _assembled(importer.kind, profile, rows, left, list(found.notes), limit, wanted.seed)


def _assembled(
    kind: str, name: str, given: Sequence[TaskRow], left: Mapping[str, Sequence[tuple[str, str]]],
    notes: list[str], limit: int | None, seed: int,
) -> Imported:  # fmt: skip
    named = [replace(row, template=found) for row, found in zip(given, template_ids(given), strict=True)]
    by_task: dict[str, list[TaskRow]] = defaultdict(list)
    for row in named:
        by_task[row.task or name].append(row)
    drawn: dict[str, Sequence[TaskRow]] = {}
    for task, mine in by_task.items():
        drawn[task] = _drawn(mine, limit, seed, task)
        if len(drawn[task]) < len(mine):
            notes.append(f"{task}: {len(drawn[task])} of {len(mine)} prompts are drawn, from all templates in turn")
    kept = [row for rows in drawn.values() for row in rows]
    pairs = [(row.text, row.corrupted) for row in kept if row.corrupted is not None]
    n_equal = sum(len(one.split()) == len(two.split()) for one, two in pairs)
    return Imported(
        kind, name, {task: _as_lines(task, rows) for task, rows in drawn.items()}, left,
        len({row.template for row in kept}), sum(row.template is None for row in given),
        n_equal, len(pairs) - n_equal, notes,
    )  # fmt: skip


def _earlier(row: TaskRow, at: str, seen: dict[object, str]) -> str | None:
    """Where a prompt stands that says the same: the same text, or, with the same answers, the same words."""
    places = {key: seen.get(key) for key in (row.text, (folded_words(row.text) or row.text, row.answers))}
    for key in places:
        seen.setdefault(key, at)
    return next((place for place in places.values() if place is not None), None)


def checked(row: TaskRow) -> TaskRow | Left:
    """The row, its answers and foils each once; or why it cannot be asked."""
    row = replace(row, answers=tuple(dict.fromkeys(row.answers)), foils=tuple(dict.fromkeys(row.foils)))
    if not row.text.strip():
        return Left("its prompt is empty")
    if not row.answers or not all(one.strip() for one in row.answers):
        return Left("it has no answer, or an empty one")
    if not all(one.strip() for one in row.foils):
        return Left("a foil is empty")
    if both := [one for one in row.answers if one in row.foils]:
        return Left("an answer is also a foil", repr(both[0]))
    for one, other in combinations((*row.answers, *row.foils), 2):
        if is_beginning(one, other):
            return Left("one of its answers and foils begins another", f"{one!r} and {other!r}")
    if row.corrupted is not None and not row.corrupted.strip():
        return Left("its corrupted prompt is empty")
    if row.corrupted == row.text:
        return Left("its corrupted prompt is the same text", shortened(row.text))
    if max(len(row.text), len(row.corrupted or "")) > PROMPT_LIMIT_CHARACTERS:
        return Left(f"it has more than {PROMPT_LIMIT_CHARACTERS:,} characters")
    line = _as_lines("task", [row])[0]
    try:
        PromptRow.model_validate(line)
    except ValidationError as error:
        misfit = first_misfit(error, line)
        return Left(f"{misfit.place[0]} is no text that a profile may hold", misfit.got)
    return row


def as_name(text: str, otherwise: str) -> str:
    """``text`` as the name of a profile or a task."""
    name = _NOT_AT_START.sub("", _NOT_IN_NAME.sub("-", text))[:64].rstrip("-_.") or otherwise
    return f"task-{name}"[:64] if name in {*RESERVED_NAMES, CONTROL, DEFAULT_CONTROL} else name


def written(imported: Imported, folder: str | Path, source: str) -> Profile:
    """The profile as it is read, written to ``folder``; ``source`` names the file in its description.

    Raises:
        ProfileError: the folder holds files or cannot be written, or the profile contradicts itself.
    """
    folder = expanded(folder)
    check_free(folder)
    try:
        with tempfile.TemporaryDirectory() as draft:
            for name, text in _files(imported, source).items():
                (Path(draft) / name).write_text(text, encoding="utf-8", newline="\n")
            profile = load_profile(draft)
            folder.mkdir(parents=True, exist_ok=True)
            for name in (PROMPTS_NAME, YAML_NAME):
                shutil.copyfile(Path(draft) / name, folder / name)
    except OSError as error:
        raise ProfileError("profile folder cannot be written", got=error.strerror, where=str(folder)) from error
    return replace(profile, source=str(folder))


def check_free(folder: Path) -> None:
    """Raise ProfileError where ``folder`` is no folder, or holds files."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProfileError(
            "profile folder exists already", expected="a new or an empty folder", got=str(folder), fix="choose another"
        )


def _files(imported: Imported, source: str) -> dict[str, str]:
    told = "".join(sign for sign in source if sign.isprintable())
    has_partners = any("corrupted" in line for lines in imported.rows.values() for line in lines)
    quoted = lambda text: json.dumps(text, ensure_ascii=False)  # noqa: E731 - YAML reads JSON's texts
    tasks = "".join(f"  {quoted(task)}: {{}}\n" for task in imported.rows)
    lines = [json.dumps(line, ensure_ascii=False) for mine in imported.rows.values() for line in mine]
    yaml = (
        f"format: {FORMAT}\nname: {quoted(imported.name)}\n"
        f"description: {quoted(f'Imported from {told} ({imported.kind}).')}\n"
        f"control: {CONTROL if has_partners else DEFAULT_CONTROL}\nprompts: {PROMPTS_NAME}\ntasks:\n{tasks}"
    )
    return {YAML_NAME: yaml, PROMPTS_NAME: "\n".join(lines) + "\n"}


def _as_lines(task: str, rows: Sequence[TaskRow]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for number, row in enumerate(rows, start=1):
        line: dict[str, Any] = {"id": f"{task}-{number:0{len(str(len(rows)))}d}", "concept": task, "text": row.text}
        line["answers"] = list(row.answers)
        if row.foils:
            line["foils"] = list(row.foils)
        if row.spans:
            line["spans"] = {name: list(span) for name, span in row.spans.items()}
        if row.template is not None:
            line["template"] = row.template
        if row.corrupted is not None:
            spans = {name: list(span) for name, span in row.corrupted_spans.items()}
            line["corrupted"] = {"text": row.corrupted, "spans": spans} if spans else row.corrupted
        lines.append(line)
    return lines


def _drawn(rows: Sequence[TaskRow], limit: int | None, seed: int, task: str) -> Sequence[TaskRow]:
    """At most ``limit`` rows: one of each template, then another of each; in the order of the file."""
    if limit is None or len(rows) <= limit:
        return rows
    turns: dict[str | None, int] = defaultdict(int)
    ranked: list[tuple[int, int, int]] = []
    for rank, place in enumerate(map(int, generator(seed, "import", task).permutation(len(rows)))):
        template = rows[place].template
        ranked.append((turns[template], rank, place))
        turns[template] += 1
    return [rows[place] for place in sorted(place for _, _, place in sorted(ranked)[:limit])]


def _nothing_taken(table: Table, left: Mapping[str, Sequence[tuple[str, str]]]) -> ProfileError:
    reasons = [f"{len(places)}: {reason}" for reason, places in left.items()]
    first = next((f"{at}: {got}" for places in left.values() for at, got in places if got), None)
    return ProfileError(
        "no record of the file can be asked",
        expected="at least one prompt with an answer",
        got="; ".join(reasons + ([f"first {first}"] if first else [])) or "no records",
        where=table.path,
    )
