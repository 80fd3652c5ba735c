"""Template means, common lists of templates, inferred templates, halves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from headscope.errors import RequestError, WorkError
from headscope.stats.clusters import (
    FamilyBlock,
    TemplateMeans,
    equal_weight_mean,
    split_templates,
    stack,
    standard_deviation,
    template_means,
)
from tests.tolerances import FLOAT64_SUM


def test_every_template_weighs_the_same_however_many_prompts_it_has():
    deltas = np.array([[1.0], [1.0], [1.0], [1.0], [5.0]])
    table = template_means(deltas, ["a", "a", "a", "a", "b"])
    assert table.labels == ("a", "b")
    assert table.counts.ravel().tolist() == [4, 1]
    assert equal_weight_mean(table.means)[0] == 3.0  # not the prompts' mean, 1.8


def test_missing_values_leave_their_mean_and_whole_templates():
    deltas = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, 2.0]])
    table = template_means(deltas, ["a", "a", "b"])
    np.testing.assert_array_equal(table.means, [[2.0, np.nan], [np.nan, 2.0]])
    assert table.n_templates.tolist() == [1, 1]
    assert table.n_prompts.tolist() == [2, 1]
    assert np.isnan(standard_deviation(table.means)).all()


@given(st.floats(-1e6, 1e6), st.integers(2, 9), st.integers(1, 4))
def test_a_constant_effect_has_exactly_that_mean_and_no_spread(value, n_templates, prompts_each):
    labels = [f"t{i}" for i in range(n_templates) for _ in range(prompts_each)]
    means = template_means(np.full((len(labels), 1), value), labels).means
    assert equal_weight_mean(means)[0] == value
    assert standard_deviation(means)[0] == 0.0


@settings(max_examples=50)
@given(st.permutations(range(12)), st.integers(0, 2**31))
def test_the_order_of_prompts_does_not_matter(order, seed):
    deltas = np.random.default_rng(seed).normal(size=(12, 3))
    labels = [f"t{i % 5}" for i in range(12)]
    first = template_means(deltas, labels)
    second = template_means(deltas[order], [labels[i] for i in order])
    assert first.labels == second.labels
    np.testing.assert_allclose(first.means, second.means, rtol=FLOAT64_SUM, atol=FLOAT64_SUM)


def test_blocks_share_the_rows_of_the_templates_they_share():
    a = FamilyBlock(np.array([[1.0], [2.0]]), ["t1", "t2"], [{"concept": "a"}])
    b = FamilyBlock(np.array([[3.0], [4.0]]), ["t2", "t3"], [{"concept": "b"}])
    table = stack([a, b])
    assert table.labels == ("t1", "t2", "t3")
    np.testing.assert_array_equal(table.means, [[1, np.nan], [2, 3], [np.nan, 4]])


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(RequestError, match="do not belong together"):
        template_means(np.zeros((3, 1)), ["a", "b"])
    with pytest.raises(RequestError, match="1 of 2 prompts have no template id"):
        template_means(np.zeros((2, 1)), ["a", None])
    with pytest.raises(WorkError, match="infinite"):
        template_means(np.array([[np.inf], [0.0]]), ["a", "b"])
    with pytest.raises(RequestError, match="one key for each test"):
        stack([FamilyBlock(np.zeros((2, 2)), ["a", "b"], [{}])])
    with pytest.raises(RequestError, match="empty"):
        stack([])


@given(st.integers(2, 40), st.integers(0, 100))
def test_halves_share_no_template_and_hold_everything(n_templates, seed):
    labels = [f"t{i}" for i in range(n_templates) for _ in range(2)]
    first, second = split_templates(labels, seed=seed)
    names = np.array(labels)
    assert not set(names[first]) & set(names[second])
    assert (first ^ second).all()
    assert len(set(names[first])) - len(set(names[second])) in (0, 1)


def test_one_template_cannot_be_halved():
    with pytest.raises(RequestError, match="halved"):
        split_templates(["a", "a"], seed=0)


def test_means_and_counts_of_other_shapes_are_refused() -> None:
    with pytest.raises(TypeCheckError, match="counts"):
        TemplateMeans(np.zeros((3, 2)), np.ones((2, 3), dtype=np.int64), ("a", "b", "c"))
