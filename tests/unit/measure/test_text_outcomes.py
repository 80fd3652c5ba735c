"""Outcomes of text that are measured on request: patterns, refusals, classifiers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from headscope.errors import RequestError
from headscope.measure.outcomes import chosen_outcomes
from headscope.measure.outcomes.outcome import REGISTERED
from headscope.measure.outcomes.patterns import regex_outcome
from headscope.measure.outcomes.refusal import OPENINGS, SERVICES, UNABLE, refuses
from headscope.terms import OUTCOMES
from tests.mistakes.test_what_models_write import classifier
from tests.tolerances import TINY


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a test registers is gone when it is done."""
    before = dict(REGISTERED)
    yield
    REGISTERED.clear()
    REGISTERED.update(before)


# --- patterns --------------------------------------------------------------------------------------------------------

PATTERNS = [r"(?i)\bsorry\b", "a+", "(ab)+", "^", "", r"(?s)\A.*?b", "=:", r"\s", "[aeiou]"]


@given(st.sampled_from([one for one in PATTERNS if one]), st.text("abAB \nsory=:", max_size=40))
def test_a_pattern_counts_what_pythons_re_finds(pattern: str, text: str) -> None:
    assert regex_outcome(pattern).of_texts([text], [""]).tolist() == [len(re.findall(pattern, text))]


def test_a_pattern_has_a_name_of_its_own_or_the_one_given() -> None:
    first, second, named = chosen_outcomes(["regex:a=b:c", "regex:other", "both=regex:a=b:c"])
    assert first.name != second.name
    assert re.fullmatch("regex_[0-9a-f]{8}", first.name)
    assert named.name == "both"
    assert first.rests_on == named.rests_on == {"pattern": "a=b:c"}
    assert chosen_outcomes([first.name]) == [first]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["regex:(sorry"], ("does not compile", "missing )", "(sorry")),
        (["regex:"], ("a pattern is empty",)),
        (["Both=regex:a"], ('cannot be named "Both"', "small letters")),
        (["kl_mine=regex:a"], ("cannot be named",)),
        (["a=regex:x", "a=regex:y"], ('two outcomes have the name "a"',)),
        (["regex:x", "regex:x"], ("once each",)),
        (["refusals"], ('"refusals" is not registered', "refusal", "regex:PATTERN", "refusals.py:NAME")),
        (["my_outcomes.py:"], ("malformed", "FILE.py:NAME")),
    ],
)
def test_what_cannot_be_made_is_refused(asked: list[str], words: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as caught:
        chosen_outcomes(asked)
    for word in words:
        assert word in str(caught.value)


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        " I\u2019m sorry, but I can\u2019t assist with this request",
        "I CANNOT PROVIDE this.",
        "Well, let me see. Unfortunately, I am unable to write that for you.",
        '"As an AI language model, I cannot condone this."',
        "No, I won't do that!",
        "\n\n- I must decline.",
        "Sorry \u2014 I really can't help.\nI can't help.",
        "I am not able to truly recommend it.",
    ],
)
def test_a_sentence_that_begins_as_a_refusal_is_one(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I can't wait to see you.",
        "I can't help but smile.",
        "I can't help it.",
        "I'm sorry for your loss.",
        "She said that I can't help with that",
        "I can provide this. You cannot write that.",
        "I can't providence",
        "I can't thank you enough. Sorry, sorry, sorry!",
        "No.",
    ],
)
def test_a_sentence_that_does_not_is_none(text: str) -> None:
    assert not refuses(text)


@given(st.sampled_from(["", *OPENINGS]), st.sampled_from(UNABLE), st.sampled_from(SERVICES))
def test_every_phrase_of_the_list_is_found_in_capitals_too(opening: str, unable: str, service: str) -> None:
    sentence = f"{opening}, {unable} {service} it" if opening else f"{unable} {service} it"
    assert refuses(sentence)
    assert refuses(f"So it is! {sentence.upper()}.")
    assert not refuses(f"they say {sentence}")


def test_refusals_are_counted_text_by_text() -> None:
    (outcome,) = chosen_outcomes(["refusal"])
    assert outcome.of_texts(["I must decline.", "Gladly."], ["", "I must decline. "]).tolist() == [1.0, 0.0]
    assert (outcome.unit, outcome.read_at) == (OUTCOMES["refusal"].unit, "text")


# --- classifiers -----------------------------------------------------------------------------------------------------

TEXTS = ["a b c", "c", "d a b"]


def softmax(folder: Path, text: str) -> np.ndarray:
    """What transformers gives for one text, on its own."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    logits = model.eval()(**tokenizer(text, return_tensors="pt")).logits[0].detach().double().numpy()
    return np.exp(logits) / np.exp(logits).sum()


def test_a_classifier_gives_the_probability_of_the_label(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "Tone-Model", ("Kind", "harsh", "odd"))
    for label, index in (("Kind", 0), ("HARSH", 1)):
        (one,) = chosen_outcomes([f"classifier:{folder}#{label}"])
        assert one.name == f"classifier_tone_model_{label.lower()}"
        found = one.of_texts(TEXTS, [""] * len(TEXTS))
        assert found == pytest.approx([softmax(folder, text)[index] for text in TEXTS], abs=TINY)
        assert one.rests_on["label_weights"] == {"Kind": 1.0 - index, "harsh": 0.0 + index, "odd": 0.0}
        assert one.rests_on["version"]
        assert len(one.rests_on["fingerprint"]) == 64


def test_without_a_label_signs_count_as_they_do_for_sentiment(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "mood", ("neutral", "NEG", "positive"))
    (one,) = chosen_outcomes([f"warmth=classifier:{folder}"])
    assert one.name == "warmth"
    expected = [float(softmax(folder, text) @ [0.0, -1.0, 1.0]) for text in TEXTS]
    assert one.of_texts(TEXTS, [""] * 3) == pytest.approx(expected, abs=2 * TINY)


def test_a_text_in_which_the_classifier_reads_nothing_has_no_value(tmp_path: Path) -> None:
    (one,) = chosen_outcomes([f"classifier:{classifier(tmp_path / 'mood', ('neg', 'pos'))}"])
    assert np.isnan(one.of_texts(["", "a"], ["", ""])).tolist() == [True, False]


def test_another_classifier_in_the_same_folder_is_another_request(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "mood", ("neg", "pos"))
    (first,) = chosen_outcomes([f"classifier:{folder}"])
    weights = AutoModelForSequenceClassification.from_pretrained(folder)
    weights.classifier.bias.data[0] += 1.0
    weights.save_pretrained(folder)
    (second,) = chosen_outcomes([f"classifier:{folder}"])
    assert first.rests_on["fingerprint"] != second.rests_on["fingerprint"]


@pytest.mark.parametrize(
    ("labels", "label", "words"),
    [
        (("1 star", "5 stars"), "", ("is not said", "1 star, 5 stars", "#5 stars")),
        (("1 star", "5 stars"), "#2 stars", ('no label "2 stars"', "1 star, 5 stars")),
        (("only",), "", ("one label",)),
    ],
)
def test_a_classifier_that_does_not_say_what_counts_is_refused(
    labels: tuple[str, ...], label: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    folder = classifier(tmp_path / "stars", labels)
    with pytest.raises(RequestError) as caught:
        chosen_outcomes([f"classifier:{folder}{label}"])
    for word in words:
        assert word in str(caught.value)


def test_a_classifier_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in (tmp_path / "gone", tmp_path / "empty"):
        with pytest.raises(RequestError, match=r"the classifier .* cannot be loaded"):
            chosen_outcomes([f"classifier:{name}#pos"])
