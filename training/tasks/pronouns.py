"""She or he? The pronoun is that of the person named.

In some frames the pronoun is a subject (she, he), in some a possessive (her, his), in some an object (her, him). The
partner names a person of the other gender. Names are those whose gender few readers doubt; what a model takes a
name's gender to be is a habit of its training text, and that habit is what is measured.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from training.tasks.names import MEN, WOMEN
from training.tasks.rows import PROMPTS_PER_TEMPLATE, Example, dealt, numbered

DESCRIPTION = "She or he: the pronoun of the person named, as subject, possessive or object."
PARTNER = "a person of the other gender is named"

# Kind of frame -> the woman's pronoun, the man's, and the frames.
KINDS = {
    "subject": (" she", " he", (
        "When {name} came home from work,",
        "Because {name} was late this morning,",
        "After {name} finished the long race,",
        "Although {name} had studied for weeks,",
        "While {name} was cooking dinner last night,",
        "Yesterday {name} stayed in bed because",
        "Everyone likes {name} because",
        "We could tell that {name} was tired, because",
        "As soon as {name} heard the news,",
        "Last summer {name} sold the house that",
        "Nobody believed {name} when",
        "In the end {name} got the job that",
        "If {name} wins the game tomorrow,",
    )),
    "possessive": (" her", " his", (
        "This morning {name} forgot to bring",
        "On the train {name} lost",
        "With a smile {name} closed",
        "Before dinner {name} washed",
        "Slowly {name} raised",
        "In the cold {name} put on",
        "At the door {name} took off",
        "That evening {name} sat down and wrote in",
    )),
    "object": (" her", " him", (
        "Since {name} needed money, we lent some to",
        "On the birthday of {name} we gave a present to",
        "When {name} fell on the ice, we ran over to help",
        "As {name} was lost, a stranger showed the way to",
        "While {name} was ill, we took some soup to",
        "We have not seen {name} today, but last night we spoke with",
        "If you meet {name} in the city, please say hello to",
    )),
}  # fmt: skip


def examples(draw: random.Random) -> Iterator[Example]:
    """Four prompts of each frame: two women and two men, each the partner of one of the others."""
    pairs = zip(dealt(draw, WOMEN, 1), dealt(draw, MEN, 1), strict=False)  # neither ends
    for kind, (hers, his, frames) in KINDS.items():
        for template, frame in numbered(kind, frames):
            for (woman,), (man,) in islice(pairs, PROMPTS_PER_TEMPLATE // 2):
                yield Example(template, frame, {"name": woman}, {"name": man}, (hers,), (his,))
                yield Example(template, frame, {"name": man}, {"name": woman}, (his,), (hers,))
