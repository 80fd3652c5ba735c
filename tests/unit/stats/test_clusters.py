"""Template means, common lists of templates, inferred templates, halves."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscope.errors import RequestError, WorkError
from headscope.profiles.loading import load_profile
from headscope.stats.clusters import (
    FamilyBlock,
    equal_weight_mean,
    label_templates,
    split_templates,
    stack,
    standard_deviation,
    template_means,
)


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
    np.testing.assert_allclose(first.means, second.means, rtol=1e-12, atol=1e-14)


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


PROMPTS = [
    "I am so grateful for the help you gave me today.",
    "I am so thankful for the help you gave me today.",
    "When the letter arrived, Anna felt grateful and sat down.",
    "When the letter arrived, Anna felt thankful and sat down.",
    "Nobody at the station could explain the delay to us.",
    "She bought three apples, two pears and a melon.",
]


def test_prompts_without_template_are_clustered_by_their_words():
    found = label_templates([None] * 6, PROMPTS)
    a, b, c, d, e, f = found.labels
    assert a == b
    assert c == d
    assert len({a, c, e, f}) == 4
    assert found.n_inferred == 6
    assert found.warning is not None
    assert "6 of 6 prompts" in found.warning


def test_a_prompt_joins_the_known_template_it_resembles():
    found = label_templates(["greet", None, None, "letter", None, None], PROMPTS)
    assert found.labels[:4] == ("greet", "greet", "letter", "letter")
    assert found.labels[4] != found.labels[5]
    assert found.n_inferred == 4


def test_the_slot_is_left_out_where_it_is_known():
    texts = ["Well, many thanks to all of you.", "Well, heartfelt gratitude to all of you."]
    spans = [(6, 17), (6, 25)]
    assert len(set(label_templates([None, None], texts, similarity=0.9).labels)) == 2
    assert len(set(label_templates([None, None], texts, spans=spans, similarity=0.9).labels)) == 1


def test_known_templates_stay_and_give_no_warning():
    found = label_templates(["x", "y"], ["same text", "same text"])
    assert found.labels == ("x", "y")
    assert found.warning is None
    assert found.n_inferred == 0


@settings(max_examples=30)
@given(st.permutations(range(6)))
def test_clusters_do_not_depend_on_the_order_of_the_prompts(order):
    base = label_templates([None] * 6, PROMPTS).labels
    moved = label_templates([None] * 6, [PROMPTS[i] for i in order]).labels
    for i in range(6):
        for j in range(6):
            assert (base[order[i]] == base[order[j]]) == (moved[i] == moved[j])


@pytest.mark.parametrize("name", ["baseline", "extended"])
def test_the_bundled_profiles_templates_are_found_again_from_their_texts_alone(name):
    prompts = load_profile(name).prompts
    found = label_templates([None] * len(prompts), [p.text for p in prompts], spans=[p.span for p in prompts]).labels
    pairs = {(prompt.template, label) for prompt, label in zip(prompts, found, strict=True)}
    assert len(pairs) == len({p.template for p in prompts}) == len(set(found))


def test_an_inferred_name_never_takes_a_known_one():
    found = label_templates(["inferred-001", None], ["alpha beta", "gamma delta epsilon"])
    assert len(set(found.labels)) == 2


def test_templates_texts_and_spans_must_match():
    with pytest.raises(RequestError, match="do not belong together"):
        label_templates([None], ["a", "b"])


@pytest.mark.oracle
def test_the_studys_prompts_fall_into_many_templates_and_not_into_one(shared):
    path = next((shared / "reference" / "phase6" / "prompts").glob("*gratitude*.json"))
    texts = json.loads(path.read_text())["prompts"]
    labels = label_templates([None] * len(texts), texts).labels
    assert 6 < len(set(labels)) <= len(texts)


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
