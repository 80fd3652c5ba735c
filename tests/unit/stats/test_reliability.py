"""Reliability: planted rankings return, noise does not, and single templates that decide are named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscope.errors import RequestError
from headscope.random_streams import generator
from headscope.stats.clusters import FamilyBlock
from headscope.stats.reliability import (
    leave_one_template_out,
    reliability_table,
    spearman_brown,
    split_half,
    top_k_jaccard,
)
from headscope.tables import TABLES


def planted(n: int = 30, heads: int = 40, noise: float = 1.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=heads) + noise * rng.normal(size=(n, heads))


def test_spearman_brown_doubles_the_test():
    """Published example: a half-test correlation of .60 gives a reliability of .75."""
    assert spearman_brown(0.6) == pytest.approx(0.75)
    assert spearman_brown(0.0) == 0.0
    assert spearman_brown(1.0) == 1.0


@given(st.floats(-0.99, 1.0))
def test_spearman_brown_keeps_order_and_stays_below_one(r):
    assert spearman_brown(r) <= 1.0
    assert spearman_brown(min(1.0, r + 0.001)) >= spearman_brown(r)


def test_split_half_reliability_is_the_variance_share_of_true_effects():
    """With effects of variance 1 and template noise v, theory says 1 / (1 + v / n) for all n templates."""
    # A correlation over 4,000 heads has a standard error of .013 or less: .03 is more than two, with one seed.
    average, whole = split_half(planted(30, 4000, noise=5.0), seed=0, n_splits=200)
    assert whole.value == pytest.approx(1 / (1 + 25 / 30), abs=0.03)
    assert average == pytest.approx(1 / (1 + 25 / 15), abs=0.03)
    assert whole.low < whole.value < whole.high


def test_noise_has_no_reliability():
    rng = np.random.default_rng(1)
    _, whole = split_half(rng.normal(size=(30, 3000)), seed=0)
    assert abs(whole.value) < 0.1


def test_reliability_needs_six_templates_three_heads_and_some_spread():
    assert np.isnan(split_half(planted(5), seed=0)[0])
    assert np.isnan(split_half(planted(10, 2), seed=0)[0])
    assert np.isnan(split_half(np.ones((10, 5)), seed=0)[0])
    assert np.isnan(top_k_jaccard(planted(5), 3, seed=0).value)


def test_a_clear_top_returns_and_an_unclear_one_does_not():
    clear = planted(30, 40, noise=0.05)
    clear[:, :5] += 10
    assert top_k_jaccard(clear, 5, seed=0).value == 1.0
    assert top_k_jaccard(np.random.default_rng(0).normal(size=(30, 40)), 5, seed=0).value < 0.6


def test_the_jaccard_index_agrees_with_sets():
    means = planted(8, 12, noise=2.0)
    found = top_k_jaccard(means, 4, seed=3, name="x", n_resamples=50)
    weights = generator(3, "top_k_jaccard", "x").multinomial(8, np.full(8, 1 / 8), size=50)
    top = set(np.argsort(-np.abs(means.mean(0)), kind="stable")[:4])
    values = []
    for w in weights:
        again = set(np.argsort(-np.abs(np.repeat(means, w, axis=0).mean(0)), kind="stable")[:4])
        values.append(len(top & again) / len(top | again))
    assert found.value == pytest.approx(np.mean(values))


def test_a_top_larger_than_the_model_is_refused():
    with pytest.raises(RequestError, match="larger than the number of heads"):
        top_k_jaccard(planted(10, 5), 6, seed=0)


def test_the_table_has_a_row_for_each_concept():
    block = FamilyBlock(planted(12, 6), [f"t{i}" for i in range(12)], [{}] * 6)
    table = reliability_table({"anger": block, "apology": block}, "effect", seed=0, k=10)
    assert list(table.columns) == TABLES["reliability"].columns
    assert table["k"].tolist() == [6, 6]
    assert table["concept"].tolist() == ["anger", "apology"]
    assert table["jaccard"].tolist() == [1.0, 1.0]


def test_a_template_that_decides_alone_is_named():
    rng = np.random.default_rng(0)
    templates = [f"t{i:02d}" for i in range(20)]
    steady, fragile = rng.normal(-1.0, 0.2, size=20), rng.normal(0.0, 0.001, size=20)
    fragile[7] = 1.5
    keys = [{"head": 0}, {"head": 1}]
    block = FamilyBlock(np.column_stack([steady, fragile]), templates, keys)
    table = leave_one_template_out([block], [0.05], seed=0, family="f").set_index("head")
    assert table.at[0, "answer"] == "causal"
    assert table.at[0, "stable_share"] == 1.0
    assert table.at[1, "answer"] == "undecided"
    assert table.at[1, "changes_without"] == "t07"
    assert table.at[1, "stable_share"] == pytest.approx(19 / 20)


def test_six_templates_are_too_few_to_leave_one_out():
    block = FamilyBlock(planted(6, 2), [f"t{i}" for i in range(6)], [{}, {}])
    table = leave_one_template_out([block], [0.05], seed=0, family="f")
    assert table["stable_share"].isna().all()
    assert (table["answer"] != "").all()
    with pytest.raises(RequestError, match="threshold"):
        leave_one_template_out([block], [], seed=0, family="f")
