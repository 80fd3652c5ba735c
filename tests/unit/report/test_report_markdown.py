"""What the report must hold: every section, the tables' numbers, evidence beside every claim, in both languages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headscope.errors import RequestError
from headscope.report import render_evidence
from headscope.report.numbers import interval, number, probability
from headscope.report.words import words_of
from headscope.stats.attending import attending
from tests.unit.report.fake_tables import CONCEPTS, fake_facts, fake_tables

LANGUAGES = ("en", "ja")
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[−-]?\d+)?")


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return fake_tables()


@pytest.fixture(scope="module")
def reports(tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    facts = fake_facts() | {"figures": ["plots/top_heads_demo.png"]}
    return {language: render_evidence(tables, facts, language) for language in LANGUAGES}


def cells_of(report: str) -> list[list[str]]:
    rows = [line for line in report.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def numbers_of(text: str) -> Counter[str]:
    return Counter(NUMBER.findall(text))


def test_every_section_of_the_study_is_there(reports: dict[str, str]) -> None:
    for words in (
        "Purpose", "Artifacts", "Commands", "Data and coverage", "Assay sensitivity", "Screening: where heads look",
        "Ablation: what the model says", "Settings", "Joint effect, sum of single effects, random sets",
        "Overall ranking", "Statistics by layer", "Screening beside the causal effect", "Verdicts", "Figures",
        "Discussion", "Patching: what heads bring", "Notes",
    ):  # fmt: skip
        assert re.search(rf"^#+ .*{words}", reports["en"], re.M), words
    for words in ("目的", "成果物", "コマンド", "カバレッジ", "測定感度", "スクリーニング", "アブレーション", "順位"):
        assert re.search(rf"^#+ .*{words}", reports["ja"], re.M), words
    headings = [re.findall(r"^(#+) ", reports[language], re.M) for language in LANGUAGES]
    assert headings[0] == headings[1]


def test_both_languages_say_the_same_numbers(reports: dict[str, str]) -> None:
    assert set(numbers_of(reports["en"])) == set(numbers_of(reports["ja"]))
    cells = [Counter(cell for row in cells_of(reports[language]) for cell in row if NUMBER.search(cell))
             for language in LANGUAGES]  # fmt: skip
    differing = [
        cell
        for cell in set(cells[0]) | set(cells[1])
        if cells[0][cell] != cells[1][cell] and not re.search(r"[A-Za-z一-龠]", re.sub(r"L\d+H\d+", "", cell))
    ]
    assert differing == []


def control_table(rows: list[tuple[str, str, str, float, float, float]]) -> pd.DataFrame:
    """A table ``negative_control``: concept, heads, verdict, estimate and simultaneous limits; delta is .05."""
    table = pd.DataFrame(rows, columns=["concept", "heads", "verdict", "estimate", "sim_low", "sim_high"])
    return table.assign(reason="", threshold_nats=0.05, threshold_share=0.02, attends="no")


def test_the_negative_control_says_what_random_words_were_called_in_both_languages() -> None:
    rows = [
        ("joy", "0:0", "carrier", -0.81, -1.25, -0.37),
        ("joy", "0:1", "no effect", 0.01, -0.02, 0.04),
        ("fear", "0:0", "no verdict", 0.93, 0.15, 1.71),
        ("fear", "0:1", "no verdict", -0.3, -0.64, 0.04),
    ]
    tables = fake_tables() | {"negative_control": control_table(rows)}
    said = {}
    for language, start in (("en", "**Negative control.**"), ("ja", "**陰性対照。**")):
        paragraphs = render_evidence(tables, fake_facts(), language).split("\n\n")
        (said[language],) = (paragraph for paragraph in paragraphs if paragraph.startswith(start))
    assert numbers_of(said["en"]) == numbers_of(said["ja"])
    for words in (
        "call 1 of 4 heads (over 2 concepts) a carrier",
        "for 1 of 2 concepts (where",
        "2 of 4 simultaneous",
        "L0H0",
    ):
        assert words in said["en"]
    assert "0.930 nats (simultaneous 95 % CI 0.150 to 1.71; L0H0, fear)" in said["en"]
    assert "only together with its specificity" in said["en"]


def test_a_control_that_found_nothing_draws_no_conclusion_about_effects() -> None:
    rows = [("joy", "0:0", "no effect", 0.01, -0.02, 0.04), ("joy", "0:1", "undecided", 0.01, -0.2, 0.4)]
    report = render_evidence(fake_tables() | {"negative_control": control_table(rows)}, fake_facts(), "en")
    assert "call 0 of 2 heads" in report
    assert "unrelated words" not in report


def test_without_a_control_none_is_spoken_of(reports: dict[str, str]) -> None:
    assert "Negative control" not in reports["en"]
    assert "陰性対照" not in reports["ja"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_result_paragraph_comes_first_and_names_carriers_with_intervals(
    reports: dict[str, str], tables: dict[str, pd.DataFrame], language: str
) -> None:
    first = reports[language].split("\n\n")[1]
    assert first.startswith(("**Result.**", "**結果**"))
    verdicts = tables["verdicts"]
    carriers = verdicts[verdicts["verdict"].isin(["carrier", "shared carrier"])]
    assert len(carriers)
    for row in carriers.to_dict("records"):
        assert f"{number(row['estimate'])} nats" in first
        assert interval(row["sim_low"], row["sim_high"]) in first
    assert all(f"**{concept}**" in first for concept in CONCEPTS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_top_ten_tables_hold_the_screens_numbers(
    reports: dict[str, str], tables: dict[str, pd.DataFrame], language: str
) -> None:
    rows = cells_of(reports[language])
    screen = tables["screen"]
    found = attending(screen, 0.02)
    answers = dict(zip(zip(found["concept"], found["layer"], found["head"], strict=True), found["answer"], strict=True))
    screen = screen[(screen["query"] == "last") & (screen["measure"] == "attention")]
    for concept in CONCEPTS:
        top = screen[screen["concept"] == concept].sort_values("estimate", ascending=False).head(10)
        for rank, row in enumerate(top.to_dict("records"), start=1):
            expected = [
                str(rank), f"L{row['layer']}H{row['head']}", number(row["estimate"]), number(row["concept_mean"]),
                number(row["control_mean"]), interval(row["ci_low"], row["ci_high"]),
                interval(row["sim_low"], row["sim_high"]), probability(row["q_value"]), number(row["mde"]),
                words_of(language).answer(answers[concept, row["layer"], row["head"]]),
            ]  # fmt: skip
            assert expected in rows


@pytest.mark.parametrize("language", LANGUAGES)
def test_comparison_tables_hold_every_outcome_of_every_set(
    reports: dict[str, str], tables: dict[str, pd.DataFrame], language: str
) -> None:
    numbers_in_rows = {tuple(row[2:]) for row in cells_of(reports[language]) if len(row) == 10}
    effects = tables["effects"]
    chosen = effects[effects["role"].isin(["requested", "joint_top"]) & (effects["concept"] != "neutral")]
    for row in chosen.to_dict("records"):
        expected = (
            number(row["baseline_mean"]), number(row["edited_mean"]), number(row["estimate"]),
            interval(row["ci_low"], row["ci_high"]), probability(row["p_value"]), probability(row["q_value"]),
            number(row["d_z"]), number(row["mde"]),
        )  # fmt: skip
        assert expected in numbers_in_rows


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_of_the_discussion_about_an_effect_carries_an_interval_or_p(
    reports: dict[str, str], language: str
) -> None:
    begin, end = {"en": ("## 13. Discussion", "## 14."), "ja": ("## 13. 考察", "## 14.")}[language]
    text = reports[language].split(begin)[1].split(end)[0]
    points = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(points) > 3 * len(CONCEPTS)
    assert all(re.search(r"(CI|信頼区間) \[|[pq] (=|<) \d", point) for point in points)


def test_attention_is_never_called_importance(reports: dict[str, str]) -> None:
    for line in reports["en"].splitlines():
        if "importan" in line:
            assert re.search(r"attention (alone )?is no(t| evidence of) importance", line, re.I), line
    assert "重要なヘッド" not in reports["ja"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_not_shown_says_how_many_templates_would_be_needed(
    tables: dict[str, pd.DataFrame], language: str
) -> None:
    effects = tables["effects"].copy()
    joint = effects["role"] == "joint_top"
    effects.loc[joint, ["p_value", "q_value", "p_max_t"]] = 0.4
    effects.loc[joint, "d_z"] = 0.15
    report = render_evidence({**tables, "effects": effects}, fake_facts(), language)
    words = {
        "en": r"would need about (\d+) templates \((\d+) prompts\)",
        "ja": r"およそ (\d+) 個（プロンプト (\d+) 本）",
    }
    found = re.findall(words[language], report)
    assert found
    assert all(int(prompts) == 2 * int(templates) for templates, prompts in found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_concept_the_model_does_not_show_gets_no_claim(tables: dict[str, pd.DataFrame], language: str) -> None:
    assay = tables["assay"].copy()
    anger = assay["concept"] == "anger"
    assay.loc[anger, ["estimate", "ci_low", "ci_high", "p_value", "shown"]] = [0.1, -0.2, 0.4, 0.51, False]
    report = render_evidence({**tables, "assay": assay}, fake_facts(), language)
    headline = report.split("\n\n")[1]
    sentence = headline.split("**anger**")[1].split("**apology**")[0]
    assert "0.100 nats" in sentence
    assert "[−0.200, 0.400]" in sentence
    assert not re.search(r"L\d+H\d+", sentence)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "missing", ["coverage", "screen", "assay", "effects", "ranking", "layers", "verdicts", "texts"]
)
def test_a_missing_table_is_named_and_the_rest_is_told(
    tables: dict[str, pd.DataFrame], language: str, missing: str
) -> None:
    report = render_evidence({k: v for k, v in tables.items() if k != missing}, fake_facts(), language)
    assert f"`{missing}`" in report.split("## 1.")[0]
    assert report.count("\n## ") == 15


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_empty_run_says_that_it_is_empty(language: str) -> None:
    report = render_evidence({}, {"status": "failed"}, language)
    assert {"en": "holds no table", "ja": "表がない"}[language] in report.split("\n\n")[1]
    assert "failed" in report


@pytest.mark.parametrize("language", LANGUAGES)
def test_too_few_templates_are_descriptive_and_missing_numbers_are_dashes(
    tables: dict[str, pd.DataFrame], language: str
) -> None:
    untested = ["ci_low", "ci_high", "sim_low", "sim_high", "p_value", "p_max_t", "q_value", "d_z", "mde"]
    few: dict[str, Any] = {}
    for name in ("screen", "effects", "assay"):
        few[name] = tables[name].assign(n_templates=5)
        few[name][[c for c in untested if c in few[name].columns]] = np.nan
    report = render_evidence({**tables, **few, "verdicts": tables["verdicts"].head(0)}, fake_facts(), language)
    assert {"en": "5 templates are fewer than the 6", "ja": "テンプレート 5 個は、検定に必要な 6 個に満たない"}[
        language
    ] in report
    assert "nan" not in report.lower().replace("nano", "")
    assert "—ᵃ" in report


def test_protocol_phase6_is_labelled_as_confounded(tables: dict[str, pd.DataFrame]) -> None:
    facts = fake_facts(protocol="phase6")
    assert "**Protocol `phase6` is confounded.**" in render_evidence(tables, facts, "en")
    assert "交絡" in render_evidence(tables, facts, "ja")
    assert "confounded" not in render_evidence(tables, fake_facts(), "en")


def test_bundled_prompts_are_said_not_to_be_the_studys(tables: dict[str, pd.DataFrame]) -> None:
    own = fake_facts() | {"profile": {"name": "baseline", "source": "profiles/mine"}}
    assert "not the prompts of the Phase 6 study" in render_evidence(tables, fake_facts(), "en")
    assert "not the prompts of the Phase 6 study" not in render_evidence(tables, own, "en")


def test_only_figures_that_exist_are_linked_relatively(reports: dict[str, str]) -> None:
    for language in LANGUAGES:
        assert re.findall(r"!\[[^\]]*\]\(([^)]*)\)", reports[language]) == ["plots/top_heads_demo.png"]


def test_same_tables_same_text(tables: dict[str, pd.DataFrame], reports: dict[str, str]) -> None:
    facts = fake_facts() | {"figures": ["plots/top_heads_demo.png"]}
    assert render_evidence(tables, facts, "en") == reports["en"]


def test_the_command_is_ready_to_paste_and_names_no_place_of_install(tables: dict[str, pd.DataFrame]) -> None:
    facts = fake_facts() | {"command": ["/opt/somewhere/bin/headscope", "run", "--out", "my run"]}
    report = render_evidence(tables, facts, "en")
    assert "headscope run --out 'my run'" in report
    assert "/opt" not in report


def test_another_language_is_refused(tables: dict[str, pd.DataFrame]) -> None:
    with pytest.raises(RequestError, match="fr"):
        render_evidence(tables, fake_facts(), "fr")


def test_large_models_are_told_in_few_lines() -> None:
    report = render_evidence(fake_tables(12, 12), fake_facts(12, 12), "en")
    assert "12 layers, 144 heads" in report
    assert len(report) < 80_000


def test_torch_and_transformers_are_not_imported(project_root: Path) -> None:
    code = "import sys, headscope.report; print(*(set(sys.modules) & {'torch', 'transformers', 'matplotlib.pyplot'}))"
    result = subprocess.run([sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
