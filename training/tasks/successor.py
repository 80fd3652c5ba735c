"""What comes next? Days, months, numbers, letters and ordinals, in their order.

A frame holds one or three members of a list that follow each other; right is the member after the last of them, and
every other member is wrong, so that neither repeating the last one nor naming any one will do. The partner holds
another run of the same list, after which another member is due. Days and months begin again after their last.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from training.tasks.rows import PROMPTS_PER_TEMPLATE, Example, numbered, spaced

DESCRIPTION = "What comes next: the day, month, number, letter or ordinal after the last one named."
PARTNER = "another run of the same list, after which another member is due"

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
]  # fmt: skip
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]

# Kind -> its list, whether it begins again, and the frames.
KINDS = {
    "day": (DAYS, True, (
        "The shop is open on {first}, {second}, {last} and",
        "It rained on {first}, it rained on {second}, it rained on {last} and it rained on",
        "If today is {last}, then tomorrow is",
        "Yesterday was {last} and today is",
        "The days went by: {first}, {second}, {last},",
        "We met on {first}, again on {second}, again on {last}, and again on",
        "She left on {last} night and was back the next morning, on",
    )),
    "month": (MONTHS, True, (
        "The month after {last} is",
        "We were away in {first}, {second}, {last} and",
        "Before the end of {first} comes {second}, then {last}, and then",
        "After {first} came {second}, after that came {last}, and then came",
        "They paid the bills for {first}, {second}, {last} and",
        "The months went by: {first}, {second}, {last},",
    )),
    "number": (NUMBERS, False, (
        "The children counted: {first}, {second}, {last},",
        "Verse {first}, verse {second}, verse {last} and verse",
        "Step {first}, step {second}, step {last}, step",
        "She counted the stairs, {first}, {second}, {last},",
        "The clock struck {first}, an hour later {second}, an hour later {last}, an hour later",
        "We read chapter {first}, chapter {second}, chapter {last} and chapter",
    )),
    "letter": (LETTERS, False, (
        "The letters in order: {first}, {second}, {last},",
        "Choose one of the answers {first}, {second}, {last} or",
        "Room {first}, room {second}, room {last}, room",
        "Gate {first}, then gate {second}, then gate {last}, then gate",
        "The rows are called {first}, {second}, {last} and",
    )),
    "ordinal": (ORDINALS, False, (
        "The {first} day, the {second} day, the {last} day, the",
        "He came {first}, she came {second}, we came {last}, and you came",
        "The {first} in line, the {second} in line, the {last} in line, the",
        "On the way up, after the {last} floor comes the",
    )),
}  # fmt: skip


def examples(draw: random.Random) -> Iterator[Example]:
    """Four prompts of each frame, each with another run; the partner's run does not hold the answer."""
    for kind, (members, is_ring, frames) in KINDS.items():
        for template, frame in numbered(kind, frames):
            length = 3 if "{first}" in frame else 1
            starts = range(len(members) if is_ring else len(members) - length)
            for start in draw.sample(starts, PROMPTS_PER_TEMPLATE):
                run, due = _run(members, start, length)
                others = [_run(members, other, length)[0] for other in starts if other != start]
                partner = draw.choice([other for other in others if due not in other.values()])
                wrong = [member for member in members if member != due]
                yield Example(template, frame, run, partner, spaced([due]), spaced(wrong))


def _run(members: Sequence[str], start: int, length: int) -> tuple[dict[str, str], str]:
    """The words of the slots from one member on, and the member that is due after them."""
    run = [members[(start + step) % len(members)] for step in range(length + 1)]
    return dict(zip(("first", "second", "last")[-length:], run, strict=False)), run[-1]
