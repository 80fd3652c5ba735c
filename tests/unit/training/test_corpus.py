"""Laws of the demo model's corpus: the same seed gives the same text, every needed word occurs, no prompt does."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from headscope.profiles.loading import load_profile
from training.grammar import CLASS_SLOTS, documents, expand, opening_slots
from training.sentences import FILLERS, OPENINGS, SITUATIONS, STEMS
from training.train import Recipe
from training.words import CLASSES, STEM_WORDS, WORLD

PROFILES = ("baseline", "extended")
WORD = re.compile(r"[a-z']+")


def words_of(text: str) -> list[str]:
    return WORD.findall(text.lower())


@pytest.fixture(scope="module")
def corpus(training_record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The whole corpus of the shipped model: a few seconds."""
    recipe = Recipe(**training_record["recipe"])
    return list(documents(recipe.document_count, seed=recipe.seed))


@pytest.fixture(scope="module")
def counts(corpus: list[tuple[str, str]]) -> Counter[str]:
    return Counter(word for _, text in corpus for word in words_of(text))


def test_same_seed_same_documents_other_seed_or_stream_other_documents() -> None:
    first = list(documents(200, seed=3))
    assert first == list(documents(200, seed=3))
    assert first != list(documents(200, seed=4))
    assert first != list(documents(200, seed=3, stream="validation"))


def test_corpus_is_the_one_the_shipped_model_was_trained_on(
    corpus: list[tuple[str, str]], training_record: Mapping[str, Any]
) -> None:
    digest = hashlib.sha256("\n".join(text for _, text in corpus).encode()).hexdigest()
    assert digest == training_record["corpus_sha256"]


def test_classes_are_equally_frequent(corpus: list[tuple[str, str]]) -> None:
    assert set(Counter(label for label, _ in corpus).values()) == {len(corpus) // len(CLASSES)}


@pytest.mark.parametrize("name", PROFILES)
def test_no_prompt_of_a_bundled_profile_occurs_in_the_corpus(name: str, corpus: list[tuple[str, str]]) -> None:
    """Not even inside a sentence or across two, whatever case and punctuation."""
    prompts: dict[tuple[str, ...], list[list[str]]] = {}
    shortest = 4
    for prompt in load_profile(name).prompts:
        words = words_of(prompt.text)
        assert len(words) >= shortest
        prompts.setdefault(tuple(words[:shortest]), []).append(words)
    found: list[list[str]] = []
    for _, text in corpus:
        words = words_of(text)
        for start, key in enumerate(zip(words, words[1:], words[2:], words[3:], strict=False)):
            found += [one for one in prompts.get(key, ()) if words[start : start + len(one)] == one]
    assert found == []


@pytest.mark.parametrize("name", PROFILES)
def test_stem_words_are_the_lexicons_and_readouts_are_stems(name: str) -> None:
    profile = load_profile(name)
    for concept in profile.concepts.values():
        mine = {word for group in STEM_WORDS[concept.name].values() for word in group}
        assert mine == set(concept.lexicon.words)
        neutral = {word for group in STEM_WORDS["neutral"].values() for word in group}
        assert neutral == set(concept.control_lexicon.words)
    stems = {stem.rsplit(" {", 1)[0] for group in STEMS.values() for stem in group}
    assert set(profile.readouts) <= stems


def test_every_word_of_the_baseline_prompts_is_frequent_enough_to_be_learned(counts: Counter[str]) -> None:
    needed = {word for prompt in load_profile("baseline").prompts for word in words_of(prompt.text)}
    assert [word for word in sorted(needed) if counts[word] < 100] == []


def test_every_span_of_the_bundled_prompts_occurs_in_its_own_class_only(corpus: list[tuple[str, str]]) -> None:
    by_class: dict[str, Counter[str]] = {label: Counter() for label in CLASSES}
    for label, text in corpus[:12_000]:
        by_class[label].update(words_of(text))
    for name in PROFILES:
        for prompt in load_profile(name).prompts:
            if prompt.implicit or prompt.concept == "neutral" or prompt.span_text is None:
                continue
            word = prompt.span_text.lower()
            assert by_class[prompt.concept][word] > 0, word
            assert all(by_class[label][word] == 0 for label in CLASSES if label != prompt.concept), word


def test_neutral_sentences_hold_no_concept_word() -> None:
    concept_words = {
        word for label in CLASSES if label != "neutral" for group in STEM_WORDS[label].values() for word in group
    }
    shared = [*FILLERS, *(phrase for phrases in WORLD.values() for phrase in phrases)]
    situations = [phrase for phrases in SITUATIONS.values() for phrase in phrases]
    assert concept_words.isdisjoint(word for phrase in [*shared, *situations] for word in words_of(phrase))


@pytest.mark.parametrize("label", CLASSES)
def test_every_frame_expands_for_every_class(label: str) -> None:
    rng = random.Random(0)
    slots: Mapping[str, Sequence[str]] = opening_slots(label)
    assert set(slots) == set(CLASS_SLOTS)
    for kind, frames in OPENINGS.items():
        for frame in frames:
            text = expand(frame, slots, rng)
            assert "{" not in text
            assert any(word in words_of(text) for word in slots[kind]), text


def test_an_unknown_symbol_is_an_error() -> None:
    with pytest.raises(KeyError, match="planet"):
        expand("On {planet}.", {}, random.Random(0))
