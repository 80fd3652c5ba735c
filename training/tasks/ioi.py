"""Who is given something? Two people are named, one of them again as the giver: the other is the one who gets it.

The one who gets it stands first (ABBA) in half of the frames and second (BABA) in the other half; no frame serves both
orders, so that each is an observation of its own. Two names change roles within a frame, so that every name is as often
an answer as a foil. The partner names a third person as the giver: then neither of the two is more likely.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from training.tasks.names import MEN, WOMEN
from training.tasks.rows import PROMPTS_PER_TEMPLATE, Example, dealt, numbered

DESCRIPTION = "Who is given something: of two people named, the one who is not named again as the giver."
PARTNER = "a third person is the giver, so that neither of the two is favored"

ABBA = (
    "When {io} and {s1} went to the market, {s2} gave a basket to",
    "After {io} and {s1} sat down for lunch, {s2} passed the bread to",
    "While {io} and {s1} were waiting for the bus, {s2} handed a ticket to",
    "As soon as {io} and {s1} got home, {s2} showed the photos to",
    "Because {io} and {s1} had to work late, {s2} brought some coffee to",
    "Once {io} and {s1} arrived at the beach, {s2} threw the ball to",
    "Yesterday {io} and {s1} met at the library, and {s2} lent a book to",
    "Last night {io} and {s1} played cards, and {s2} lost ten dollars to",
    "At the party {io} and {s1} talked for hours, until {s2} told a secret to",
    "Since {io} and {s1} are old friends, {s2} sent a long letter to",
    "During the trip {io} and {s1} shared a tent, and {s2} offered a blanket to",
    "In the garden {io} and {s1} picked apples, and {s2} left the best one to",
    "Before {io} and {s1} closed the office, {s2} handed the keys to",
    "Again {io} and {s1} were late for the show, and {s2} promised a seat to",
)
BABA = (
    "Then {s1} and {io} had a long meeting, and {s2} gave the report to",
    "Two days after {s1} and {io} moved in, {s2} sold the old car to",
    "On the way to school {s1} and {io} stopped at a shop, where {s2} bought a drink for",
    "Although {s1} and {io} were tired, {s2} read a story to",
    "Every morning {s1} and {io} cook together, and {s2} serves breakfast to",
    "At the hospital {s1} and {io} waited all day, and in the end {s2} brought flowers to",
    "In class {s1} and {io} worked as a team, so {s2} explained the answer to",
    "Last winter {s1} and {io} went skiing, and {s2} lent a pair of gloves to",
    "As {s1} and {io} walked through the park, {s2} sang a song to",
    "Though {s1} and {io} hardly knew each other, {s2} wrote a poem for",
    "This year {s1} and {io} opened a bakery, and {s2} paid half of the money to",
    "Whenever {s1} and {io} clean the house, {s2} throws a towel to",
    "Soon {s1} and {io} reached the hotel, where {s2} gave the room key to",
    "If {s1} and {io} ever meet again, {s2} will return the ring to",
)


def examples(draw: random.Random) -> Iterator[Example]:
    """Four prompts of each frame: two pairs of names, each pair in both roles."""
    names = (*WOMEN, *MEN)
    pairs = dealt(draw, names, 2)
    for template, frame in (*numbered("abba", ABBA), *numbered("baba", BABA)):
        for pair in islice(pairs, PROMPTS_PER_TEMPLATE // 2):
            third = draw.choice([name for name in names if name not in pair])
            for io, s in (pair, pair[::-1]):
                words = {"io": io, "s1": s, "s2": s}
                yield Example(template, frame, words, {"s2": third}, (f" {io}",), (f" {s}",))
