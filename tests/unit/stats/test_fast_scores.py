"""Recall is bounded as urns say, scores keep their order and their signs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import comb

from headscope.errors import RequestError
from headscope.heads import Head
from headscope.stats.fast_scores import beside_exact, fast_agreement, recall_bound, score_rows

HEADS = [Head(layer, head) for layer in range(10) for head in range(10)]


def most_that_fits(n_rest: int, m: int, b: int) -> int:
    """Largest number K of marked among ``n_rest`` with P(b or fewer among m drawn) > .05, by counting subsets."""
    fits = []
    for marked in range(b, n_rest - (m - b) + 1):
        ways = sum(comb(marked, i, exact=True) * comb(n_rest - marked, m - i, exact=True) for i in range(b + 1))
        if ways / comb(n_rest, m, exact=True) > 0.05:
            fits.append(marked)
    return max(fits)


@pytest.mark.parametrize(("n_rest", "m", "b"), [(80, 30, 0), (80, 30, 3), (300, 40, 1), (31, 30, 0)])
def test_the_bound_is_the_largest_number_of_missed_heads_that_the_draw_allows(n_rest: int, m: int, b: int) -> None:
    top = np.array([2.0, -1.0, 0.01])
    random = np.array([1.0] * b + [0.0] * (m - b))
    found = recall_bound(top, random, n_rest=n_rest, threshold=0.5)
    assert found["recall"] == pytest.approx(2 / (2 + b * n_rest / m))
    assert found["recall_low"] == pytest.approx(2 / (2 + most_that_fits(n_rest, m, b)))


def test_the_bound_covers_the_truth_in_19_of_20_draws() -> None:
    rng = np.random.default_rng(0)
    rest = np.array([1.0] * 12 + [0.0] * 108)
    covered = [
        recall_bound(np.ones(5), rng.permutation(rest)[:40], n_rest=120, threshold=0.5)["recall_low"] <= 5 / 17
        for _ in range(2000)
    ]
    assert np.mean(covered) > 0.94


def test_recall_is_not_estimated_from_under_thirty_heads_but_known_where_all_were_measured() -> None:
    few = recall_bound(np.ones(3), np.zeros(29), n_rest=80, threshold=0.5)
    assert np.isnan(few["recall"])
    assert np.isnan(few["recall_low"])
    every = recall_bound(np.ones(3), np.array([1.0, 0, 0]), n_rest=3, threshold=0.5)
    assert every == {"recall": 0.75, "recall_low": 0.75}
    none = recall_bound(np.zeros(3), np.zeros(30), n_rest=30, threshold=0.5)
    assert np.isnan(none["recall_low"])
    with pytest.raises(RequestError, match="more random heads"):
        recall_bound(np.ones(3), np.zeros(4), n_rest=3, threshold=0.5)


def table(values: np.ndarray, measure: str = "attribution_patching", edit: str = "mean") -> pd.DataFrame:
    labels = [f"t{i}" for i in range(len(values))]
    return score_rows("joy", measure, edit, "nats", values, HEADS[: values.shape[1]], labels)


def effects(values: dict[Head, float], edit: str = "mean") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"concept": "joy", "layer": h.layer, "head": h.head, "role": "single", "k": 1, "edit": edit, "scope": "all",
             "outcome": "lexicon_logodds_nats", "estimate": v, "ci_low": v - 0.1, "ci_high": v + 0.1, "p_max_t": 0.01,
             "sim_low": v - 0.2, "sim_high": v + 0.2}
            for h, v in values.items()
        ]
    )  # fmt: skip


def test_a_score_is_the_mean_over_templates_of_their_means() -> None:
    values = np.array([[1.0, -4.0], [3.0, -4.0], [10.0, 4.0]])
    rows = score_rows("joy", "m", "mean", "nats", values, HEADS[:2], ["a", "a", "b"])
    assert rows["estimate"].tolist() == [6.0, 0.0]
    assert rows["mean_abs"].tolist() == [6.0, 4.0]
    assert rows["rank"].tolist() == [1, 2]
    assert rows["n_templates"].tolist() == [2, 2]


def test_prompts_without_a_value_are_left_out_and_none_give_no_rows() -> None:
    values = np.array([[1.0, 2.0], [np.nan, np.nan]])
    assert table(values)["n_prompts"].tolist() == [1, 1]
    assert table(np.full((2, 2), np.nan)).empty


def test_agreement_is_perfect_where_scores_are_the_effects_and_reversed_where_they_are_not() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=100)
    exact = effects(dict(zip(HEADS, truth, strict=True)))
    good = fast_agreement(beside_exact(table(truth[None]), exact), thresholds_nats={"joy": 0.5}).iloc[0]
    assert good["spearman_abs"] == good["spearman_signed"] == good["precision_at_k"] == good["auroc"] == 1.0
    assert good["n_causal"] == (np.abs(truth) > 0.7).sum()
    assert good["note"] == "every head was measured exactly"
    bad = fast_agreement(beside_exact(table(-truth[None]), exact), thresholds_nats={"joy": 0.5}).iloc[0]
    assert bad["spearman_signed"] == -1.0
    assert bad["spearman_abs"] == 1.0


def test_a_score_is_held_against_the_exact_effect_of_its_own_edit() -> None:
    scores = pd.concat([table(np.ones((1, 3)), "gate_gradient", "zero"), table(np.ones((1, 3)))], ignore_index=True)
    exact = pd.concat([effects({HEADS[1]: 5.0}, "zero"), effects({HEADS[1]: 7.0})], ignore_index=True)
    joined = beside_exact(scores, exact)
    assert joined["measure"].tolist() == scores["measure"].tolist(), "the order stays"
    assert joined["exact_estimate"].dropna().tolist() == [5.0, 7.0]
    assert joined["exact_estimate"].isna().sum() == 4


def test_a_chosen_sample_says_that_it_is_one() -> None:
    truth = np.linspace(1, 0, 100)
    exact = effects({head: truth[i] for i, head in enumerate(HEADS) if i < 5 or i >= 60})
    random = frozenset(HEADS[60:])
    row = fast_agreement(
        beside_exact(table(truth[None]), exact), thresholds_nats={"joy": 0.9}, random_heads=random
    ).iloc[0]
    assert row["n_random"] == 40
    assert "45 of 100 heads were measured exactly" in row["note"]
    assert row["recall"] == 1.0
    assert row["recall_low"] == pytest.approx(5 / (5 + most_that_fits(95, 40, 0)))
