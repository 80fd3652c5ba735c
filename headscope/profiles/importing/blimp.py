"""BLiMP's pairs of sentences, of which one is grammatical.

A one-prefix pair has its prefix and the two words. Of any other pair the words that both sentences begin with are the
prompt, and the rest of each is answer and foil: their log-odds are the difference of the sentences' log-probabilities.
A pair that differs in its first word has no prompt. There are no corrupted prompts.
"""

from __future__ import annotations

from itertools import takewhile

import regex

from headscope.profiles.columns import Table
from headscope.profiles.importing.cells import following, shortened, text_of
from headscope.profiles.importing.kinds import Cells, Found, Importer, Left, TaskRow, Wanted, each

_PREFIX, _GOOD, _BAD = "one_prefix_prefix", "one_prefix_word_good", "one_prefix_word_bad"


def read(table: Table, _: Wanted) -> Found:
    """The rows of a table."""
    found = Found(list(each(table, _one)))
    if any(isinstance(row, TaskRow) and " " in row.answers[0].strip() for _, row in found.rows):
        found.notes.append("of pairs without a prefix of their own, answer and foil are the rest of the sentences")
    return found


def _one(cells: Cells) -> TaskRow | Left:
    good, bad = cells.get("sentence_good"), cells.get("sentence_bad")
    if not isinstance(good, str) or not isinstance(bad, str):
        return Left("a sentence is missing")
    task = text_of(cells.get("UID"))
    prefix, *words = (text_of(cells.get(name)) for name in (_PREFIX, _GOOD, _BAD))
    if prefix is not None and None not in words:
        right, wrong = (following(prefix, word.strip()) for word in words if word is not None)
        if not good.startswith(prefix + right) or not bad.startswith(prefix + wrong):
            return Left("its prefix and words do not begin its sentences", shortened(prefix + right))
        return TaskRow(prefix, (right,), (wrong,), task=task)
    shared = _shared(good, bad)
    if not shared:
        return Left("its sentences differ in their first word", shortened(good))
    return TaskRow(good[:shared], (good[shared:],), (bad[shared:],), task=task)


def _shared(good: str, bad: str) -> int:
    """Characters of the words that both texts begin with, without the space after them."""
    pairs = zip(regex.findall(r"\s*\S+", good), regex.findall(r"\s*\S+", bad), strict=False)
    return sum(len(one) for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


BLIMP = Importer(
    "blimp",
    "sentence_good, sentence_bad",
    ("sentence_good",),
    lambda table: {"sentence_good", "sentence_bad"} <= {*table.columns},
    read,
)
