"""The page on statistics explains every verdict."""

from pathlib import Path

from headscope.stats import attending, verdicts

PAGE = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")


def test_every_verdict_has_its_rule():
    names = {value for name, value in vars(verdicts).items() if name.isupper() and isinstance(value, str)}
    names -= {attending.YES, attending.NO, attending.UNKNOWN, verdicts.NO_VERDICT}
    missing = [name for name in sorted(names) if f"*{name}*" not in PAGE]
    assert missing == []
