"""What a report is made of before it is Markdown or HTML: headings, sentences, lists, tables, code and pictures.

Sentences are ours, in Markdown's inline notation, with everything foreign in them already made harmless. A table's
cells are kept apart: our words and numbers (``str``), text of a run (``Foreign``) and text of models and prompts
(``Verbatim``), which each medium shows in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

from headscope.report.numbers import MISSING

_MARKS = "ᵃᵇᶜᵈᵉᶠᵍʰ"


class Foreign(str):
    """Text of a run (a concept, a note), which may hold anything."""

    __slots__ = ()


@dataclass(frozen=True)
class Verbatim:
    """Text to be shown with every character visible, cut after ``longest``."""

    text: str
    longest: int | None = None


Cell: TypeAlias = str | Verbatim | tuple["Cell", ...]


@dataclass
class Table:
    """One table of the report.

    Attributes:
        columns: keys of the titles, ``columns.<key>`` in a language's words; ``Foreign`` is a title itself.
        rows: cells, row by row.
        reasons: why cells are missing -> the mark that stands for it.
        numeric: columns but the first are numbers and stand to the right.
        limit: the number that a title with a placeholder names.
    """

    columns: tuple[str, ...]
    rows: list[list[Cell]] = field(default_factory=list["list[Cell]"])
    reasons: dict[Cell, str] = field(default_factory=dict[Cell, str])
    numeric: bool = True
    limit: str = ""

    def missing(self, reason: Cell) -> str:
        """An empty cell that points to its reason."""
        if not reason:
            return MISSING
        mark = self.reasons.setdefault(reason, _MARKS[min(len(self.reasons), len(_MARKS) - 1)])
        return f"{MISSING}{mark}"

    def without_empty(self, *optional: str) -> Table:
        """The table without those of its ``optional`` columns in which every cell is missing, for no reason."""
        kept = [
            at
            for at, name in enumerate(self.columns)
            if name not in optional or any(row[at] != MISSING for row in self.rows)
        ]
        columns = tuple(self.columns[at] for at in kept)
        return replace(self, columns=columns, rows=[[row[at] for at in kept] for row in self.rows])


@dataclass(frozen=True)
class Heading:
    """A heading below the section's own: ``text`` is Markdown."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph, or a remark set apart (``quoted``)."""

    text: str
    quoted: bool = False


@dataclass(frozen=True)
class Items:
    """A list with a bullet an item."""

    items: list[str]


@dataclass(frozen=True)
class Code:
    """Lines to paste into a shell."""

    text: str


@dataclass(frozen=True)
class Picture:
    """A picture of the run folder; only Markdown shows it, the page draws its own.

    ``stands_for`` is what a reader has where it cannot be shown; the caption where nothing is given.
    """

    path: str
    caption: Cell
    stands_for: str = ""


@dataclass(frozen=True)
class Space:
    """One more empty line in Markdown, after a group of headings."""


Block: TypeAlias = Heading | Text | Items | Table | Code | Picture | Space


@dataclass(frozen=True)
class Section:
    """One part of the report: its key in the words, its heading in Markdown and what stands in it.

    ``level`` is 1 for the report itself, 2 for a numbered section, 3 for a part of one.
    """

    key: str
    title: str
    level: int
    blocks: list[Block]
