"""Two arms on a benchmark's items: figures of a slow re-implementation, and rows without claims where none can be."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from headscope.stats.paired_items import PairedItems, evaluation_table, items_table


def scored(baseline: Any, edited: Any, **more: Any) -> PairedItems:
    before, after = np.asarray(baseline, dtype=np.float64), np.asarray(edited, dtype=np.float64)
    ids = tuple(range(len(before)))
    means = [float(arm.mean()) if len(arm) else math.nan for arm in (before, after)]
    given = {"task": "t", "metric": "acc", "baseline_score": means[0], "edited_score": means[1], "is_mean": True}
    given |= {"lower_is_better": False, "doc_ids": ids, "doc_hashes": tuple("0" * 64 for _ in ids)}
    return PairedItems(**{**given, "baseline": before, "edited": after, **more})


def row_of(one: PairedItems) -> dict[str, Any]:
    [row] = evaluation_table([one], heads="0:0", edit="zero", seed=0).to_dict("records")
    return row


def flipped_p(differences: np.ndarray) -> float:
    """All signs, one by one."""
    signs = itertools.product((-1.0, 1.0), repeat=len(differences))
    sums = [abs(float(np.dot(sign, differences))) for sign in signs]
    return float(np.mean(np.array(sums) >= abs(float(differences.sum())) * (1 - 1e-9)))  # ties count


def test_a_metric_of_0_and_1_has_mcnemars_p_which_is_that_of_all_sign_flips() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        before, after = rng.integers(0, 2, size=(2, 11))
        row = row_of(scored(before, after))
        assert row["p_value"] == pytest.approx(flipped_p((after - before).astype(float)))
        assert row["estimate"] == pytest.approx(after.mean() - before.mean())
        assert row["n_only_baseline_right"] == sum(int(b) and not a for b, a in zip(before, after, strict=True))
        assert row["n_only_edited_right"] == sum(int(a) and not b for b, a in zip(before, after, strict=True))
        assert row["unit"] == "share"
        assert row["ci_low"] <= row["estimate"] <= row["ci_high"]


def test_right_is_0_where_lower_is_better() -> None:
    row = row_of(scored([1, 1, 1, 0, 0, 0], [0, 0, 1, 0, 0, 1], lower_is_better=True))
    assert (row["n_only_baseline_right"], row["n_only_edited_right"]) == (1, 2)
    assert row["note"] == "lower is better"


def test_any_other_metric_has_students_interval_and_the_p_of_all_sign_flips() -> None:
    rng = np.random.default_rng(6)
    before, after = rng.normal(size=9), rng.normal(0.5, size=9)
    row = row_of(scored(before, after))
    differences = after - before
    half = 2.306004135 * differences.std(ddof=1) / 3  # t(8), .975, of a table; / sqrt(9)
    assert row["p_value"] == pytest.approx(flipped_p(differences))
    assert row["ci_low"] == pytest.approx(differences.mean() - half)
    assert row["ci_high"] == pytest.approx(differences.mean() + half)
    assert row["n_only_baseline_right"] is None


def test_the_interval_of_shares_covers_the_truth_as_often_as_it_says() -> None:
    """9 % of items are lost and 3 % won; the estimate of the rate over 2,000 draws has a standard error of .005."""
    rng = np.random.default_rng(7)
    draws: list[PairedItems] = []
    for draw in range(2000):
        change = rng.choice([-1, 0, 1], size=60, p=[0.09, 0.88, 0.03])
        before = np.where(change == 0, rng.integers(0, 2, size=60), (change < 0).astype(int))
        draws.append(scored(before, before + change, task=str(draw)))
    table = evaluation_table(draws, heads="0:0", edit="zero", seed=0)
    covered = (table["ci_low"] <= -0.06) & (table["ci_high"] >= -0.06)
    assert covered.mean() > 0.95 - 4 * 0.005


def test_no_change_of_any_item_is_a_difference_of_0_with_p_1_and_an_interval_that_has_a_width() -> None:
    row = row_of(scored([0, 1] * 10, [0, 1] * 10))
    assert (row["estimate"], row["p_value"]) == (0.0, 1.0)
    assert row["ci_low"] < 0.0 < row["ci_high"]
    assert row_of(scored([0.5, 1.5] * 5, [0.5, 1.5] * 5))["p_value"] == 1.0


def test_five_items_and_scores_of_a_whole_corpus_are_told_without_an_interval() -> None:
    few = row_of(scored([1] * 5, [0] * 5))
    assert few["estimate"] == -1.0
    assert math.isnan(few["p_value"])
    assert math.isnan(few["ci_low"])
    assert "fewer than 6 items" in few["note"]
    corpus = row_of(
        scored([], [], baseline_score=20.0, edited_score=25.0, is_mean=False, lower_is_better=True, metric="ppl")
    )
    assert corpus["estimate"] == 5.0
    assert math.isnan(corpus["p_value"])
    assert corpus["note"].startswith("lower is better; the score is of all items together")


def test_q_is_over_all_tasks_and_metrics_that_were_tested() -> None:
    many = [scored([1] * 8, [0] * 8), scored([1] * 8, [1] * 8, task="u"), scored([1] * 5, [0] * 5, task="v")]
    table = evaluation_table(many, heads="0:0", edit="zero", seed=0)
    assert table["p_value"].tolist()[:2] == [pytest.approx(2 / 2**8), 1.0]
    assert table["q_value"].tolist()[:2] == [pytest.approx(2 * 2 / 2**8), 1.0]
    assert math.isnan(table["q_value"][2])
    assert items_table(many)["task"].tolist() == ["t"] * 8 + ["u"] * 8 + ["v"] * 5
