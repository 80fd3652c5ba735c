"""What stood here the first time? A list of words without meaning is repeated up to some word, and the next one is due.

A template is a list of ten words drawn from the words below; its prompts stop the second pass at different places. In
the partner the word that is due has changed places with a later one in the first pass: it is still in the text, and
where it was another word stands now. The foils are all the other words of the list, so that copying any of them will
not do. Two places are named: ``prefix``, the first occurrence of the last word, and ``earlier``, the word after it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from training.tasks.rows import PROMPTS_PER_TEMPLATE, Example, spaced

DESCRIPTION = "What stood here before: the next word of a list without meaning that is being repeated."
PARTNER = "in the first pass the word that is due has changed places with a later one"

LIST_COUNT, LIST_LENGTH = 24, 10
WORDS = (
    "apple", "river", "stone", "chair", "window", "garden", "paper", "bottle", "mountain", "train", "music",
    "doctor", "winter", "market", "bridge", "letter", "button", "island", "kitchen", "horse", "silver",
    "pencil", "summer", "ticket", "engine", "forest", "dinner", "basket", "camera", "village", "coffee",
    "pocket", "yellow", "planet", "hammer", "rabbit", "circle", "butter", "carpet", "tunnel", "shadow",
    "leather", "copper", "sugar", "finger", "dragon", "castle", "pepper",
)  # fmt: skip


def examples(draw: random.Random) -> Iterator[Example]:
    """Four prompts of each list, whose second passes end at four places."""
    for number in range(1, LIST_COUNT + 1):
        words = draw.sample(WORDS, LIST_LENGTH)
        for due in sorted(draw.sample(range(2, LIST_LENGTH - 1), PROMPTS_PER_TEMPLATE)):
            swapped = draw.randrange(due + 1, LIST_LENGTH)
            slots = [f"w{place}_" for place in range(LIST_LENGTH)]
            slots[due - 1], slots[due] = "prefix", "earlier"
            frame = " ".join(["Words:", *(f"{{{slot}}}" for slot in slots), *words[:due]])
            yield Example(
                template=f"list-{number:02d}",
                frame=frame,
                words=dict(zip(slots, words, strict=True)),
                corrupted={"earlier": words[swapped], slots[swapped]: words[due]},
                answers=spaced([words[due]]),
                foils=spaced(word for word in words if word != words[due]),
            )
