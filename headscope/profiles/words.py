"""Whole words in text: the one rule by which spans are found and keywords are counted.

A word matches where it stands whole, whatever its case: "mad" is in "Mad at you!" and not in "made". Before and after
it there is no letter, digit, underscore or combining mark. That question is asked only at an edge whose own character
belongs to a script that parts its words by spaces: Japanese, Chinese, Thai, Lao, Khmer and Burmese words match inside
a run of characters. Composed and decomposed accents are the same letter, and so are the straight and the curly
apostrophe. Of entries that match at the same place the longest wins, so "thanks" is never also counted as "thank".
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

# Scripts written without spaces between words, as ranges of a regular expression's character class.
_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_LETTER = r"\w\u0300-\u036f"
_NOT_AFTER_LETTER = f"(?<![{_LETTER}])"
_NOT_BEFORE_LETTER = f"(?![{_LETTER}])"
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_APOSTROPHES = "'\u2019"


def find_words(text: str, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Start and end character (end exclusive) of every whole word of ``text`` that is in ``words``, left to right."""
    if not words:
        return
    for match in _pattern(tuple(words)).finditer(text):
        yield match.span()


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
    return tuple(re.findall(rf"[{_LETTER}]+", unicodedata.normalize("NFKC", text).casefold()))


@functools.lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    forms = {form for word in words for form in (word, *(unicodedata.normalize(kind, word) for kind in ("NFC", "NFD")))}
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile("|".join(map(_whole, longest_first)), re.IGNORECASE)


def _whole(word: str) -> str:
    """The pattern of one word: its characters, and no letter beyond an edge where words are parted by spaces."""
    characters = "".join(
        f"[{_APOSTROPHES}]" if character in _APOSTROPHES else re.escape(character) for character in word
    )
    before = "" if _UNSPACED_CHARACTER.match(word[0]) else _NOT_AFTER_LETTER
    after = "" if _UNSPACED_CHARACTER.match(word[-1]) else _NOT_BEFORE_LETTER
    return before + characters + after
