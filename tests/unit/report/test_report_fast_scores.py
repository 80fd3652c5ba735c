"""The report's part on fast scores says the tables' numbers in both languages, and is left out where there are none."""

from __future__ import annotations

import pandas as pd
import pytest

from headscope.report import render_evidence
from headscope.report.fast_cells import repair_table
from tests.unit.report.fake_tables import fake_facts, fake_tables


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    made = fake_tables(4, 4)
    keys = {"concept": "gratitude", "layer": 1, "head": 3}
    made["scores"] = pd.DataFrame(
        [{**keys, "measure": "attribution_patching", "edit": "mean", "rank": 1, "estimate": -1.25, "unit": "nats",
          "mean_abs": 1.25, "exact_estimate": -0.125, "exact_sim_low": -0.25, "exact_sim_high": 0.5, "n_prompts": 70,
          "n_templates": 35}]
    )  # fmt: skip
    made["agreement"] = pd.DataFrame(
        [{"concept": "gratitude", "measure": "attribution_patching", "edit": "mean", "k": 5, "n_heads": 16,
          "spearman_abs": 0.875, "spearman_signed": 0.625, "rank_of_top_effect": 2.0, "precision_at_k": 0.8,
          "n_causal": 3, "auroc": float("nan"), "recall": float("nan"), "recall_low": float("nan"), "n_random": 4,
          "threshold_nats": 0.05, "note": "8 of 16 heads were measured exactly"}]
    )  # fmt: skip
    row = made["effects"].iloc[[0]].assign(
        concept="gratitude", heads="1:3", outcome="self_repair_nats", baseline_mean=-4.0, edited_mean=-0.5,
        estimate=3.5, ci_low=3.25, ci_high=3.75,
    )  # fmt: skip
    made["effects"] = pd.concat([made["effects"], row], ignore_index=True)
    return made


@pytest.mark.parametrize("language", ["en", "ja"])
def test_both_languages_say_the_tables_numbers(tables: dict[str, pd.DataFrame], language: str) -> None:
    text = render_evidence(tables, fake_facts(), language)
    for line in (
        "| L1H3 | −1.25 | −0.125 | [−0.250, 0.500] |",
        "| `attribution_patching` | 16 | 5 | 0.875 | 0.625 | 2.00 | 0.800 | — | — |",
        "| −4.00 | −0.500 | 3.50 | [3.25, 3.75] |",
        "8 of 16 heads were measured exactly",
    ):
        assert line in text, line


@pytest.mark.parametrize(("language", "words"), [("en", "Fast scores beside"), ("ja", "高速スコアと")])
def test_the_part_is_left_out_where_there_are_no_scores(language: str, words: str) -> None:
    assert words not in render_evidence(fake_tables(4, 4), fake_facts(), language)


def test_heads_are_shown_by_how_much_is_made_good(tables: dict[str, pd.DataFrame]) -> None:
    more = tables["effects"].iloc[[-1]].assign(heads="2:0", estimate=-9.0)
    rows = repair_table({"effects": pd.concat([tables["effects"], more], ignore_index=True)}).rows
    assert [row[1] for row in rows] == ["L2H0", "L1H3"]
