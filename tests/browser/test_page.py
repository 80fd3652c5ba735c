"""The page of a run, in a real browser: what it shows is the tables', and it works by mouse, keyboard and link."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from selenium.webdriver.common.keys import Keys

from headscope.plots.patch_heatmap import lone_patches
from headscope.plots.selecting import lone_effects, screen_rows
from headscope.report.compare_page import render_comparison
from headscope.report.comparing import RunSide, compare_runs
from headscope.report.facts import facts_of
from headscope.report.numbers import interval, number, probability
from headscope.report.words import words_of
from tests.browser.conftest import Page, Write
from tests.browser.fake_arrays import fake_arrays
from tests.unit.report.fake_patching import fake_patching, fake_scores
from tests.unit.report.fake_tables import CONCEPTS, fake_facts, fake_screen, fake_tables, planted_heads

pytestmark = pytest.mark.browser

MAP_VALUES = "return [...document.querySelectorAll('#maps [role=application]')].map((box) => box.data[0].z)"
VEILS = "return [...document.querySelectorAll('#maps [role=application]')].map((box) => box.data[1].z)"
NO_OVERFLOW = "return document.documentElement.scrollWidth <= window.innerWidth"


def _grid(rows: pd.DataFrame, concept: str, column: str = "estimate") -> np.ndarray:
    return rows[rows["concept"] == concept].pivot(index="layer", columns="head", values=column).to_numpy(float)


def test_it_loads_without_an_error_and_asks_nothing_of_anyone(page: Page, report: Path) -> None:
    page.open(report, "#L1H3")
    assert page.errors() == []
    assert {url.split("#")[0] for url in page.requests()} == {report.as_uri()}


def test_the_maps_hold_the_tables_numbers_and_switch(page: Page, report: Path, tables: dict[str, pd.DataFrame]) -> None:
    page.open(report)
    effects, looks = lone_effects(tables["effects"]), screen_rows(tables["screen"])
    for measure, rows in (
        ("effect", effects),
        ("screen", looks),
        ("value", screen_rows(tables["screen"], "value_weighted")),
    ):
        page.run(f"document.querySelector('[data-measure={measure}]').click()")
        drawn = page.run(MAP_VALUES)
        expected = [_grid(rows, concept) for concept in CONCEPTS]
        np.testing.assert_allclose(drawn, [*expected, np.mean(expected, axis=0)], rtol=1e-5, atol=1e-6)
        titles = page.run("return [...document.querySelectorAll('#maps h3')].map((title) => title.textContent)")
        assert titles == [*CONCEPTS, "mean over concepts"]
    page.run("document.querySelector('[data-measure=q]').click()")
    drawn = page.run(MAP_VALUES)
    np.testing.assert_allclose(
        drawn, [-np.log10(_grid(looks, concept, "q_value")) for concept in CONCEPTS], rtol=1e-3, atol=1e-5
    )
    assert page.errors() == []


def test_insignificant_cells_are_veiled_and_no_others(
    page: Page, report: Path, tables: dict[str, pd.DataFrame]
) -> None:
    page.open(report)
    effects = lone_effects(tables["effects"])
    veils = page.run(VEILS)
    for concept, veil in zip(CONCEPTS, veils, strict=False):
        np.testing.assert_array_equal(np.array(veil, float) == 1, _grid(effects, concept, "p_max_t") >= 0.05)
    assert not np.array(veils[-1], dtype=bool).any()  # no test belongs to a mean


def test_hovering_shows_the_tables_number(page: Page, report: Path, tables: dict[str, pd.DataFrame]) -> None:
    page.open(report)
    layer, head = planted_heads(4, 4)["carrier"]
    rows = lone_effects(tables["effects"])
    row = rows[(rows["concept"] == "anger") & (rows["layer"] == layer) & (rows["head"] == head)].iloc[0]
    page.mouse(page.cell(1, layer, head))
    told = page.wait("return [...document.querySelectorAll('.hovertext')].map((box) => box.textContent).join(' ')")
    for part in (f"L{layer}H{head}", "anger", number(row["estimate"]), interval(row["ci_low"], row["ci_high"])):
        assert part in told
    assert f"family-wise p {probability(row['p_max_t'])}" in told


def test_a_click_opens_the_heads_card_with_all_its_parts(
    page: Page, report: Path, tables: dict[str, pd.DataFrame]
) -> None:
    page.open(report)
    layer, head = planted_heads(4, 4)["carrier"]
    page.mouse(page.cell(0, layer, head), "mousePressed", "mouseReleased")
    page.wait("return !document.getElementById('card').hidden")
    assert page.text("#card-title") == f"L{layer}H{head}"
    assert page.run("return location.hash") == f"#L{layer}H{head}"
    verdict = tables["verdicts"].set_index(["concept", "heads"]).loc[("gratitude", f"{layer}:{head}"), "verdict"]
    assert f"gratitude: {verdict}" in page.text("#card")
    assert page.text("#card .texts del").strip() == "my gratitude"
    assert page.text("#card .texts ins").startswith("the weather")
    assert "grateful" in page.text("#card .tokens .span")
    assert page.errors() == []


def test_the_card_tells_every_measure_of_its_head(page: Page, report: Path, tables: dict[str, pd.DataFrame]) -> None:
    page.open(report, "#L2H1")
    lines = page.each("#card tbody tr", "one.innerText.split('\\t')")
    told = {(line[0].strip(), line[1].strip()): [cell.strip() for cell in line[2:]] for line in lines}
    rows = lone_effects(tables["effects"])
    for row in rows[(rows["layer"] == 2) & (rows["head"] == 1)].to_dict("records"):
        cells = told[("lexicon log-odds, mean", row["concept"])]
        assert cells[:2] == [number(row["estimate"]), interval(row["ci_low"], row["ci_high"])]
        assert cells[5] == probability(row["p_max_t"])
    for name in ("Δ attention", "Δ value-weighted attention", "lexicon log-odds, zero"):
        assert (name, "gratitude") in told


def test_the_card_says_where_its_head_reads(page: Page, report: Path, tables: dict[str, pd.DataFrame]) -> None:
    page.open(report, "#L3H0")
    lines = page.each("#card [aria-label='Where it reads'] tbody tr", "one.innerText.split('\\t')")
    assert [line[0].strip() for line in lines] == list(words_of("en").entries["places"].values())
    regions = tables["attention_by_region"]
    regions = regions[(regions["layer"] == 3) & (regions["head"] == 0)].set_index(["region", "concept"])
    for region, line in zip(words_of("en").entries["places"], lines, strict=True):
        for at, concept in enumerate(CONCEPTS):
            row = regions.loc[(region, concept)]
            expected = [
                number(row["share"]),
                interval(row["share_low"], row["share_high"]),
                number(row["written_norm"]),
            ]
            assert [cell.strip() for cell in line[1 + 3 * at : 4 + 3 * at]] == expected
    assert "carrier, reading elsewhere" in page.text("#card")
    assert page.errors() == []


def test_a_filled_point_lies_beyond_the_smallest_effect_that_matters(
    page: Page, report: Path, tables: dict[str, pd.DataFrame]
) -> None:
    page.open(report)
    drawn = page.run(
        "const {data} = document.getElementById('forest');"
        "return data[1].customdata.map((at, i) => [...at, data[1].marker.color[i] === data[1].marker.line.color[i]])"
    )
    verdicts = tables["verdicts"].set_index(["concept", "heads"])
    assert {filled for *_, filled in drawn} == {True, False}
    for layer, head, concept, filled in drawn:
        row = verdicts.loc[(concept, f"{layer}:{head}")]
        assert filled == (row["sim_high"] < -row["threshold_nats"] or row["sim_low"] > row["threshold_nats"])


def test_the_strip_draws_each_prompts_effect(page: Page, report: Path, tables: dict[str, pd.DataFrame]) -> None:
    page.open(report, "#L1H3")
    drawn = page.run(
        "const {data} = document.getElementById('strip-effect');"
        "return data.filter((trace) => trace.x.length > 1).map((trace) => [...trace.x])"
    )
    sweep = fake_arrays(tables)["sweep"]
    for at, concept in enumerate(CONCEPTS):
        values = sweep["edited"].sel(edit="mean(1:3)", lexicon=concept)[sweep["concept"] == concept]
        np.testing.assert_allclose(drawn[at], values, rtol=1e-5)


def test_the_words_are_shaded_by_the_heads_attention(page: Page, report: Path) -> None:
    page.open(report, "#L0H3")  # the fake head k looks at token k only
    shades = page.each("#card .tokens:first-of-type span[title]", "[one.textContent, one.title]")
    assert [word for word, title in shades if title.startswith("100.0 %")] == [" grateful"]
    assert [word for word, title in shades if title.startswith("0.0 %")] == ["BOS", "I", " am", " today", ".", " so"]


@pytest.mark.parametrize(
    ("fragment", "opens"), [("#L3H2", "L3H2"), ("#L9H0", None), ("#L1H99", None), ("#heads", None)]
)
def test_a_link_with_a_head_opens_it(page: Page, report: Path, fragment: str, opens: str | None) -> None:
    page.open(report, fragment)
    assert page.run("return document.getElementById('card').hidden") is (opens is None)
    assert opens is None or page.text("#card-title") == opens
    assert page.errors() == []


def test_everything_can_be_done_by_keyboard(page: Page, report: Path) -> None:
    page.open(report)
    page.run("document.querySelector('#measures [aria-checked=true]').focus()")
    page.press(Keys.ARROW_RIGHT)
    assert page.run("return document.activeElement.dataset.measure") == "screen"
    page.run("document.querySelector('#maps [role=application]').focus()")
    page.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert page.text("#map-speech").startswith("L1H1, gratitude")
    page.press(Keys.ENTER)
    assert page.text("#card-title") == "L1H1"
    assert page.run("return document.activeElement.id") == "card-title"
    page.press(Keys.ESCAPE)
    assert page.run("return document.getElementById('card').hidden")
    assert page.run("return document.activeElement.getAttribute('role')") == "application"
    page.run("document.getElementById('find-head').focus()")
    page.press("l3h2", Keys.ENTER)
    assert page.text("#card-title") == "L3H2"


def test_a_screen_reader_finds_a_name_on_everything(page: Page, report: Path) -> None:
    page.open(report, "#L1H3")
    named = page.each(
        "button, input, select, a[href], [role=application], [role=dialog], [role=img]",
        "[one.outerHTML.slice(0, 80), one.ariaLabel || one.getAttribute('aria-labelledby') || one.textContent.trim() "
        "|| one.labels?.length]",
    )
    assert len(named) > 40
    assert [element for element, name in named if not name] == []
    assert page.run("return document.documentElement.lang") == "en"
    assert page.run(
        "return [...document.querySelectorAll('table')].every((table) => table.querySelector('th[scope=col]'))"
    )


def _heads_table(page: Page) -> list[list[str]]:
    return page.each("[data-table=heads] tbody tr", "[...one.children].map((cell) => cell.textContent)")


def test_tables_sort_search_and_round_as_the_report_does(
    page: Page, report: Path, tables: dict[str, pd.DataFrame]
) -> None:
    page.open(report)
    effects = lone_effects(tables["effects"]).sort_values("estimate", key=abs, ascending=False, kind="stable")
    shown = _heads_table(page)
    assert [row[0] for row in shown[:3]] == [f"L{row.layer}H{row.head}" for row in effects.head(3).itertuples()]
    assert [row[6] for row in shown] == [number(value) for value in effects["estimate"]]
    sort = "document.querySelectorAll('[data-table=heads] thead button')[2].click()"
    page.run(sort)
    looks = screen_rows(tables["screen"])["estimate"]
    assert [row[2] for row in _heads_table(page)] == [number(value) for value in sorted(looks)]
    page.run(sort)
    assert [row[2] for row in _heads_table(page)] == [number(value) for value in sorted(looks, reverse=True)]
    page.run(
        "const box = document.querySelector('[data-table=heads] input');"
        "box.value = 'anger L2'; box.dispatchEvent(new Event('input'))"
    )
    found = _heads_table(page)
    assert len(found) == 4
    assert all(row[0].startswith("L2") and row[1] == "anger" for row in found)


def test_the_csv_holds_the_tables_numbers(
    page: Page, report: Path, tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    page.open(report)
    where = {"behavior": "allow", "downloadPath": str(tmp_path)}
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    page.run(
        "[...document.querySelectorAll('[data-table=heads] button')].find((one) => one.textContent === 'CSV').click()"
    )
    file = tmp_path / "heads.csv"
    for _ in range(200):
        if file.is_file():
            break
        page.run("return new Promise((done) => setTimeout(done, 50))")
    saved = pd.read_csv(file)
    effects = lone_effects(tables["effects"])
    effects["name"] = [f"L{row.layer}H{row.head}" for row in effects.itertuples()]
    both = saved.merge(effects, on=["name", "concept"])
    assert len(both) == len(effects) == len(saved)
    for mine, theirs in (("effect", "estimate"), ("low", "ci_low"), ("high", "ci_high"), ("p", "p_max_t")):
        np.testing.assert_allclose(both[mine], both[theirs], rtol=1e-5)


def test_every_chart_stays_within_its_tile(page: Page, report: Path) -> None:
    page.open(report)
    for tiles in ("#maps .map", "#curves .map"):
        widths = page.each(tiles, "[one.querySelector('.main-svg').clientWidth, one.clientWidth]")
        assert len(widths) >= len(CONCEPTS)
        assert all(drawn <= tile for drawn, tile in widths)


def test_dark_and_light(page: Page, report: Path) -> None:
    page.open(report, scheme="dark")
    shade = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    assert max(page.run(shade)) < 60
    before = page.run("return document.querySelector('#maps [role=application]').data[0].colorscale")
    page.run("document.getElementById('theme').click()")
    assert min(page.run(shade)) > 200
    assert page.run("return document.querySelector('#maps [role=application]').data[0].colorscale") != before
    assert page.errors() == []


def test_a_phone_scrolls_in_one_direction_only(page: Page, report: Path) -> None:
    page.open(report, width=390)
    assert page.run(NO_OVERFLOW)
    page.open(report, "#L1H3", width=390)
    assert page.run(NO_OVERFLOW)
    assert page.run("return document.getElementById('card').getBoundingClientRect().width") == 390


def test_it_prints_without_the_screens_tools(page: Page, report: Path) -> None:
    page.open(report, "#L1H3")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert set(page.each(".top, .card, .bar, .tools", "getComputedStyle(one).display")) == {"none"}
    assert len(page.driver.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 10_000


HOSTILE = (
    "<script>window.harmed = 1</script>",
    "<img src=x onerror='window.harmed = 1'>",
    "</script><script>window.harmed = 1</script>",
    "'\"`${window.harmed = 1}\\u003cb\\u003e & &amp; &lt;i&gt;",
    "<!-- <b>bold</b> --> ]]> {{ 7 * 7 }} {% raw %}",
    "😀 👩‍👩‍👧 ありがとう שלום مرحبا \u202ereversed\u202c",
    "word " * 2000,
)


@pytest.fixture(scope="module")
def hostile(write_page: Write) -> tuple[Path, dict[str, Any]]:
    """A run whose every name and text does its worst."""
    concepts = (HOSTILE[0], HOSTILE[1], "ありがとう")
    tables = fake_tables(2, 3, concepts)
    row = tables["texts"].iloc[0]
    more = [
        {**row, "prompt": text, "prompt_id": text, "baseline_text": text, "edited_text": text[::-1]} for text in HOSTILE
    ]
    tables["texts"] = pd.concat([pd.DataFrame(more), tables["texts"]], ignore_index=True)
    facts = fake_facts(2, 3)
    facts["model"]["name"] = HOSTILE[2]
    facts["warnings"] = list(HOSTILE)
    facts["command"] = ["headscope", *HOSTILE]
    arrays = fake_arrays(tables, concepts)
    words = np.array([list(HOSTILE)] * 3, dtype=object)
    arrays["screen"] = arrays["screen"].assign_coords(token_text=(("example", "token"), words))
    return write_page(tables, facts, arrays), facts


def test_text_of_models_and_prompts_is_text(page: Page, hostile: tuple[Path, dict[str, Any]]) -> None:
    page.open(hostile[0], "#L1H2")
    for measure in ("screen", "effect"):
        page.run(f"document.querySelector('[data-measure={measure}]').click()")
    page.mouse(page.cell(0, 0, 0))
    page.run("[...document.querySelectorAll('details')].forEach((box) => { box.open = true; })")
    page.run("[...document.querySelectorAll('#text-list button')].forEach((more) => more.click())")
    assert page.run("return window.harmed") is None
    assert page.errors() == []
    shown = page.text("#texts")
    for text in HOSTILE:
        assert text in shown
        assert text in page.text("#method")
    assert page.text("h1").count("<script>") == 2
    assert (
        page.run("return document.querySelectorAll('main img, main script, #card img, #card script, main i i').length")
        == 0
    )
    assert page.run(NO_OVERFLOW)


def test_parts_that_were_not_measured_are_named(page: Page, tables: dict[str, pd.DataFrame], write_page: Write) -> None:
    looked = {name: tables[name] for name in ("screen", "coverage")}
    page.open(write_page(looked, fake_facts(4, 4)), "#L1H3")
    assert page.errors() == []
    text = page.text("main")
    for sentence in (
        "Not in this run folder",
        "were not both measured",
        "No head was removed alone",
        "No texts were written",
    ):
        assert sentence in text
    assert page.run("return document.querySelectorAll('#maps [role=application]').length") == len(CONCEPTS) + 1
    done = {name: tables[name] for name in ("effects", "assay", "verdicts")}
    page.open(write_page(done, fake_facts(4, 4)))
    assert page.errors() == []
    assert (
        page.run("return [...document.querySelectorAll('#measures button')].map((one) => one.dataset.measure)")[0]
        == "effect"
    )


def test_an_empty_run_says_so(page: Page, write_page: Write) -> None:
    page.open(write_page({}, {"status": "failed"}))
    assert page.errors() == []
    assert "holds no table" in page.text("main")
    assert "not finished (status: failed)" in page.text("main")


def test_a_model_of_80_layers_is_drawn_and_its_tables_stay_short(page: Page, write_page: Write) -> None:
    path = write_page({"screen": fake_screen(80, 64)}, fake_facts(80, 64))
    assert path.stat().st_size < 30e6
    page.open(path, "#L79H63")
    assert page.errors() == []
    assert page.text("#card-title") == "L79H63"
    assert np.shape(page.run(MAP_VALUES)) == (4, 80, 64)
    # What keeps it fast: cells are one picture each, and rows beyond the first hundred wait until they are asked for.
    assert len(_heads_table(page)) == 100
    assert page.run("return document.querySelectorAll('*').length") < 8000
    assert page.run(NO_OVERFLOW)


def test_patches_and_predictions_are_maps_and_points_of_their_own(
    page: Page, tables: dict[str, pd.DataFrame], write_page: Write
) -> None:
    scores = fake_scores(lone_effects(tables["effects"]))
    page.open(write_page(tables | fake_patching() | {"scores": scores}, fake_facts(4, 4)), "#L1H3")
    patches = lone_patches(fake_patching()["patching"])
    for measure, rows in (
        ("brings", patches[patches["direction"] == "sufficiency"]),
        ("takes", patches[patches["direction"] == "necessity"]),
        ("predicted", scores),
    ):
        page.run(f"document.querySelector('[data-measure={measure}]').click()")
        expected = [_grid(rows, concept) for concept in CONCEPTS]
        np.testing.assert_allclose(page.run(MAP_VALUES)[:-1], expected, rtol=1e-5, atol=1e-6)
        veils = [np.array(veil, float) == 1 for veil in page.run(VEILS)[:-1]]
        hidden = (
            [_grid(rows, concept, "p_max_t") >= 0.05 for concept in CONCEPTS] if measure != "predicted" else [[[0]]]
        )
        np.testing.assert_array_equal(veils, np.broadcast_to(hidden, np.shape(veils)))
    both = scores[scores["exact_estimate"].notna()]
    points = page.run("return document.getElementById('predicted').data.filter((one) => one.mode === 'markers')")
    assert len(points) == len(CONCEPTS)
    for trace, concept in zip(points, CONCEPTS, strict=True):
        part = both[both["concept"] == concept]
        np.testing.assert_allclose([trace["x"], trace["y"]], part[["estimate", "exact_estimate"]].T, rtol=1e-5)
    brought = patches[(patches["layer"] == 1) & (patches["head"] == 3) & (patches["direction"] == "sufficiency")]
    told = page.text("#card")
    assert "brings it (sufficiency)" in told
    assert all(number(value) in told for value in brought["estimate"])
    assert page.errors() == []
    assert page.run(NO_OVERFLOW)


def test_texts_under_a_patch_are_named_so_and_stand_on_no_heads_card(
    page: Page, tables: dict[str, pd.DataFrame], write_page: Write
) -> None:
    texts = tables["texts"]
    patched = texts.assign(edit="control_patch", direction="sufficiency", edited_text=" written under a patch")
    page.open(write_page(tables | {"texts": pd.concat([texts, patched])}, fake_facts(4, 4)))
    offered = page.run("return [...document.querySelectorAll('#texts option')].map((one) => one.textContent)")
    assert len(offered) == 2 * len(CONCEPTS)
    assert sum("without" in one and "(mean)" in one for one in offered) == len(CONCEPTS)
    assert sum("patched for sufficiency (control patch)" in one for one in offered) == len(CONCEPTS)
    layer, head = str(texts["heads"].iloc[0]).split(",")[0].split(":")
    page.open(write_page(tables | {"texts": pd.concat([texts, patched])}, fake_facts(4, 4)), f"#L{layer}H{head}")
    assert "Texts were written without sets of heads" in page.text("#card")
    assert "written under a patch" not in page.text("#card")
    assert page.errors() == []


def test_two_runs_beside_each_other(page: Page, tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    others = fake_tables(4, 4, seed=1)
    first, second = (
        RunSide(name, of, facts_of(fake_facts(4, 4), of)) for name, of in (("one <b>", tables), ("two", others))
    )
    path = tmp_path / "compare.html"
    path.write_text(render_comparison(first, second, compare_runs(first, second)), encoding="utf-8")
    page.open(path)
    assert page.errors() == []
    assert {url.split("#")[0] for url in page.requests()} == {path.as_uri()}
    drawn = page.each("#pairs [role=application]", "one.data[0].z")
    expected = [_grid(lone_effects(of["effects"]), concept) for concept in CONCEPTS for of in (tables, others)]
    np.testing.assert_allclose(drawn, expected, rtol=1e-5, atol=1e-6)
    page.run("document.querySelector('[data-measure=attention]').click()")
    drawn = page.each("#pairs [role=application]", "one.data[0].z")
    expected = [_grid(screen_rows(of["screen"]), concept) for concept in CONCEPTS for of in (tables, others)]
    np.testing.assert_allclose(drawn, expected, rtol=1e-5, atol=1e-6)
    page.run("document.getElementById('theme').click()")
    assert page.errors() == []
    page.open(path, width=390)
    assert page.run(NO_OVERFLOW)


def test_the_switch_shows_the_page_in_japanese_and_the_address_keeps_it(page: Page, report: Path) -> None:
    page.open(report)
    assert page.run("return document.documentElement.lang") == "en"
    assert page.text("#sets .box:not([data-table]) summary").startswith("Joint effect")
    page.run(
        "const select = document.getElementById('language');"
        "select.value = 'ja'; select.dispatchEvent(new Event('change'))"
    )
    page.wait("return document.documentElement.lang === 'ja' && document.body.dataset.ready === 'true'")
    ja = words_of("ja")
    assert "lang=ja" in page.run("return location.search")
    assert page.text("#heads-title") == ja("page.heads")
    assert page.text("#sets .box:not([data-table]) summary") == ja("joint.title")
    titles = page.each("#sets .box:not([data-table]) thead th", "one.textContent")
    assert titles[:3] == [ja(f"columns.{key}") for key in ("concept", "heads", "templates")]
    heads = page.each("[data-table=heads] thead th", "one.textContent")
    assert heads[:3] == [ja(f"columns.{key}") for key in ("head", "concept", "delta_attention")]
    assert page.run("return document.querySelectorAll('.words[lang=en]').length") == 0
    assert page.errors() == []
    page.run("location.hash = '#L1H3'")
    page.wait("return !document.getElementById('card').hidden")
    assert ja("card.reads") in page.text("#card")
    assert page.errors() == []
