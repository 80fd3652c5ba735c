"""Laws of whole words: what matches, what does not, and the study's own counts."""

from __future__ import annotations

import itertools
import unicodedata
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from headscope.profiles.loading import load_profile
from headscope.profiles.types import Concept, Lexicon
from headscope.profiles.words import (
    KEYWORDS,
    POSITION_WORDS,
    count_substrings_phase6,
    count_words,
    counting_words,
    find_words,
    first_word,
    folded_words,
    screening_words,
    seen,
    space_before,
)


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("He made a mad dash, madly. Mad!", ["mad"], ["mad", "Mad"]),
        ("Thanks! I thank you, thanks.", ["thank", "thanks"], ["Thanks", "thank", "thanks"]),
        ("thank_you thank2 2thank xthank", ["thank"], []),
        ("(sorry) sorry's “sorry” so-sorry", ["sorry"], ["sorry"] * 4),
        ("She wasn’t sorry; she wasn't.", ["wasn't"], ["wasn’t", "wasn't"]),
        ("FÂCHÉ, fâché " + unicodedata.normalize("NFD", "fâché"), ["fâché"], ["FÂCHÉ", "fâché", "fa\u0302che\u0301"]),
        ("e\u0301te\u0301 et", ["e", "t"], []),
        ("本当にありがとうございます", ["ありがとう"], ["ありがとう"]),
        ("怒りと感謝", ["感謝", "怒"], ["怒", "感謝"]),
        ("благодарен, неблагодарен", ["благодарен"], ["благодарен"]),
        ("ขอบคุณมาก", ["ขอบคุณ"], ["ขอบคุณ"]),
        ("a.b axb", ["a.b"], ["a.b"]),
        # vowel signs and accents of every script belong to the word
        ("मैं खुश हूँ, खुशी", ["खुश"], ["खुश"]),
        ("কৃত কৃতজ্ঞ", ["কৃত"], ["কৃত"]),
        ("நன்றி நன்", ["நன்"], ["நன்"]),
        ("كَتَبَ كَتَبَتْ", ["كَتَبَ"], ["كَتَبَ"]),
        ("मन मना", ["मन"], ["मन"]),
        ("กลุ่ม กล", ["กล"], ["กล"]),
        ("ខ្ម ខ", ["ខ"], ["ខ"]),
        # characters without a width are not there
        ("grate\u00adful mad\u00adly", ["grateful", "mad"], ["grate\u00adful"]),
        ("می\u200cخواهم می", ["می"], ["می"]),
        ("❤\ufe0f love", ["❤"], ["❤"]),
        # full case folding
        ("GROSS groß Gross größer", ["groß"], ["GROSS", "groß", "Gross"]),
        ("DIE STRASSE, die Straße", ["strasse"], ["STRASSE", "Straße"]),
        # several words
        (
            "Thank  you! thank\nyou. thank youth, thanks",
            ["thank you", "thanks"],
            ["Thank  you", "thank\nyou", "thanks"],
        ),
        ("anything", [], []),
    ],
)
def test_whole_words_are_found_and_nothing_else(text: str, words: list[str], found: list[str]) -> None:
    assert [text[start:end] for start, end in find_words(text, words)] == found
    assert count_words(text, words) == len(found)
    first = first_word(text, words)
    assert (None if first is None else text[slice(*first)]) == (found[0] if found else None)


@given(st.text(max_size=40), st.lists(st.text("abAB'é感", min_size=1, max_size=4), max_size=4))
def test_matches_are_ordered_disjoint_and_equal_to_a_word(text: str, words: list[str]) -> None:
    spans = list(find_words(text, words))
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    known = {unicodedata.normalize("NFC", word).casefold().replace("’", "'") for word in words}
    for start, end in spans:
        assert unicodedata.normalize("NFC", seen(text[start:end])).casefold().replace("’", "'") in known


