"""The page on statistics explains every column that a reader of a run meets, and every verdict."""

from pathlib import Path

import pytest

from headscope.stats import attending, columns, verdicts

PAGE = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", ["EFFECTS_COLUMNS", "SCREEN_COLUMNS", "REGIONS_COLUMNS", "VERDICTS_COLUMNS"])
def test_every_column_is_explained(table):
    missing = [column for column in getattr(columns, table) if f"`{column}`" not in PAGE]
    assert missing == []


def test_every_verdict_has_its_rule():
    names = {value for name, value in vars(verdicts).items() if name.isupper() and isinstance(value, str)}
    names -= {attending.YES, attending.NO, attending.UNKNOWN, verdicts.NO_VERDICT}
    missing = [name for name in sorted(names) if f"*{name}*" not in PAGE]
    assert missing == []
