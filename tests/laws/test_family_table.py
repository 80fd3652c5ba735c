"""The documents' tables of families say what the load check measures here."""

from __future__ import annotations

import pytest

from tests.laws.families import FAMILIES
from tests.laws.family_table import DOCUMENT, ROOT, SUMMARIES, FamilyRow, in_document, measure
from tests.tolerances import TINY

TOLERANCE = TINY


@pytest.fixture(scope="module")
def measured() -> list[FamilyRow]:
    rows = [measure(family) for family in FAMILIES]
    assert max(row.difference for row in rows) <= TOLERANCE
    return rows


def written(name: str) -> list[list[str]]:
    """Cells of the table's body."""
    lines = [line for line in in_document(ROOT / name).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_of_the_page_on_models_is_the_measured_one(measured: list[FamilyRow]) -> None:
    rows = written(DOCUMENT)
    expected = [[row.family, row.stands_for, row.reading, row.packing] for row in measured]
    assert [row[:4] for row in rows] == expected, "run `python -m tests.laws.family_table --write`"
    assert all(float(row[4]) <= TOLERANCE for row in rows)


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_table_of_the_readme_is_the_measured_one(name: str, measured: list[FamilyRow]) -> None:
    rows = written(name)
    found = {(family, *row[1:3]) for row in rows for family in row[0].split(", ")}
    assert found == {(row.family, row.reading, row.packing) for row in measured}, (
        "run `python -m tests.laws.family_table --write`"
    )
    assert all(float(row[3]) <= TOLERANCE for row in rows)
