"""The page of a run that turned heads up: its charts hold the tables' numbers, and nothing else is shown."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from headscope.report.page import render_page
from tests.browser.conftest import Page
from tests.unit.report.fake_steering import DOSES, N_DRAWS, curve_rows, fake_steering
from tests.unit.report.fake_tables import fake_facts

pytestmark = pytest.mark.browser

TRACES = """
return [...document.querySelectorAll("#steering-charts .js-plotly-plot")].map((box) =>
  box.data.map((trace) => ({x: [...trace.x], y: [...trace.y], text: trace.text ? [...trace.text] : []})));
"""


@pytest.mark.parametrize("language", ["en", "ja"])
def test_charts_hold_the_doses_and_the_draws(page: Page, tmp_path: Path, language: str) -> None:
    path = tmp_path / "report.html"
    tables = fake_steering()
    path.write_text(render_page(tables, fake_facts()), encoding="utf-8")
    page.open(path, f"?lang={language}", scheme="dark" if language == "ja" else "light")
    assert page.errors() == []
    charts = page.run(TRACES)
    assert len(charts) == 4
    vectors, heads, stream, curve = charts[0]
    assert len(vectors["x"]) == len(heads["x"]) == N_DRAWS * len(DOSES)
    assert len(stream["x"]) == len(DOSES) + 1
    assert curve["text"] == ["−2", "", "1", "2", "4", "6", "8"]
    rows = tables["steering"]
    mine = rows[(rows["heads"] == "1:10") & (rows["role"] == "single") & (rows["outcome"] == "lexicon_logodds_nats")]
    effects = dict(zip(mine["dose"], mine["estimate"], strict=True))
    assert curve["y"] == pytest.approx(
        [effects.get(dose, 0.0) for dose in (-2.0, 0.0, 1.0, 2.0, 4.0, 6.0, 8.0)], rel=1e-5
    )
    assert curve["x"][-1] > 1 > curve["x"][-2], "the largest dose alone stands beyond the bound"
    assert page.each("nav a", "one.hash") == ["#steering", "#method"]


def test_without_damage_the_charts_are_by_dose(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    rows = curve_rows("anger", "1:2", gain=0.3, cost=0.0, damage=False)
    path.write_text(render_page({"steering": pd.DataFrame(rows)}, fake_facts()), encoding="utf-8")
    page.open(path)
    assert page.errors() == []
    ((curve,),) = page.run(TRACES)
    assert curve["x"] == [-2, 0, 1, 2, 4, 6, 8]
