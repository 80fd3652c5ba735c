"""The documents' table of families says what the load check measures here."""

from __future__ import annotations

import pytest

from tests.laws.families import FAMILIES
from tests.laws.family_table import DOCUMENTS, ROOT, in_document, measure

TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def measured() -> dict[str, list[str]]:
    rows = [measure(family) for family in FAMILIES]
    assert max(row.difference for row in rows) <= TOLERANCE
    return {row.family: [row.stands_for, row.reading, row.packing] for row in rows}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_table_in_a_document_is_the_measured_one(name: str, measured: dict[str, list[str]]) -> None:
    text = in_document(ROOT / name)
    if text is None:
        pytest.skip(f"{name} holds no table of families")
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    written = {row[0]: row[1:4] for row in cells[2:]}
    assert written == measured, "run `python -m tests.laws.family_table --write`"
    assert all(float(row[4]) <= TOLERANCE for row in cells[2:])


def test_the_page_on_models_has_the_table() -> None:
    assert in_document(ROOT / "docs" / "models.md") is not None
