"""The page of a run that goes on: it loads itself again as its reader left it, until the run has ended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headscope.plots.selecting import lone_effects
from headscope.report.page import render_page
from headscope.stats.ranking import single_effects
from headscope.terms import AGREEING_EDIT
from tests.browser.conftest import Page
from tests.browser.fake_arrays import fake_arrays
from tests.unit.report.fake_tables import CONCEPTS, fake_facts, fake_tables
from tests.unit.report.partial_runs import small_heads, stages_after, tables_after

pytestmark = pytest.mark.browser

ENDED = """
const data = document.body.dataset.ready === "true" && document.getElementById("data");
return data && JSON.parse(data.textContent).refresh_seconds === null;
"""


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    return fake_tables(4, 4)


def _write(path: Path, tables: dict[str, pd.DataFrame], last: str, status: str) -> None:
    facts = fake_facts(4, 4) | {"status": status, "stages": stages_after(last)}
    facts["record"] = {"sweep": {"not_measured": len(small_heads(tables))}}
    whole = path.with_suffix(".new")  # put in its place at once, as a run does: a page that reloads may read it now
    whole.write_text(render_page(tables_after(tables, last), facts, fake_arrays(tables)), encoding="utf-8")
    whole.replace(path)


def test_it_loads_itself_again_as_it_was_left_and_stops_with_the_run(
    page: Page, tables: dict[str, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headscope.report.page.REFRESH_SECONDS", 1)
    path = tmp_path / "report.html"
    _write(path, tables, "sweep", "running")
    page.open(path)
    page.run("document.querySelector('[data-measure=screen]').click()")
    page.run("document.querySelector('details[data-table=heads]').open = false")
    page.run("document.getElementById('theme').click(); scrollTo({top: 700, behavior: 'instant'})")
    _write(path, tables, "verdicts", "stopped")
    assert page.wait(ENDED)
    assert page.run("return document.querySelector('#measures [aria-checked=true]').dataset.measure") == "screen"
    assert page.run("return document.querySelector('details[data-table=heads]').open") is False
    assert page.run("return document.documentElement.dataset.theme") == "dark"
    assert page.run("return scrollY") == 700
    assert page.errors() == []


def test_what_is_to_come_is_not_drawn_and_blank_cells_are_named(
    page: Page, tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    _write(path, tables, "verdicts", "stopped")
    page.open(path)
    shown = page.each("main section", "one.id && one.getBoundingClientRect().height > 0 ? one.id : ''")
    assert [part for part in shown if part] == ["progress", "heads", "looking", "tables", "method"]
    page.run("document.querySelector('[data-measure=zero]').click()")
    assert "not measured" in page.text("#map-legend")
    drawn = page.run("return [...document.querySelectorAll('#maps [role=application]')].map((box) => box.data[0].z)")
    zero = single_effects(tables_after(tables, "verdicts")["effects"], edit=AGREEING_EDIT)
    for concept, values in zip(CONCEPTS, drawn, strict=False):
        expected = np.full((4, 4), np.nan)
        for row in zero[zero["concept"] == concept].to_dict("records"):
            expected[row["layer"], row["head"]] = row["estimate"]
        assert np.isnan(expected).any()
        np.testing.assert_allclose(np.array(values, float), expected, rtol=1e-5, atol=1e-6)
    page.run("document.querySelector('[data-measure=effect]').click()")
    assert "not measured" not in page.text("#map-legend")
    layer, head = map(int, small_heads(tables)[0].split(":"))
    page.run("location.hash = arguments[0]", f"#L{layer}H{head}")
    page.wait("return !document.getElementById('card').hidden")
    assert "too small to matter" in page.text("#card")
    assert "Still to be measured" in page.text("#card")
    assert len(lone_effects(tables["effects"])) == 16 * len(CONCEPTS)
    assert page.errors() == []
