"""The tables of supported families in the documents, made from what the load check measures on each tiny model.

``python -m tests.laws.family_table`` prints the long one; with ``--write`` it replaces the tables between the markers
of every document: one line a family in docs/models.md; in the READMEs one line for all that were found alike. A test
holds the documents to both.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

from tests.laws.families import FAMILIES, loaded

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = "docs/models.md"
SUMMARIES = {
    "README.md": ("families", "attention", "prompts packed as trees", "largest difference"),
    "README.ja.md": ("系列", "注意", "プロンプトを木に詰める", "差の最大"),
}
BEGIN, END = "<!-- families: begin -->", "<!-- families: end -->"


@dataclass(frozen=True)
class FamilyRow:
    """One line of the table."""

    family: str
    stands_for: str
    reading: str
    packing: str
    difference: float

    def __str__(self) -> str:
        return f"| {self.family} | {self.stands_for} | {self.reading} | {self.packing} | {self.difference:.0e} |"


def measure(family: str) -> FamilyRow:
    """Load the family's tiny model, which runs the load check, and say what it found."""
    model = loaded(family)
    passed = [law.difference for law in model.laws.laws if law.passed]
    reading = "routed" if model.anatomy.routed else "not routed"
    return FamilyRow(
        family,
        FAMILIES[family][2],
        f"{reading}, {model.own_attention}",
        "no" if model.tree_row_limit is None else "yes",
        max(passed),
    )


def table(rows: list[FamilyRow]) -> str:
    """The rows as Markdown, with what they were measured with."""
    head = ["| family | the test model stands for | attention | trees | largest difference |", "|---|---|---|---|---|"]
    versions = f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}, float32 on CPU"
    return "\n".join([*head, *map(str, rows), "", f"Measured with {versions}."])


def summary(rows: list[FamilyRow], heading: tuple[str, ...]) -> str:
    """Families that are read alike and packed alike in one line, with the largest difference among them."""
    groups: dict[tuple[str, str], list[FamilyRow]] = {}
    for row in rows:
        groups.setdefault((row.reading, row.packing), []).append(row)
    lines = [f"| {' | '.join(heading)} |", "|" + "---|" * len(heading)]
    for (reading, packing), alike in sorted(groups.items(), key=lambda group: -len(group[1])):
        families = ", ".join(row.family for row in alike)
        lines.append(f"| {families} | {reading} | {packing} | {max(row.difference for row in alike):.0e} |")
    return "\n".join(lines)


def in_document(path: Path) -> str:
    """The table that stands in a document."""
    found = re.search(f"{BEGIN}\n(.*?)\n{END}", path.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{path} has no place for the table of families"
    return found[1]


def write(path: Path, text: str) -> None:
    """Replace the table that stands in a document."""
    old = path.read_text(encoding="utf-8")
    path.write_text(re.sub(f"{BEGIN}\n.*?\n{END}", f"{BEGIN}\n{text}\n{END}", old, flags=re.DOTALL), encoding="utf-8")


def main() -> None:
    """Print the table, or put it into the documents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the tables in the documents")
    arguments = parser.parse_args()
    rows = [measure(family) for family in FAMILIES]
    if arguments.write:
        write(ROOT / DOCUMENT, table(rows))
        for name, heading in SUMMARIES.items():
            write(ROOT / name, summary(rows, heading))
    print(table(rows))  # noqa: T201 - its purpose


if __name__ == "__main__":
    main()