def runs(text: str) -> list[str]:
    """The words of a text, slowly: runs of letters, digits, connectors and marks, by their Unicode categories."""
    found, run = [], ""
    for character in text + " ":
        if unicodedata.category(character)[0] in "LNM" or unicodedata.category(character) == "Pc":
            run += character
        elif run:
            found, run = [*found, run], ""
    return found


@given(st.text("aß_7 -.कखिीোক্\u0301\u064e", max_size=30))
def test_words_of_scripts_with_spaces_are_runs_of_letters_digits_and_marks(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    words = list(dict.fromkeys(runs(text)))
    folded = [word.casefold() for word in words]
    assert [text[start:end] for start, end in find_words(text, words)] == runs(text)
    assert list(folded_words(text)) == runs(unicodedata.normalize("NFKC", text).casefold())
    for word in folded:
        assert count_words(text, [word]) == [run.casefold() for run in runs(text)].count(word)


@pytest.mark.parametrize(
    ("text", "word", "space"),
    [
        ("I am so", "glad", " "),
        ("I am so", "खुश", " "),
        ("나는", "고마워", " "),
        ("今日は", "感謝", ""),
        ("I feel", "ありがとう", ""),
        ("我很", "高兴", ""),
        ("ฉัน", "ขอบคุณ", ""),
        ("ຂ້ອຍ", "ຂອບໃຈ", ""),
        ("ខ្ញុំ", "អរគុណ", ""),
        ("ငါ", "ကျေးဇူး", ""),
        ("そうです。", "Thanks", ""),
        ("He said:", "「はい」", ""),
        ("", "glad", ""),
        ("I am ", "glad", ""),
        ("answer:\n", "glad", ""),
        ("(", "glad", ""),
    ],
)
def test_a_space_parts_words_where_their_script_has_one(text: str, word: str, space: str) -> None:
    assert space_before(word, text) == space


def test_folding_leaves_words_only() -> None:
    assert folded_words("I'm SORRY!!") == folded_words("i m — sorry.")
    assert folded_words("Ｓｏｒｒｙ") == ("sorry",)
    assert folded_words("...") == ()


def test_phase6_mistake_5_substring_counting() -> None:
    """The study's count sees "mad" in "made" and counts "thanks" twice; whole words do neither."""
    text = "Thanks, she made it."
    words = (*KEYWORDS["gratitude"], *KEYWORDS["anger"])
    assert count_substrings_phase6(text, words) == 3
    assert count_words(text, words) == 1


def test_the_studys_lists_have_the_studys_sizes() -> None:
    assert {name: len(set(words)) for name, words in POSITION_WORDS.items()} == {
        "gratitude": 11,
        "anger": 20,
        "apology": 14,
    }
    assert set(KEYWORDS["gratitude"]) - set(POSITION_WORDS["gratitude"]) == {"thankful", "blessed"}


def test_a_concept_the_study_does_not_have_uses_its_lexicon() -> None:
    lexicon = Lexicon({"word": ("Glad", "happy")})
    joy, anger = Concept("joy", lexicon, lexicon), Concept("anger", lexicon, lexicon)
    assert screening_words(joy) == counting_words(joy) == ("glad", "happy")
    assert screening_words(anger) == POSITION_WORDS["anger"]


@pytest.mark.oracle
def test_the_studys_prompts_alone_hold_the_published_keyword_floors(shared: Path) -> None:
    profile = load_profile(shared / "reference" / "phase6" / "prompts")
    floors = {
        name: {
            concept: sum(count_substrings_phase6(prompt.text, words) for prompt in profile.prompts_of(name))
            for concept, words in KEYWORDS.items()
        }
        for name in (*profile.concepts, profile.control)
    }
    assert floors == {
        "gratitude": {"gratitude": 70, "anger": 2, "apology": 0},
        "anger": {"gratitude": 0, "anger": 38, "apology": 0},
        "apology": {"gratitude": 0, "anger": 4, "apology": 58},
        "neutral": {"gratitude": 0, "anger": 0, "apology": 0},
    }
