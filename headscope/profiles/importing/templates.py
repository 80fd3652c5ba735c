"""Which rows come from one template, where the file does not say.

1. A text's skeleton is its words without what is asked: the marked places (else the words in which it differs from its
   corrupted partner), the answers, the foils and the fillers that the file names are slots, so is a word with a capital
   inside a sentence (a name), and digits are 0. Slots beside each other are one.
2. Skeletons that differ in one word only, wherever it stands, are one template, and so on from each to the next: places
   and objects that vary from row to row fall away. Skeletons of fewer than four words are compared whole.

Rows of one template count as one observation, so the rule rather joins too many than too few.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import regex

from headscope.profiles.importing.cells import places_of_word
from headscope.profiles.importing.kinds import Span, TaskRow
from headscope.profiles.tasks import changed_places
from headscope.profiles.words import LETTER

Skeleton = tuple[str, ...]
FEWEST_WORDS = 4
SLOT = "\N{BULLET}"
_PIECE = regex.compile(rf"{SLOT}|{LETTER}+|[^\s\w]")
_DIGITS = regex.compile(r"\p{N}+")
_SENTENCE_ENDS = frozenset(".!?:;\"'\u201c\u201d\n")


def template_ids(rows: Sequence[TaskRow]) -> list[str]:
    """An id for each row: its own, else that of the template found, numbered in order of first appearance."""
    skeletons = [None if row.template is not None else skeleton(row) for row in rows]
    joined = _joined([one for one in dict.fromkeys(skeletons) if one is not None])
    taken = {row.template for row in rows}
    names: dict[Skeleton, str] = {}
    found: list[str] = []
    number = 0
    for row, own in zip(rows, skeletons, strict=True):
        if own is None:
            found.append(row.template or "")
            continue
        root = joined[own]
        while root not in names:
            number += 1
            if (name := f"t{number:03d}") not in taken:
                names[root] = name
        found.append(names[root])
    return found


def skeleton(row: TaskRow) -> Skeleton:
    """The words of a row's text, slots in the place of what is asked."""
    text = row.text
    places: list[Span] = [*row.spans.values()]
    if not places and row.corrupted is not None:
        places = [*changed_places(text, row.corrupted).values()]
    for word in dict.fromkeys((*row.answers, *row.foils, *row.fillers)):
        places += [] if _DIGITS.fullmatch(word.strip()) else places_of_word(text, word)
    pieces: list[str] = []
    at_start = True
    for match in _PIECE.finditer(_with_slots(text, places)):
        piece = match[0]
        if piece != SLOT and piece[0].isupper() and not at_start:
            piece = SLOT
        at_start = piece in _SENTENCE_ENDS
        if piece != SLOT or pieces[-1:] != [SLOT]:
            pieces.append(_DIGITS.sub("0", piece))
    return tuple(pieces)


def _with_slots(text: str, places: Sequence[Span]) -> str:
    parts: list[str] = []
    at = 0
    for start, end in sorted(places):
        if start >= at:
            parts += [text[at:start], f" {SLOT} "]
        at = max(at, end)
    return "".join([*parts, text[at:]])


def _joined(skeletons: Sequence[Skeleton]) -> dict[Skeleton, Skeleton]:
    """Each skeleton's template, as the first of its skeletons."""
    parents = {one: one for one in skeletons}

    def root(one: Skeleton) -> Skeleton:
        while parents[one] != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        return one

    seen: dict[Hashable, Skeleton] = {}
    for one in skeletons:
        words = [word for word in dict.fromkeys(one) if word[0].isalpha()] if len(one) >= FEWEST_WORDS else []
        for word in words:
            # By its hash: the words themselves would be kept once for each of them.
            without = hash(tuple(None if each == word else each for each in one))
            first, second = root(seen.setdefault(without, one)), root(one)
            if first != second:
                parents[second] = first
    return {one: root(one) for one in skeletons}
