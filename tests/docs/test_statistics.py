"""The page on statistics explains every verdict."""

from pathlib import Path

import pytest

from headscope.stats import attending, dose_verdicts, verdicts
from headscope.terms import NULLS

PAGE = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("rules", [verdicts, dose_verdicts])
def test_every_verdict_has_its_rule(rules):
    names = {value for name, value in vars(rules).items() if name.isupper() and isinstance(value, str)}
    names -= {attending.YES, attending.NO, attending.UNKNOWN, verdicts.NO_VERDICT, *NULLS}
    missing = [name for name in sorted(names) if f"*{name}*" not in PAGE]
    assert missing == []
