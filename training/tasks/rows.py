"""From a frame and the words for its slots to a row of ``prompts.jsonl``.

1. A frame is a sentence with slots, ``"When {io} and {s1} went to the store, {s2} gave a drink to"``. A slot's name is
   the name of its place, unless it ends in ``_``: what stands there then has no role of its own.
2. The corrupted partner is the same frame with other words in one or more slots.
3. So clean and corrupted differ in slots only. Every word of a slot is one token with the space before it, for GPT-2
   and for SmolLM2 (two digits of a year are two for the latter), and places stand at the same tokens in both.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, TypeVar

PROMPTS_PER_TEMPLATE = 4
Frame = TypeVar("Frame")


@dataclass(frozen=True)
class Example:
    """One prompt and its partner.

    Attributes:
        template: id of the frame.
        frame: the sentence with its slots.
        words: what stands in each slot.
        corrupted: what stands there in the partner, where it is something else.
        answers: continuations that are right, as they follow the text.
        foils: continuations that are wrong.
    """

    template: str
    frame: str
    words: Mapping[str, str]
    corrupted: Mapping[str, str]
    answers: tuple[str, ...]
    foils: tuple[str, ...]


def numbered(kind: str, frames: Iterable[Frame]) -> Iterator[tuple[str, Frame]]:
    """Frames with their ids: ``abba-01``, ``abba-02``, ..."""
    for number, frame in enumerate(frames, start=1):
        yield f"{kind}-{number:02d}", frame


def dealt(draw: random.Random, words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """Hands of ``size`` words, without end; all words are dealt once before any of them is dealt again."""
    while True:
        yield from zip(*[iter(draw.sample(words, len(words)))] * size, strict=True)


def spaced(words: Iterable[str]) -> tuple[str, ...]:
    """Words as they follow a text."""
    return tuple(f" {word}" for word in words)


def filled(frame: str, words: Mapping[str, str]) -> tuple[str, dict[str, list[int]]]:
    """The text, and start and end character of each slot that has a role."""
    text, spans = "", dict[str, list[int]]()
    for literal, slot, _, _ in Formatter().parse(frame):
        text += literal
        if slot is not None:
            if not slot.endswith("_"):
                spans[slot] = [len(text), len(text) + len(words[slot])]
            text += words[slot]
    return text, spans


def row(task: str, number: int, example: Example) -> dict[str, Any]:
    """One line of ``prompts.jsonl``."""
    text, spans = filled(example.frame, example.words)
    partner, partner_spans = filled(example.frame, {**example.words, **example.corrupted})
    return {
        "id": f"{task}-{number:03d}",
        "concept": task,
        "text": text,
        "template": example.template,
        "answers": list(example.answers),
        "foils": list(example.foils),
        "spans": spans,
        "corrupted": {"text": partner, "spans": partner_spans},
    }
