"""A run that only probed is told as what it is: what can be read where, and no word on what heads carry."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from headscope.report import render_evidence
from headscope.report.writing import write_report
from headscope.runs.folder import Run
from headscope.runs.manifest import Request
from tests.unit.report.fake_probes import fake_probes
from tests.unit.report.fake_tables import facts_of_verb

CONCEPT = "gratitude"
NOTHING = {"en": "nothing was measured", "ja": "何も測定されていない"}


def _first_lines(rows: pd.DataFrame, language: str) -> str:
    return render_evidence({"probes": rows}, facts_of_verb("probe"), language).partition("\n## ")[0]


def _rows(**changed: float) -> pd.DataFrame:
    return fake_probes(2, 2, [CONCEPT], n_prompts=14, n_templates=7).assign(**changed)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_run_that_only_probes_says_first_what_can_be_read(language: str) -> None:
    told = _first_lines(_rows(), language)
    assert NOTHING[language] not in told
    for number in (CONCEPT, "L1H0", "0.970", "[0.900, 1.00]"):
        assert number in told
    assert "`screen`" not in told


def test_heads_beyond_shuffled_labels_are_counted_and_their_removal_is_not_claimed() -> None:
    told = _first_lines(_rows(), "en")
    assert "on 2 of 4 heads" in told
    assert "was not measured in this run" in told
    assert "carry" not in told


def test_without_a_test_there_is_no_count_and_no_interval() -> None:
    told = _first_lines(_rows(p_max_t=float("nan"), probe_auroc_low=float("nan"), probe_auroc_high=float("nan")), "en")
    assert "no interval" in told
    assert "of 4 heads" not in told


def test_the_page_of_a_run_that_keeps_no_arrays_misses_none(tmp_path: Path) -> None:
    request = Request(verb="probe", options={}, model_fingerprint="m", profile_fingerprint="p", seed=0)
    with Run.create(
        tmp_path / "probed", request, model=facts_of_verb("probe")["model"], profile={"name": "baseline"}
    ) as run:
        run.write_table("probes", _rows())
    with Run.open(tmp_path / "probed", write=True) as run:
        write_report(run, languages=())
    assert "arrays are missing" not in (tmp_path / "probed" / "report.html").read_text(encoding="utf-8")
