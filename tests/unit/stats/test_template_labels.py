"""Prompts without template ids are put into templates by their words, as if every pair of them were compared."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from headscope.errors import RequestError
from headscope.profiles.loading import load_profile
from headscope.stats.template_labels import SAME_TEMPLATE_SIMILARITY, label_templates

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


def test_texts_that_differ_in_their_vowel_signs_are_no_template():
    texts = ["का की कु", "को के कै"]
    assert len(set(label_templates([None, None], texts).labels)) == 2
    hyphenated = ["The long after\u00adnoon ends.", "The long afternoon ends."]
    assert len(set(label_templates([None, None], hyphenated, similarity=0.9).labels)) == 1


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


WORDS = [
    "when",
    "she",
    "read",
    "it",
    "aloud",
    "the",
    "old",
    "letter",
    "made",
    "every",
    "one",
    "of",
    "us",
    "here",
    "feel",
    "so",
    "very",
    "glad",
    "and",
    "calm",
]


def drawn(seed: int) -> tuple[list[str], list[tuple[int, int]]]:
    """Prompts of a few frames that share words, each frame with many words in its slot; and the slots."""
    chance = random.Random(seed)
    sentences = [chance.sample(WORDS, chance.randint(4, 8)) for _ in range(4)]
    near = [
        [word if chance.random() < 0.8 else chance.choice(WORDS) for word in chance.choice(sentences)]
        for _ in range(12)
    ]
    texts: list[str] = []
    spans: list[tuple[int, int]] = []
    for i in range(60):
        words = chance.choice(sentences + near)
        lead = " ".join(words[:2]) + " "
        texts.append(f"{lead}slot{i} {' '.join(words[2:])}")
        spans.append((len(lead), len(lead) + len(f"slot{i}")))
    return texts, spans


def partition(labels: Sequence[object]) -> set[frozenset[int]]:
    return {frozenset(i for i, other in enumerate(labels) if other == label) for label in labels}


def distances(texts: Sequence[str], spans: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """Of every pair of prompts, one by one."""
    frames: list[set[str]] = []
    for text, (start, end) in zip(texts, spans, strict=True):
        words = f"{text[:start]} * {text[end:]}".split()
        frames.append({*words, *map(" ".join, pairwise(["^", *words, "$"]))})
    return np.array([1.0 - len(one & other) / len(one | other) for one, other in combinations(frames, 2)])


def by_all_pairs(far: NDArray[np.float64]) -> set[frozenset[int]]:
    """The slow rule: scipy's average linkage of all prompts."""
    return partition(fcluster(linkage(far, method="average"), t=1.0 - SAME_TEMPLATE_SIMILARITY, criterion="distance"))


def test_distinct_frames_give_the_templates_that_all_pairs_of_prompts_give(tell: Callable[[str], None]) -> None:
    """Equal distances leave a choice: where a breath of noise changes the slow rule's answer, it decides nothing."""
    noise = np.random.default_rng(0)
    n_clear = 0
    sizes: set[int] = set()
    for seed in range(200):
        texts, spans = drawn(seed)
        far = distances(texts, spans)
        expected = by_all_pairs(far)
        # Noise that is positive, so that equal frames stay nearest each other.
        if all(by_all_pairs(far + 1e-7 * noise.random(len(far))) == expected for _ in range(12)):
            n_clear += 1
            sizes.add(len(expected))
            assert partition(label_templates([None] * len(texts), texts, spans=spans).labels) == expected
    assert n_clear >= 100
    assert len(sizes) > 3
    tell(f"templates of {n_clear} draws of 60 prompts are those of all pairs; in {200 - n_clear} draws ties decide")


@pytest.mark.parametrize("seed", range(20))
def test_ties_fall_the_same_way_in_every_order(seed: int) -> None:
    texts, spans = drawn(seed)
    order = random.Random(seed).sample(range(60), 60)
    found = partition(label_templates([None] * 60, texts, spans=spans).labels)
    moved = label_templates([None] * 60, [texts[i] for i in order], spans=[spans[i] for i in order]).labels
    assert {frozenset(order[i] for i in part) for part in partition(moved)} == found


def test_a_hundred_thousand_prompts_of_few_frames_are_labelled() -> None:
    texts = [f"Well, {i} is what the {name} said." for i in range(10_000) for name in "abcdefghij"]
    spans = [(6, 6 + len(str(i))) for i in range(10_000) for _ in range(10)]
    found = label_templates([None] * 100_000, texts, spans=spans)
    assert found.labels[:10] == found.labels[-10:]


def test_too_many_different_texts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headscope.stats.template_labels.MAX_COMPARISONS", 8)
    with pytest.raises(RequestError, match="too many different texts"):
        label_templates([None] * 3, ["one", "two", "three"])
    label_templates([None] * 9, ["one", "two", "two"] * 3)
