"""What every importer takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from headscope.profiles.columns import Table
from headscope.profiles.importing.cells import text_of

Cells: TypeAlias = Mapping[str, Any]
Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Wanted:
    """What a user says about a file of tasks.

    Attributes:
        token_text: the text of a token id of the tokenizer that the file's ids are of, None where there is no such id.
        counterfactual: the column that holds the corrupted prompt, where the file has several.
        n_shots: examples before the question, where prompts are built.
        n_frames: frames in which they are built.
        seed: of every draw.
    """

    token_text: Callable[[int], str | None] | None = None
    counterfactual: str | None = None
    n_shots: int = 10
    n_frames: int = 1
    seed: int = 0


@dataclass(frozen=True)
class TaskRow:
    """A prompt of a task.

    Attributes:
        text, answers, foils, spans, template: as in ``types.Prompt``.
        corrupted: the text of its corrupted partner, None where there is none.
        corrupted_spans: named places in it.
        task: its task, where a file holds several; None: the file's.
        fillers: further words that the file says were put into its template.
    """

    text: str
    answers: tuple[str, ...]
    foils: tuple[str, ...] = ()
    spans: Mapping[str, Span] = field(default_factory=dict[str, Span])
    corrupted: str | None = None
    corrupted_spans: Mapping[str, Span] = field(default_factory=dict[str, Span])
    template: str | None = None
    task: str | None = None
    fillers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Left:
    """A record that is left out.

    Attributes:
        reason: why, in words that are the same for all records left out for it.
        got: what stands there instead, short.
    """

    reason: str
    got: str = ""


@dataclass
class Found:
    """What an importer makes of a file.

    Attributes:
        rows: where each record stands, and what became of it, in order.
        notes: what was taken for what, in sentences.
    """

    rows: list[tuple[str, TaskRow | Left]]
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Importer:
    """One kind of file.

    Attributes:
        kind: its name after ``--as``.
        looks_for: the columns it is known by, in words.
        columns: names of columns, one of which every such file has; they tell how a CSV file is cut.
        recognises: whether a table is of this kind, by its columns.
        read: rows of a table.
        uses: options that it makes use of, as ``Wanted`` names them.
    """

    kind: str
    looks_for: str
    columns: tuple[str, ...]
    recognises: Callable[[Table], bool]
    read: Callable[[Table, Wanted], Found]
    uses: frozenset[str] = frozenset()


def each(table: Table, made: Callable[[Cells], TaskRow | Left]) -> Iterator[tuple[str, TaskRow | Left]]:
    """What ``made`` makes of every record of a table, and where it stands; a cell ``template`` names its template."""
    for at, cells in table.records:
        row = made(cells)
        if isinstance(row, TaskRow) and row.template is None:
            row = replace(row, template=text_of(cells.get("template")))
        yield at, row
