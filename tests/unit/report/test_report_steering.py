"""Steering in report and page: the numbers of the tables, nothing else, and no section where nothing was steered."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from headscope.plots.steered import steered_of
from headscope.report import render_evidence, render_page
from headscope.report.headlines import headlines
from headscope.report.numbers import interval, number, probability, ratio
from headscope.report.run_report import content_of
from headscope.report.steering_cells import dose_table, slope_table, text_dose
from headscope.report.words import words_of
from tests.unit.report.fake_steering import DOSES, N_DRAWS, curve_rows, fake_steering, slope_row
from tests.unit.report.fake_tables import fake_facts, fake_tables

LANGUAGES = ("en", "ja")
HOSTILE = "<script>alert(1)</script> | *x* `y`"


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return fake_steering()


def section_of(report: str, language: str) -> str:
    """The section on steering, without what comes after it."""
    title = words_of(language)("steering.title")
    assert report.count(f". {title}\n") == 1
    return report.split(f". {title}\n")[1].split("\n## ")[0]


def one_head(steering: list[dict[str, object]], **told: object) -> dict[str, pd.DataFrame]:
    slope = slope_row("anger", "1:2", steering, **told)  # pyright: ignore[reportArgumentType]
    return {"steering": pd.DataFrame(steering), "dose_response": pd.DataFrame([slope])}


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_of_the_section_are_the_tables(tables: dict[str, pd.DataFrame], language: str) -> None:
    section = section_of(render_evidence(tables, fake_facts(), language), language)
    told = section.split("\n|")[0]
    for row in tables["dose_response"].to_dict("records"):
        assert f"{number(row['estimate'])} {interval(row['sim_low'], row['sim_high'])}" in section
    for one in steered_of(tables):
        doses = one.doses.set_index("dose")
        for name in ("smallest_dose", "bounded_dose"):
            dose = one.slope[name]
            if name == "smallest_dose" and dose == dose:
                assert number(doses.loc[dose, "estimate"]) in told
                assert interval(doses.loc[dose, "sim_low"], doses.loc[dose, "sim_high"]) in told
        if one.slope["harmful_dose"] == one.slope["harmful_dose"]:
            assert ratio(doses.loc[one.slope["harmful_dose"], "ratio"]) in told
    assert f"p = {probability(1 / (N_DRAWS + 1))}" in told
    assert number(1 / (N_DRAWS + 1)) in told, "the smallest p that could have come"


def test_what_a_reviewer_asks_for_is_said(tables: dict[str, pd.DataFrame]) -> None:
    section = section_of(render_evidence(tables, fake_facts(), "en"), "en")
    for phrase in ("isotropic", "exploratory", "12 templates", "smallest reachable", "no confidence interval"):
        assert phrase in section
    assert "not compared with random vectors or random heads" in section  # the set that was scaled


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_verdict_stands_beside_what_the_dose_does_to_other_concepts(language: str) -> None:
    rows = curve_rows("anger", "1:2", gain=0.3, cost=0.0001)
    mine = [row for row in rows if row["outcome"] == "lexicon_logodds_nats"]
    other = [row | {"outcome": "lexicon_logodds_nats:joy", "estimate": row["estimate"] * 0.9} for row in mine]
    ends = {"sim_low": float("nan"), "sim_high": float("nan")}
    found = one_head([*rows, *(row | ends for row in other)], verdict="steers")
    told = section_of(render_evidence(found, fake_facts(), language), language).split("\n|")[0]
    last = next(row for row in other if row["dose"] == 8.0)
    assert f"joy {number(last['estimate'])} nats" in told
    assert interval(last["ci_low"], last["ci_high"]) in told


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_smallest_p_is_told_only_of_a_search_that_ran_to_its_end(language: str) -> None:
    """One that stopped at the tenth of 16 could have reached a smaller p than 1 / 17."""
    rows = curve_rows("anger", "1:2", gain=0.3, cost=0.0001)
    stopped = one_head(rows, p_vector=0.001, p_random_vectors=10 / 16, n_random_vectors=16)
    told = section_of(render_evidence(stopped, fake_facts(), language), language).split("\n|")[0]
    words = words_of(language)
    assert words("steering.random_vectors_reach", p="p = 0.625", reaching="10", drawn="16") in told
    assert number(1 / 17) not in told
    assert words("steering.holds", p="p = 0.001") in told


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_that_steers_nothing_is_told_as_before(language: str) -> None:
    report = render_evidence(fake_tables(), fake_facts(), language)
    assert words_of(language)("steering.title") not in report
    assert f"## 15. {words_of(language)('notes.title')}" in report
    assert 'id="steering"' not in render_page(fake_tables(), fake_facts())


def test_a_run_with_both_has_steering_between_patching_and_notes(tables: dict[str, pd.DataFrame]) -> None:
    report = render_evidence(fake_tables() | tables, fake_facts(), "en")
    numbered = re.findall(r"^## (\d+)\. (\w+)", report, re.M)
    assert [(n, title) for n, title in numbered[-3:]] == [("14", "Patching"), ("15", "Steering"), ("16", "Notes")]
    first = content_of(fake_tables() | tables, fake_facts()).told_in("en")
    assert headlines(first) == headlines(content_of(fake_tables(), fake_facts()).told_in("en"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_that_only_steers_says_so_first_and_nothing_of_what_it_did_not_do(
    tables: dict[str, pd.DataFrame], language: str
) -> None:
    words = words_of(language)
    report = render_evidence(tables | {"assay": fake_tables()["assay"]}, fake_facts(), language)
    result = report.split("\n\n")[1]
    assert words.known("verdicts", "steers") in result
    assert "**gratitude**" in result
    assert "**anger**" not in result, "it was not steered"
    headings = re.findall(r"^## (\d+)\. (.*)", report, re.M)
    keys = ("artifacts", "commands", "assay", "steering", "notes")
    assert headings == [(str(n), words(f"{key}.title")) for n, key in enumerate(keys, start=1)]


def test_a_concept_that_the_model_does_not_show_is_told_as_such(tables: dict[str, pd.DataFrame]) -> None:
    assay = fake_tables()["assay"].assign(shown=False)
    told = headlines(content_of(tables | {"assay": assay}, fake_facts()).told_in("en"))
    assert [tone for tone, _ in told] == ["unknown"]
    assert "steers" not in told[0][1]


def test_a_window_is_told_only_where_an_effect_comes_without_harm() -> None:
    free = curve_rows("anger", "1:2", gain=0.3, cost=0.0001)
    costly = curve_rows("anger", "1:2", gain=0.3, cost=0.05)
    unmeasured = curve_rows("anger", "1:2", gain=0.3, cost=0.0, damage=False)
    idle = curve_rows("anger", "1:2", gain=0.0, cost=0.0001)
    told = {}
    for name, rows in {"free": free, "costly": costly, "unmeasured": unmeasured, "idle": idle}.items():
        told[name] = section_of(render_evidence(one_head(rows), fake_facts(), "en"), "en").split("\n|")[0]
    assert "is ruled out up to there" in told["free"]
    assert "Harm is shown" not in told["free"]
    assert "is not ruled out up to there" in told["costly"]
    assert "Harm is shown at" in told["costly"]
    assert "Damage was not measured" in told["unmeasured"]
    assert "ruled out" not in told["unmeasured"]
    assert "None of the doses 1 σ, 2 σ, 4 σ, 6 σ, 8 σ is shown" in told["idle"]
    assert "ruled out" not in told["idle"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("without", [("steering_nulls",), ("dose_response",), ("steering_nulls", "dose_response")])
def test_what_is_missing_is_left_out(tables: dict[str, pd.DataFrame], without: tuple[str, ...], language: str) -> None:
    fewer = {name: table for name, table in tables.items() if name not in without}
    section = section_of(render_evidence(fewer, fake_facts(), language), language)
    assert number(1.32) in section  # an effect stands in the table of doses
    assert "nan" not in section
    assert "None" not in section.replace("None of the doses", "")
    assert render_page(fewer, fake_facts()).count('id="steering"') == 1


def test_one_template_has_no_interval_and_is_told_without() -> None:
    rows = curve_rows("anger", "1:2", gain=0.3, cost=0.001)
    for row in rows:
        row.update({name: float("nan") for name in ("ci_low", "ci_high", "sim_low", "sim_high", "p_value")})
        row["n_templates"] = 1
    ends = {name: float("nan") for name in ("ci_low", "ci_high", "sim_low", "sim_high")}
    alone = one_head(rows, **ends, n_templates=1, verdict="no verdict")
    section = section_of(render_evidence(alone, fake_facts(), "en"), "en")
    assert "*no verdict*" in section
    assert "no interval" in section


def test_negative_doses_alone_are_judged() -> None:
    rows = curve_rows("anger", "1:2", gain=0.3, cost=0.001, doses=(-4.0, -1.0))
    tables = {"steering": pd.DataFrame(rows)}
    assert list(steered_of(tables)[0].judged["dose"]) == [-4.0, -1.0]
    assert text_dose(steered_of(tables)[0]) == -1.0
    assert "−4 σ" in section_of(render_evidence(tables, fake_facts(), "en"), "en")


def test_tables_hold_every_dose_and_the_range_of_the_draws(tables: dict[str, pd.DataFrame]) -> None:
    one = steered_of(tables)[0]
    cells = dose_table(one, words_of("en"))
    assert len(cells.rows) == len(DOSES)
    nulls = tables["steering_nulls"]
    mine = nulls[(nulls["heads"] == one.heads) & (nulls["null"] == "random_vector") & (nulls["dose"] == 8.0)]
    low, high = mine["estimate"].min(), mine["estimate"].max()
    assert cells.rows[-1][cells.columns.index("random_vectors")] == (
        f"{number(mine['estimate'].mean())} {interval(low, high)}"
    )
    assert len(slope_table(steered_of(tables), words_of("en")).rows) == 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_several_concepts_and_hostile_names_are_text(tables: dict[str, pd.DataFrame], language: str) -> None:
    hostile = {name: table.assign(concept=HOSTILE, target="elsewhere <b>") for name, table in tables.items()}
    for table in hostile.values():
        table["vector"] = table["vector"].where(table["vector"] == "", "<i>mine</i>")
    hostile["steering_nulls"] = hostile["steering_nulls"].drop(columns="target")
    both = {name: pd.concat([tables[name], hostile[name]], ignore_index=True) for name in tables}
    report, page = render_evidence(both, fake_facts(), language), render_page(both, fake_facts(), language=language)
    assert "**gratitude**" in report
    for text in (report, page.replace("<script>", "", 3)):
        assert "<script>alert" not in text
        assert "<i>mine" not in text
        assert "elsewhere <b>" not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_text_shown_is_the_first_at_the_largest_bounded_dose(
    tables: dict[str, pd.DataFrame], language: str
) -> None:
    texts = pd.DataFrame(
        [
            {
                "concept": "gratitude", "prompt_id": f"p-{n}", "sample": 0, "prompt": f"Prompt {n}", "heads": "1:10",
                "edit": "add", "vector": "mean_difference", "dose": dose, "direction": "", "source_id": "",
                "baseline_text": f" plain {n}", "edited_text": f" steered {n} at {dose:g}",
            }
            for n in range(2)
            for dose in DOSES
        ]
    )  # fmt: skip
    report = render_evidence(tables | {"texts": texts}, fake_facts(), language)
    assert "` steered 0 at 6`" in report
    assert len(re.findall(r"` steered \d at", report)) == 1
    assert words_of(language)("steering_texts.about") in report


def test_the_page_draws_what_the_tables_hold(tables: dict[str, pd.DataFrame]) -> None:
    page = render_page(tables, fake_facts())
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])  # pyright: ignore[reportOptionalSubscript]
    first = data["steering"][0]
    rows = tables["steering"]
    mine = rows[(rows["heads"] == "1:10") & (rows["role"] == "single") & (rows["outcome"] == "lexicon_logodds_nats")]
    assert first["doses"]["estimate"] == pytest.approx(mine.sort_values("dose")["estimate"].tolist(), rel=1e-5)
    assert first["draws"] == {"random_vector": N_DRAWS, "random_heads": N_DRAWS}
    assert first["unedited"] == 0.0
    assert data["steering"][-1]["unedited"] == 1.0  # a factor
    assert 'class="headline found"' in page
    assert set(re.findall(r'<section id="(\w+)" hidden', page)) == {
        "heads", "looking", "sets", "patching", "texts", "tables",
    }  # fmt: skip
