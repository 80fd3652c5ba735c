"""Laws of validation: contradictions are errors, near-duplicates depend on who asks, the rest is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headscope.errors import ProfileError
from headscope.profiles.catalog import findings
from headscope.profiles.loading import load_profile
from tests.unit.profiles.test_loading import ROWS, folder

MORE = {"concept": "joy", "template": "a"}


def with_rows(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    return folder(tmp_path / "p", rows=[*ROWS, *rows])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "I AM glad, today?", **MORE}, "differ in case and punctuation only"),
        ({"text": "We were glad at last.", "span": [8, 12], **MORE}, "same template and slot filler"),
    ],
)
def test_near_duplicates_stop_validate_and_warn_elsewhere(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    path = with_rows(tmp_path, row)
    assert any(words in warning for warning in load_profile(path).warnings)
    with pytest.raises(ProfileError, match=words):
        load_profile(path, strict=True)
    found = [finding for finding in findings(path) if finding.severity == "strict"]
    assert words in found[0].problem
    assert found[0].is_error(strict=True)
    assert not found[0].is_error(strict=False)
    assert "prompts.jsonl, line 1" in (found[0].where or "")


def test_prompts_without_templates_are_near_duplicates_by_one_added_word(tmp_path: Path) -> None:
    texts = ("I am glad you came.", "I am very glad you came.", "I am glad they came.", "Glad.", "")
    rows = [{"concept": "joy", "text": text} for text in texts if text]
    found = [finding for finding in findings(with_rows(tmp_path, *rows)) if finding.severity == "strict"]
    assert [finding.problem for finding in found] == ["prompts joy-004 and joy-005 differ by one added word"]


@pytest.mark.parametrize(
    ("one", "other"), [("वह किताब है", "वह कोताब हो"), ("কাল আমি", "কোল আমি"), ("நன்றி", "நான்றி"), ("كَتَبَ", "كُتِبَ")]
)
def test_texts_that_differ_in_a_vowel_sign_say_different_things(tmp_path: Path, one: str, other: str) -> None:
    rows = [{"concept": "joy", "text": text} for text in (one, other)]
    assert [finding for finding in findings(with_rows(tmp_path, *rows)) if finding.severity == "strict"] == []


def test_many_near_duplicates_are_one_warning(tmp_path: Path) -> None:
    rows = [{"concept": "joy", "text": f"So glad{'!' * count}"} for count in range(5)]
    warnings = load_profile(with_rows(tmp_path, *rows)).warnings
    assert [warning for warning in warnings if "near-duplicates" in warning] == [
        "4 pairs of near-duplicates (headscope profiles validate lists them)"
    ]


def test_the_first_error_says_how_many_more_there_are(tmp_path: Path) -> None:
    rows = [{"concept": "joy", "text": text, "span": [0, 99]} for text in ("one", "two", "three")]
    with pytest.raises(ProfileError, match="and 2 more: headscope profiles validate lists them") as raised:
        load_profile(with_rows(tmp_path, *rows))
    assert "prompts.jsonl, line 7" in str(raised.value)
    assert len([finding for finding in findings(tmp_path / "p") if finding.severity == "error"]) == 3


@pytest.mark.parametrize(
    ("row", "warning"),
    [
        ({"text": "Glad to. ", **MORE}, "1 prompts end in white space"),
        ({"text": "Up it goes.", "span": [0, 2], **MORE}, "marked implicit although"),
        ({"text": "Glad of it.", "span": [0, 4], "implicit": True, **MORE}, "marked implicit although"),
        ({"text": "No word of it.", **MORE}, "1 prompts of joy have no span"),
        ({"text": "Glad of it.", "pair": "n-2", **MORE}, "partner of another template"),
        ({"text": "Glad of it.", "pair": "n-1", **MORE}, "share their partner"),
        ({"text": "Glad, not afraid.", **MORE}, "1 prompts of joy hold a lexicon word of fear"),
        ({"text": "Not glad at all.", "concept": "calm"}, "1 prompts of calm hold a lexicon word of joy"),
    ],
)
def test_what_its_author_should_know_is_a_warning(tmp_path: Path, row: dict[str, Any], warning: str) -> None:
    before = load_profile(folder(tmp_path / "before")).warnings
    after = load_profile(with_rows(tmp_path, row)).warnings
    assert any(warning in sentence for sentence in after)
    assert not any(warning in sentence for sentence in before)


def test_a_lexicon_word_of_two_concepts_is_said(tmp_path: Path) -> None:
    path = folder(tmp_path / "p")
    text = (path / "profile.yaml").read_text().replace("[afraid, scared, fear]", "[afraid, scared, GLAD]")
    (path / "profile.yaml").write_text(text)
    assert 'lexicon word "glad" is shared by joy, fear' in load_profile(path).warnings


def test_few_words_and_few_templates_are_said(tmp_path: Path) -> None:
    path = folder(tmp_path / "p")
    text = (path / "profile.yaml").read_text().replace("[afraid, scared, fear]", "[afraid]")
    (path / "profile.yaml").write_text(text)
    said = "\n".join(load_profile(path).warnings)
    assert "fear has 1 lexicon words" in said
    assert "joy has 3 prompts from 3 templates; under 6 results are descriptive only" in said


def test_long_prompts_cost_no_square(tmp_path: Path) -> None:
    """20,000 words: comparing each word left out would take gigabytes."""
    words = " ".join(f"w{number}" for number in range(15_000))
    assert load_profile(with_rows(tmp_path, {"concept": "joy", "text": words})).prompts


@pytest.mark.parametrize("count", [3000])
def test_many_prompts_load_in_little_time(tmp_path: Path, count: int) -> None:
    path = tmp_path / "joy.jsonl"
    rows = ({"text": f"Number {number} is glad of things.", "template": f"t{number % 50}"} for number in range(count))
    path.write_text("\n".join(map(json.dumps, rows)))
    assert len(load_profile(path).prompts_of("joy")) == count


def test_an_answer_that_stands_in_the_text_is_told_of_where_it_is_a_whole_word(tmp_path: Path) -> None:
    def told(text: str) -> bool:
        row = {"text": text, "answers": [" he"], "foils": [" she"], "corrupted": "Anna came, and"}
        (tmp_path / "named.jsonl").write_text(json.dumps(row) + "\n")
        return any("hold an answer and no foil" in one.problem for one in findings(tmp_path / "named.jsonl"))

    assert told("First he came, and then")
    assert told("He came, and then")
    assert not told("The other one came, and then")
    assert not told("He and she came, and then")
