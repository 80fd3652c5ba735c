"""Laws that every bundled profile obeys, read from its two files."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.unit.profiles.bundled_prompts import (
    CONTROL,
    BundledProfile,
    frame,
    repeated,
    slot_place_share,
    span_text,
    templates,
    words_of,
)


@pytest.fixture(scope="module", params=["baseline", "extended"])
def profile(request: pytest.FixtureRequest) -> BundledProfile:
    return BundledProfile.read(request.param)


def test_the_four_classes_are_of_one_size(profile: BundledProfile) -> None:
    assert profile.classes == ("gratitude", "anger", "apology", "neutral")
    assert len({len(profile.of(name)) for name in profile.classes}) == 1
    assert {row["concept"] for row in profile.rows} == set(profile.classes)


def test_ids_name_class_and_number(profile: BundledProfile) -> None:
    for name in profile.classes:
        rows = profile.of(name)
        assert [row["id"] for row in rows] == [f"{name}-{number:03d}" for number in range(1, len(rows) + 1)]


def test_every_template_makes_two_prompts_of_each_class(profile: BundledProfile) -> None:
    grouped = {name: templates(profile.of(name)) for name in profile.classes}
    assert all(list(of_class) == list(grouped[CONTROL]) for of_class in grouped.values())
    assert {len(rows) for of_class in grouped.values() for rows in of_class.values()} == {2}


def test_a_template_has_one_frame_in_all_classes(profile: BundledProfile) -> None:
    frames = {template: {frame(row) for row in rows} for template, rows in templates(profile.rows).items()}
    assert {len(variants) for variants in frames.values()} == {1}
    assert repeated(variant for variants in frames.values() for variant in variants) == []


def test_a_span_is_one_whole_word_and_never_the_last(profile: BundledProfile) -> None:
    for row in profile.rows:
        before, after = frame(row)
        assert words_of(span_text(row)) == [span_text(row)], row["id"]
        assert before[-1] == " ", row["id"]
        assert not after[0].isalpha(), row["id"]
        assert words_of(after), row["id"]


def test_the_span_is_a_lexicon_word_or_marked_implicit(profile: BundledProfile) -> None:
    for name in profile.concepts:
        explicit = [span_text(row) in profile.lexicon(name) for row in profile.of(name)]
        assert [row.get("implicit", False) for row in profile.of(name)] == [not is_word for is_word in explicit]
        assert sum(explicit) >= 0.9 * len(explicit)


def test_most_words_of_a_lexicon_stand_in_some_span(profile: BundledProfile) -> None:
    for name in profile.concepts:
        assert len({span_text(row) for row in profile.of(name)} & profile.lexicon(name)) >= 8


def test_the_emotion_stands_in_the_slot_alone(profile: BundledProfile) -> None:
    held = {word for row in profile.rows for part in frame(row) for word in words_of(part)}
    assert not held & profile.lexicon_words


def test_no_prompt_holds_another_concepts_word(profile: BundledProfile) -> None:
    for row in profile.rows:
        others = {word for name in profile.concepts if name != row["concept"] for word in profile.lexicon(name)}
        assert not others.intersection(words_of(row["text"])), row["id"]


def test_each_neutral_prompt_is_the_partner_of_one_prompt_of_each_concept(profile: BundledProfile) -> None:
    partners: dict[str, list[str]] = {row["id"]: [] for row in profile.of(CONTROL)}
    for row, control in profile.pairs:
        assert control["template"] == row["template"]
        partners[control["id"]].append(row["concept"])
    assert {tuple(concepts) for concepts in partners.values()} == {profile.concepts}
    assert not any("pair" in row for row in profile.of(CONTROL))


def test_no_text_occurs_twice_after_folding_case_and_punctuation(profile: BundledProfile) -> None:
    assert repeated(tuple(words_of(row["text"])) for row in profile.rows) == []


def test_no_class_fills_a_template_twice_with_one_word(profile: BundledProfile) -> None:
    assert repeated((row["concept"], row["template"], span_text(row)) for row in profile.rows) == []


def test_every_text_is_one_plain_line_from_capital_to_final_mark(profile: BundledProfile) -> None:
    for row in profile.rows:
        text = row["text"]
        assert text.isascii()
        assert text == " ".join(text.split())
        assert text.lstrip('"')[0].isupper()
        assert text[-1] in ".!?"


def test_no_slot_follows_an_article_that_depends_on_its_word(profile: BundledProfile) -> None:
    assert not [row["id"] for row in profile.rows if words_of(frame(row)[0])[-1] in {"a", "an"}]


def test_lengths_spread_from_4_to_20_words_alike_in_all_classes(profile: BundledProfile) -> None:
    counts = {name: [len(words_of(row["text"])) for row in profile.of(name)] for name in profile.classes}
    assert all(lengths == counts[CONTROL] for lengths in counts.values())
    lengths = counts[CONTROL]
    assert (min(lengths), max(lengths)) == (4, 20)
    for low, high in ((4, 9), (10, 13), (14, 20)):
        assert sum(low <= length <= high for length in lengths) >= 0.2 * len(lengths), (low, high)


def test_final_marks_are_mixed_alike_in_all_classes(profile: BundledProfile) -> None:
    marks = {name: Counter(row["text"][-1] for row in profile.of(name)) for name in profile.classes}
    assert all(counted == marks[CONTROL] for counted in marks.values())
    assert min(marks[CONTROL][mark] for mark in ".!?") >= 0.1 * len(profile.of(CONTROL))


def test_openings_are_mixed_alike_in_all_classes(profile: BundledProfile) -> None:
    openings = {name: Counter(words_of(row["text"])[0] for row in profile.of(name)) for name in profile.classes}
    assert all(counted == openings[CONTROL] for counted in openings.values())
    assert len(openings[CONTROL]) >= 20
    assert max(openings[CONTROL].values()) <= 0.15 * len(profile.of(CONTROL))


@pytest.mark.parametrize(
    ("kind", "first_words"),
    [
        ("first person", {"i", "we", "my", "our"}),
        ("third person", {"he", "his", "she", "her", "they", "mr", "tom", "nobody", "some"}),
        ("narrative", {"by", "when", "what", "out", "long", "snow", "at", "it", "that", "in"}),
        ("letter", {"dear", "hello", "hi"}),
    ],
)
def test_first_person_third_person_narrative_and_letter_openings_are_there(
    profile: BundledProfile, kind: str, first_words: set[str]
) -> None:
    count = sum(words_of(row["text"])[0] in first_words for row in profile.of(CONTROL))
    assert count >= 0.06 * len(profile.of(CONTROL)), kind


def test_dialogue_openings_are_there(profile: BundledProfile) -> None:
    rows = profile.of(CONTROL)
    assert sum(row["text"].startswith('"') for row in rows) >= 0.06 * len(rows)


def test_spans_stand_early_in_the_middle_and_late(profile: BundledProfile) -> None:
    places = [slot_place_share(row) for row in profile.of(CONTROL)]
    early, late = sum(place < 1 / 3 for place in places), sum(place > 2 / 3 for place in places)
    assert min(early, len(places) - early - late, late) >= 0.14 * len(places)


def test_neutral_slots_hold_more_than_the_control_lexicon(profile: BundledProfile) -> None:
    words = {span_text(row) for row in profile.of(CONTROL)}
    assert len(words - profile.lexicon(CONTROL)) >= 12


def test_lexicons_agree_in_number_of_words_by_part_of_speech(profile: BundledProfile) -> None:
    sizes = {name: {part: len(words) for part, words in parts.items()} for name, parts in profile.lexicons.items()}
    assert all(size == sizes[CONTROL] for size in sizes.values())
    assert set(sizes[CONTROL]) == {"adjective", "noun", "verb"}
    assert 10 <= sum(sizes[CONTROL].values()) <= 14


def test_no_word_is_in_two_lexicons(profile: BundledProfile) -> None:
    assert repeated(word for parts in profile.lexicons.values() for words in parts.values() for word in words) == []


def test_two_readouts_ask_for_an_adjective_and_two_for_a_noun(profile: BundledProfile) -> None:
    assert sorted(readout.split()[-1] for readout in profile.settings["readouts"]) == ["my", "my", "so", "so"]


def test_readouts_hold_no_lexicon_word(profile: BundledProfile) -> None:
    assert not profile.lexicon_words & {word for text in profile.settings["readouts"] for word in words_of(text)}
