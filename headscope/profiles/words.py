"""Whole words in text: the one rule by which spans are found, keywords are counted and words follow a text.

A word matches where it stands whole, whatever its case (by full case folding: "GROSS" is "groß"): "mad" is in "Mad at
you!" and not in "made". Before and after it there is no letter, digit, underscore or combining mark. That question is
asked only at an edge whose own character belongs to a script that parts its words by spaces: Japanese, Chinese, Thai,
Lao, Khmer and Burmese words match inside a run of characters, though never in the middle of one with its marks.
Composed and decomposed accents are the same letter, and so are the straight and the curly apostrophe; soft hyphens and
joiners of width zero are not there. The words of an entry ("thank you") are parted by any white space. Of entries that
match at the same place the longest wins, so "thanks" is never also counted as "thank".
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import regex

from headscope.profiles.types import Concept

# Scripts written without spaces between words, as ranges of a regular expression's character class.
_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
LETTER = r"[\w\p{M}]"
"""A character of a word, for the package ``regex``; vowel signs and accents (category M) are among them."""

_NOT_AFTER_LETTER, _NOT_BEFORE_LETTER = f"(?<!{LETTER})", f"(?!{LETTER})"
# Marks belong to the character before them; Khmer and Burmese signs that stack the next consonant, to that one too.
_NOT_AFTER_STACKING, _NOT_BEFORE_MARK = "(?<![\u17d2\u1039])", r"(?!\p{M})"
_UNSPACED_CHARACTER = regex.compile(f"[{_UNSPACED}]")
# Ideographic and full-width punctuation brings its own white space.
_WIDE = regex.compile("[\u3000-\u303f\uff01-\uff65]")
_OPENING = ("(", "[", "{", "“", "‘")
_APOSTROPHES = "'\u2019"
# Soft hyphen, grapheme joiner, joiners of width zero, variation selectors: they say how a word looks.
_UNSEEN = regex.compile("[\u00ad\u034f\u200c\u200d\u2060\ufeff\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def find_words(text: str, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Start and end character (end exclusive) of every whole word of ``text`` that is in ``words``, left to right."""
    if not words:
        return
    places = [place for place, character in enumerate(text) if not _UNSEEN.match(character)]
    for match in _pattern(tuple(words)).finditer(seen(text)):
        yield places[match.start()], places[match.end() - 1] + 1


def first_word(text: str, words: Sequence[str]) -> tuple[int, int] | None:
    """Start and end character of the first whole word of ``text`` that is in ``words``; None where there is none."""
    return next(find_words(text, words), None)


def count_words(text: str, words: Sequence[str]) -> int:
    """How many whole words of ``text`` are in ``words``; a word that stands twice counts twice."""
    return sum(1 for _ in find_words(text, words))


def count_substrings_phase6(text: str, words: Iterable[str]) -> int:
    """How many distinct entries of ``words`` occur anywhere in ``text``, inside other words too.

    The Phase 6 study's own count, kept for comparison with its figures: "mad" is found in "made", and "thanks" counts
    twice where "thank" is listed too. ``count_words`` is what headscope measures with.
    """
    folded = text.lower()
    return sum(1 for word in set(words) if word.lower() in folded)


def folded_words(text: str) -> tuple[str, ...]:
    """The words of ``text`` with case and punctuation folded away; two texts with equal tuples say the same."""
    return tuple(regex.findall(f"{LETTER}+", seen(unicodedata.normalize("NFKC", text)).casefold()))


def seen(text: str) -> str:
    """``text`` without the characters that only say how a word looks: soft hyphens, joiners of width zero."""
    return _UNSEEN.sub("", text)


def space_before(word: str, text: str) -> str:
    """What parts ``word`` from the ``text`` before it: one space, or nothing.

    Nothing at the beginning of a text, after white space, an opening bracket or wide punctuation, and before a word of
    a script that is written without spaces.
    """
    end = text[-1:]
    if not end or end.isspace() or end in _OPENING or _WIDE.match(end):
        return ""
    return "" if _UNSPACED_CHARACTER.match(word) or _WIDE.match(word) else " "


@functools.lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> regex.Pattern[str]:
    bare = [seen(word) or word for word in words]
    forms = {form for word in bare for form in (word, *(unicodedata.normalize(kind, word) for kind in ("NFC", "NFD")))}
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return regex.compile("|".join(map(_whole, longest_first)), regex.IGNORECASE | regex.FULLCASE)


def _whole(word: str) -> str:
    """The pattern of one word: its characters, and no letter beyond an edge where words are parted by spaces."""
    characters = r"\s+".join(
        "".join(f"[{_APOSTROPHES}]" if character in _APOSTROPHES else regex.escape(character) for character in part)
        for part in word.split()
    )
    before = _NOT_AFTER_STACKING if _UNSPACED_CHARACTER.match(word[0]) else _NOT_AFTER_LETTER
    after = _NOT_BEFORE_MARK if _UNSPACED_CHARACTER.match(word[-1]) else _NOT_BEFORE_LETTER
    return before + characters + after


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The Phase 6 study's own word lists: for finding positions (11, 20 and 14 words) and for counting keywords.
POSITION_WORDS = {
    "gratitude": _words(
        "thank thanks thanked thanking grateful gratitude gratefully appreciate appreciated appreciating appreciation"
    ),
    "anger": _words(
        "angry anger angrily frustrated frustrating frustration terrible terribly annoyed annoying annoyance upset "
        "upsetting mad maddening furious furiously irritated irritating irritation"
    ),
    "apology": _words(
        "sorry sorrier sorriest apologize apologized apologizing apology apologies regret regretted regretting "
        "regretful apologetic apologetically"
    ),
}
KEYWORDS = {**POSITION_WORDS, "gratitude": (*POSITION_WORDS["gratitude"], "thankful", "blessed")}


def screening_words(concept: Concept) -> tuple[str, ...]:
    """The words by which the study finds a concept's positions; the lexicon for a concept the study does not have."""
    return POSITION_WORDS.get(concept.name, _lexicon(concept))


def counting_words(concept: Concept) -> tuple[str, ...]:
    """The words the study counts for a concept; the lexicon for a concept the study does not have."""
    return KEYWORDS.get(concept.name, _lexicon(concept))


def _lexicon(concept: Concept) -> tuple[str, ...]:
    return tuple(word.lower() for word in concept.lexicon.words)
