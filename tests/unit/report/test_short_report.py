"""The short report: short, whole, and resting on its evidence in every sentence and table."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from headscope.report import render_evidence, render_markdown
from headscope.report.anchors import evidence_file, slug
from headscope.report.document import Picture, Table
from headscope.report.numbers import interval, number
from headscope.report.run_report import content_of
from headscope.report.sections import sections_of
from headscope.report.words import words_of
from tests.unit.report.fake_steering import fake_steering
from tests.unit.report.fake_tables import CONCEPTS, PRIMARY, fake_facts, fake_tables, planted_heads
from tests.unit.report.reading import anchors_in, length_in_words, links_in, n_japanese_words, n_words

LANGUAGES = ("en", "ja")
LARGEST = 4000
"""Words of the report on 144 heads and three concepts."""
SMALL = 2500
"""Words of the report on 16 heads."""
FIGURES = [
    f"plots/{name}_demo.png"
    for name in ("ablation_comparison", "curves", "effect_heatmap", "forest", "head_reaction_heatmap", "top_heads")
]


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return fake_tables(12, 12)


@pytest.fixture(scope="module")
def reports(tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    facts = fake_facts(12, 12) | {"figures": FIGURES}
    return {language: render_markdown(tables, facts, language) for language in LANGUAGES}


def cells_of(report: str) -> list[list[str]]:
    rows = [line for line in report.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


@lru_cache(maxsize=1)
def kinds_of_runs() -> dict[str, dict[str, pd.DataFrame]]:
    """Runs of which each did a part only."""
    whole = fake_tables()
    asked = (whole["effects"]["role"] == "requested") & (whole["effects"]["concept"] == "gratitude")
    return {
        "nothing": {},
        "screen": {name: whole[name] for name in ("coverage", "screen", "attention_by_region")},
        "probes": {"probes": whole["probes"]},
        "assay": {"assay": whole["assay"]},
        "ablate": {"effects": whole["effects"][asked], "texts": whole["texts"]},
        "steer": fake_steering(),
        "steer with assay": fake_steering() | {"assay": whole["assay"]},
        "both": whole | fake_steering(),
        "effects alone": {name: whole[name] for name in ("assay", "effects", "verdicts")},
    }


def test_words_are_counted_as_anyone_counts() -> None:
    assert n_words("| a | b |\n|:--|--:|\n| :-- | --: |\n| 1 | [0.1, 0.2] |\n") == 5 + 1 + 5 + 6
    assert n_words("see [the table](evidence.md#a-b) and ![figure 1](plots/one.png)") == 6
    assert n_words("注意を向ける、0.3 である。\n") == 2
    assert n_japanese_words("注意を向ける、0.3 である。") == pytest.approx(1 + 9 / 2.5)
    assert n_japanese_words("| [注意](evidence.ja.md#注意) | 0.3 |\n|:--|--:|\n") == pytest.approx(3 + 2 / 2.5)
    assert length_in_words("注意を向ける、0.3 である。") == pytest.approx(1 + 9 / 2.5)
    assert length_in_words("| a | b |") == 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_on_144_heads_is_short(reports: dict[str, str], language: str) -> None:
    assert length_in_words(reports[language]) <= LARGEST


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_has_the_studys_sections_in_their_order(reports: dict[str, str], language: str) -> None:
    words = words_of(language)
    keys = ("purpose", "artifacts", "commands", "short.settings", "short.heads", "ablation", "ranking", "layers",
            "pictures", "discussion", "short.patching", "notes")  # fmt: skip
    expected = [f"{at}. {words(f'{key}.title')}" for at, key in enumerate(keys, start=1)]
    assert re.findall(r"^## (\d.*)$", reports[language], re.M) == expected


def test_both_languages_hold_the_same_tables_and_numbers(reports: dict[str, str]) -> None:
    numbers = [set(re.findall(r"\d+(?:\.\d+)?(?:e[−-]?\d+)?", reports[language])) for language in LANGUAGES]
    assert numbers[0] == numbers[1]
    shapes = [[len(row) for row in cells_of(reports[language])] for language in LANGUAGES]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("kind", kinds_of_runs())
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_link_leads_to_a_heading_and_every_section_with_evidence_is_linked(kind: str, language: str) -> None:
    tables, facts = kinds_of_runs()[kind], fake_facts() | {"figures": FIGURES}
    report, evidence = render_markdown(tables, facts, language), render_evidence(tables, facts, language)
    there = anchors_in(evidence)
    linked = {address.partition("#")[2] for address in links_in(report) if "#" in address}
    assert {address for address in links_in(report) if "#" not in address} <= set(FIGURES)
    assert all(address.startswith(f"{evidence_file(language)}#") for address in links_in(report) if "#" in address)
    assert linked <= there
    run = content_of(tables, facts).told_in(language)
    holding = [one for one in sections_of(run) if any(isinstance(block, Table | Picture) for block in one.blocks)]
    assert {slug(one.title) for one in holding} <= linked


@pytest.mark.parametrize("kind", kinds_of_runs())
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_section_is_empty_and_numbers_have_no_gap(kind: str, language: str) -> None:
    report = render_markdown(kinds_of_runs()[kind], fake_facts(), language)
    _, *sections = re.split(r"(?m)^## ", report)
    numbers = [int(found[1]) for section in sections if (found := re.match(r"(\d+)\. ", section))]
    assert numbers == list(range(1, len(numbers) + 1))
    for section in sections:
        body = [
            line
            for line in section.splitlines()[1:]
            if line and not line.startswith(("#", "*Evidence", "*[Evidence", "*根拠", "*[根拠"))
        ]
        assert body, section
    assert length_in_words(report) <= (LARGEST if kind == "both" else SMALL)


@pytest.mark.parametrize("language", LANGUAGES)
def test_looking_and_doing_stand_side_by_side(
    reports: dict[str, str], tables: dict[str, pd.DataFrame], language: str
) -> None:
    screen = tables["screen"][(tables["screen"]["query"] == "last") & (tables["screen"]["measure"] == "attention")]
    effects = tables["effects"]
    single = effects[(effects["role"] == "single") & (effects["edit"] == "mean") & (effects["outcome"] == PRIMARY)]
    verdicts = tables["verdicts"].set_index(["concept", "heads"])["verdict"]
    for concept in CONCEPTS:
        looks = screen[screen["concept"] == concept].sort_values("estimate", ascending=False)
        does = single[single["concept"] == concept].set_index("heads")
        limit = tables["verdicts"].set_index("concept")["threshold_nats"][concept].iloc[0]
        expected = {}
        for look in looks.to_dict("records"):
            heads = f"{look['layer']}:{look['head']}"
            effect = does.loc[heads]
            expected[heads] = [
                f"L{look['layer']}H{look['head']}",
                f"{number(look['estimate'])} {interval(look['sim_low'], look['sim_high'])}",
                f"{number(effect['estimate'])} {interval(effect['sim_low'], effect['sim_high'])}",
                str(words_of(language).named("verdicts", verdicts[concept, heads])),
            ]
        heading = words_of(language)("short.heads.by_look", 10, concept=concept)
        _, *rows = cells_of(reports[language].split(f"### {heading}\n")[1].split("\n### ")[0])
        first = list(expected)[:10]
        strong = does.index[(does["sim_high"] < -limit) | (does["sim_low"] > limit)]
        beyond = [heads for heads in does.loc[strong, "estimate"].abs().sort_values().index[::-1] if heads not in first]
        assert rows == [expected[heads] for heads in (*first, *beyond)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_says_how_many_of_those_that_look_most_do_what_matters(
    tables: dict[str, pd.DataFrame], language: str
) -> None:
    assay = tables["assay"].copy()
    assay.loc[assay["concept"] == "anger", "shown"] = False
    report = render_markdown(tables | {"assay": assay}, fake_facts(12, 12), language)
    single = tables["effects"][lambda rows: (rows["role"] == "single") & (rows["edit"] == "mean")]
    lowering = single[single["outcome"] == PRIMARY].merge(
        tables["verdicts"][["concept", "heads", "threshold_nats"]], on=["concept", "heads"]
    )[lambda rows: rows["sim_high"] < -rows["threshold_nats"]]
    shared = []
    for concept in ("gratitude", "apology"):
        heading = words_of(language)("short.heads.by_look", 10, concept=concept)
        _, *rows = cells_of(report.split(f"### {heading}\n")[1].split("\n### ")[0])
        names = [f"L{heads.replace(':', 'H')}" for heads in lowering.loc[lowering["concept"] == concept, "heads"]]
        n = sum(row[0] in names for row in rows[:10])
        shared.append(words_of(language)("short.heads.shared", concept=concept, n=n, top=10))
    told = words_of(language)("short.heads.looking_and_doing", shared=words_of(language).listed(shared, by="items"))
    assert told in report


def test_heads_beyond_the_first_ten_that_are_not_shown_are_counted(tables: dict[str, pd.DataFrame]) -> None:
    effects = tables["effects"].copy()
    single = (effects["role"] == "single") & (effects["edit"] == "mean") & (effects["outcome"] == PRIMARY)
    strong = single & (effects["concept"] == "anger") & effects["layer"].isin([5, 6])
    effects.loc[strong, ["estimate", "ci_low", "ci_high", "sim_low", "sim_high"]] = [-3.0, -3.2, -2.8, -3.3, -2.7]
    report = render_markdown(tables | {"effects": effects}, fake_facts(12, 12), "en")
    section = report.split("### anger: top 10 by Δ")[1].split("\n### ")[0]
    told = re.search(r"(\d+) further heads change the log-odds by more than δ", section)
    assert told is not None
    _, *rows = cells_of(section)
    matters = int(strong.sum()) + 3  # the carrier, the one that damages, and the one that reads elsewhere
    among_first = sum(row[2].startswith(("−3.00", "−1.52")) for row in rows[:10])
    assert int(told[1]) == matters - among_first - len(rows[10:])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_set_is_never_told_without_its_verdict(
    reports: dict[str, str], tables: dict[str, pd.DataFrame], language: str
) -> None:
    verdicts = tables["verdicts"]
    sets = verdicts[verdicts["heads"].str.contains(",")]
    said = words_of(language)("short.verdict", verdict="¤").split("¤")[0]
    for row in sets.to_dict("records"):
        named = f"{said}{words_of(language).named('verdicts', row['verdict'])}"
        assert reports[language].count(named) >= 2, "beside its numbers and in the discussion"


@pytest.mark.parametrize("language", LANGUAGES)
def test_of_a_concept_that_is_not_shown_nothing_is_concluded(tables: dict[str, pd.DataFrame], language: str) -> None:
    assay = tables["assay"].copy()
    anger = assay["concept"] == "anger"
    assay.loc[anger, ["estimate", "ci_low", "ci_high", "p_value", "shown"]] = [0.1, -0.2, 0.4, 0.51, False]
    report = render_markdown(tables | {"assay": assay}, fake_facts(12, 12), language)
    discussion = report.split(f". {words_of(language)('discussion.title')}\n")[1].split("\n## ")[0]
    point = discussion.split("### anger")[1].split("###")[0]
    assert "0.100 nats" in point
    assert "[−0.200, 0.400]" in point
    assert not re.search(r"L\d+H\d+", point)
    following = report.split(f". {words_of(language)('short.patching.title')}\n")[1].split("\n## ")[0]
    (line,) = [line for line in following.splitlines() if "**anger**" in line]
    assert not re.search(r"L\d+H\d+", line)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_effect_in_the_discussion_has_its_interval(reports: dict[str, str], language: str) -> None:
    text = reports[language].split(f". {words_of(language)('discussion.title')}\n")[1].split("\n## ")[0]
    points = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(points) <= 5 * len(CONCEPTS)
    assert any("nats" in point for point in points)
    assert all("[" in point for point in points if "nats" in point)
    assert words_of(language)("short.discussion.bounds") in text


def test_only_the_pictures_that_matter_are_shown(reports: dict[str, str]) -> None:
    for language in LANGUAGES:
        shown = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", reports[language])
        assert shown == [f"plots/{name}_demo.png" for name in
                         ("head_reaction_heatmap", "effect_heatmap", "ablation_comparison")]  # fmt: skip
        assert words_of(language)("short.pictures.figure", 1) in reports[language]


def test_the_files_name_the_evidence(reports: dict[str, str]) -> None:
    for language in LANGUAGES:
        file = f"`{evidence_file(language)}`"
        told = words_of(language)("short.artifacts.file", file=file, holds=words_of(language).file("evidence.md"))
        assert f"- {told}\n" in reports[language]


def test_nothing_of_a_run_is_lost_between_report_and_evidence(tables: dict[str, pd.DataFrame]) -> None:
    run = content_of(tables, fake_facts(12, 12) | {"figures": FIGURES}).told_in("en")
    evidence = render_evidence(tables, fake_facts(12, 12) | {"figures": FIGURES}, "en")
    for path in FIGURES:
        assert path in evidence
    for section in sections_of(run):
        assert section.title in evidence


def test_few_templates_leave_no_interval_and_say_why(tables: dict[str, pd.DataFrame]) -> None:
    untested = ["ci_low", "ci_high", "sim_low", "sim_high", "p_value", "p_max_t", "q_value", "d_z", "mde"]
    few = {name: tables[name].assign(n_templates=5) for name in ("screen", "effects", "assay")}
    for table in few.values():
        table[[column for column in untested if column in table.columns]] = np.nan
    report = render_markdown({**tables, **few, "verdicts": tables["verdicts"].head(0)}, fake_facts(12, 12), "en")
    assert "5 templates are fewer than the 6" in report
    assert "nan" not in report.lower()


def test_the_studys_edit_is_told_where_the_deciding_one_was_not_made(tables: dict[str, pd.DataFrame]) -> None:
    effects = tables["effects"]
    zero = effects[(effects["role"] == "requested") & (effects["edit"] == "zero")]
    report = render_markdown({"effects": zero}, fake_facts(12, 12), "en")
    assert f"L{planted_heads(12, 12)['carrier'][0]}H10 (asked for, edit zero)" in report


def test_an_id_is_githubs() -> None:
    assert slug("5. Assay sensitivity: does it?") == "5-assay-sensitivity-does-it"
    assert slug("4. データとカバレッジ：`x`\\_y &amp; z") == "4-データとカバレッジx_y--z"


def test_links_are_those_of_the_language(reports: dict[str, str]) -> None:
    assert "evidence.ja.md#" not in reports["en"]
    assert "evidence.md#" not in reports["ja"]


def test_a_link_is_bare_where_the_evidence_has_no_such_section(tables: dict[str, pd.DataFrame]) -> None:
    run = content_of(tables, fake_facts(12, 12)).told_in("en")
    assert run.link("judged") == ""
    assert replace(run, targets={"judged": "evidence.md#a"}).link("judged") == "[Verdicts](evidence.md#a)"
