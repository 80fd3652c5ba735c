"""The corpus of the demo model: short documents about one class each, made from a grammar and a seed.

A document of a class c (gratitude, anger, apology or neutral) is

1. sometimes one neutral sentence;
2. an opening that fixes the class: a frame shared by all classes with a word of c in its slot, or, in some documents, a
   situation of c without any class word; neutral documents may have neither;
3. none to three neutral sentences;
4. two to four *stems* shared by all classes ("All I can say is that I am so …"), each ended by a word of c;
5. sometimes one neutral sentence more.

So the word after a stem can be predicted from earlier sentences only: a model that predicts it well must carry
the class there by attention, and a stem is a clean place to read the class out.

Every choice comes from one ``random.Random`` seeded by (seed, stream), so the same request gives the same text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from training.sentences import (
    FILLERS,
    OPENING_KINDS,
    OPENINGS,
    SITUATIONS,
    STEM_KINDS,
    STEM_WEIGHTS,
    STEMS,
    TAILS,
)
from training.words import CLASSES, OPENING_WORDS, STEM_WORDS, VERB_PATTERNS, WORLD

CLASS_SLOTS = ("adj", "noun", "verb", "verbed")
_SYMBOL = re.compile(r"\{(\w+)\}")

# Shares of documents, chosen so that about half of them go straight from the opening to the first stem, as a prompt
# followed by a readout does.
_SHARE_FILLER_FIRST = 0.3
_SHARE_SITUATION = 0.2
_SHARE_NEUTRAL_WITHOUT_OPENING = 0.2
_SHARE_FILLER_BETWEEN_STEMS = 0.15
_SHARE_FILLER_LAST = 0.2
# A neutral word in a slot must tell nothing about the class, or heads would look at it as they look at emotion words:
# so documents of every class have such sentences.
_SHARE_NEUTRAL_WORD_IN_FILLER = 0.5
_FILLERS_AFTER_OPENING = (0, 0, 0, 1, 1, 1, 2, 2)
_STEM_COUNTS = (3, 3, 4, 5)

Piece = tuple[str, str | None]


@cache
def _pieces(phrase: str) -> tuple[Piece, ...]:
    """Split a phrase into (literal text, symbol after it) pairs; the last symbol is None."""
    parts = _SYMBOL.split(phrase)
    symbols: list[str | None] = [*parts[1::2], None]
    return tuple(zip(parts[0::2], symbols, strict=True))


def _choose(rng: random.Random, items: Sequence[str]) -> str:
    return items[int(rng.random() * len(items))]


def expand(phrase: str, slots: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """Replace every symbol of ``phrase`` by one of its words, again and again until none is left.

    Args:
        phrase: text with symbols in braces.
        slots: words of the class slots ("adj", "noun", "verb", "verbed"); all other symbols come from ``words.WORLD``.
        rng: the stream the choices are taken from.

    Raises:
        KeyError: a symbol that neither knows.
    """
    text = ""
    for literal, symbol in _pieces(phrase):
        text += literal
        if symbol is None:
            continue
        name = symbol.lower()
        choices = slots[name] if name in CLASS_SLOTS else WORLD[name]
        word = _choose(rng, choices)
        word = expand(VERB_PATTERNS.get(word, word), slots, rng)
        text += word[0].upper() + word[1:] if symbol[0].isupper() else word
    return text


@cache
def opening_slots(label: str) -> dict[str, tuple[str, ...]]:
    """The words that may stand in an opening's slot in a document of one class."""
    return {kind: STEM_WORDS[label][kind] + OPENING_WORDS[label].get(kind, ()) for kind in CLASS_SLOTS}


@cache
def _weighted(kinds: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    return tuple(kind for kind, weight in kinds for _ in range(weight))


@cache
def _weighted_stems(kind: str) -> tuple[str, ...]:
    return tuple(stem for stem, weight in zip(STEMS[kind], STEM_WEIGHTS[kind], strict=True) for _ in range(weight))


def _filler(rng: random.Random) -> str:
    if rng.random() < _SHARE_NEUTRAL_WORD_IN_FILLER:
        return expand(_choose(rng, OPENINGS[_choose(rng, _weighted(OPENING_KINDS))]), opening_slots("neutral"), rng)
    return expand(_choose(rng, FILLERS), {}, rng)


def _opening(label: str, rng: random.Random) -> str:
    draw = rng.random()
    if draw < _SHARE_SITUATION:
        return expand(_choose(rng, SITUATIONS[label]), {}, rng)
    if label == "neutral" and draw < _SHARE_SITUATION + _SHARE_NEUTRAL_WITHOUT_OPENING:
        return _filler(rng)
    kind = _choose(rng, _weighted(OPENING_KINDS))
    return expand(_choose(rng, OPENINGS[kind]), opening_slots(label), rng)


def _stem(label: str, rng: random.Random) -> str:
    kind = _choose(rng, _weighted(STEM_KINDS))
    return expand(_choose(rng, _weighted_stems(kind)) + _choose(rng, TAILS), STEM_WORDS[label], rng)


def document(label: str, rng: random.Random) -> str:
    """One document of the class ``label``: plain text, sentences joined by single spaces."""
    sentences = [_filler(rng)] if rng.random() < _SHARE_FILLER_FIRST else []
    sentences.append(_opening(label, rng))
    sentences += [_filler(rng) for _ in range(_FILLERS_AFTER_OPENING[int(rng.random() * len(_FILLERS_AFTER_OPENING))])]
    for index in range(_STEM_COUNTS[int(rng.random() * len(_STEM_COUNTS))]):
        if index and rng.random() < _SHARE_FILLER_BETWEEN_STEMS:
            sentences.append(_filler(rng))
        sentences.append(_stem(label, rng))
    if rng.random() < _SHARE_FILLER_LAST:
        sentences.append(_filler(rng))
    return " ".join(sentences)


def documents(count: int, *, seed: int, stream: str = "train") -> Iterator[tuple[str, str]]:
    """Yield ``count`` pairs (class, text), the classes equally often and in turn.

    Args:
        count: how many documents.
        seed: of the corpus.
        stream: name of the stream of choices, e.g. ``train`` or ``validation``: other names, other documents.
    """
    rng = random.Random(f"headscope demo corpus {seed} {stream}")  # noqa: S311 - text, not secrets
    for index in range(count):
        label = CLASSES[index % len(CLASSES)]
        yield label, document(label, rng)
