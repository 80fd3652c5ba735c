"""What is it, if it is not that? The opposite of the adjective that is denied.

No frame says "but" or "in fact", which would ask for the opposite even where nothing is denied. Each pair of opposites
is asked both ways within a frame, so that every adjective is as often an answer as a foil. In the partner a word that
affirms ("very", "always") stands in place of the one that denies; then the opposite is wrong.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from training.tasks.rows import Example, numbered

DESCRIPTION = "What is it, if it is not that: the opposite of the adjective that is denied."
PARTNER = 'the adjective is affirmed ("very" or "always" in place of "not" or "never")'

AFFIRMED = {"not": "very", "never": "always"}
# A frame, which word denies in it, and two pairs of opposites.
FRAMES = (
    ("The soup is {negation} {adjective}, it is", "not", "hot cold, good bad"),
    ("The house on the hill is {negation} {adjective}, it is", "not", "big small, old new"),
    ("This road is {negation} {adjective}, it is", "not", "long short, wide narrow"),
    ("My brother is {negation} {adjective}, he is", "not", "tall short, rich poor"),
    ("The box was {negation} {adjective}, it was", "not", "heavy light, full empty"),
    ("The water here was {negation} {adjective}, it was", "not", "deep shallow, clean dirty"),
    ("Your answer is {negation} {adjective}, it is", "not", "simple complex, long short"),
    ("On Sundays the shop is {negation} {adjective}, it is always", "never", "open closed, empty full"),
    ("The room seemed {negation} {adjective}; it seemed", "not", "dark bright, warm cold"),
    ("The test was {negation} {adjective}, it was", "not", "easy difficult, long short"),
    ("Our neighbor is {negation} {adjective}, she is", "not", "young old, friendly hostile"),
    ("This knife is {negation} {adjective}, it is", "not", "sharp dull, cheap expensive"),
    ("The music they played was {negation} {adjective}, it was", "not", "loud quiet, fast slow"),
    ("The bread from that bakery is {negation} {adjective}, it is always", "never", "soft hard, fresh old"),
    ("When we saw the child, he was {negation} {adjective}, he was", "not", "happy sad, calm angry"),
    ("At night the street is {negation} {adjective}, it is always", "never", "safe dangerous, quiet loud"),
    ("The wall around the town was {negation} {adjective}, it was", "not", "thick thin, high low"),
    ("The train is {negation} {adjective}, it is always", "never", "early late, fast slow"),
    ("People say that the film is {negation} {adjective}, they say it is", "not", "interesting boring, bad good"),
    ("The waiter in this place is {negation} {adjective}, he is always", "never", "polite rude, busy free"),
    ("The old bridge was {negation} {adjective}, it was", "not", "strong weak, narrow wide"),
    ("Under our feet the ground felt {negation} {adjective}, it felt", "not", "wet dry, hard soft"),
    ("This fruit tastes {negation} {adjective}, it tastes", "not", "sweet bitter, good bad"),
    ("To the touch the stone was {negation} {adjective}; it was", "not", "smooth rough, dry wet"),
    ("In summer the lake is {negation} {adjective}, it is always", "never", "warm cold, low high"),
    ("The style of the building is {negation} {adjective}, it is", "not", "modern ancient, common rare"),
)


def examples(_: random.Random) -> Iterator[Example]:
    """Four prompts of each frame: two pairs of opposites, both ways."""
    for template, (frame, denied, pairs) in numbered("frame", FRAMES):
        for pair in pairs.split(", "):
            one, other = pair.split()
            for adjective, opposite in ((one, other), (other, one)):
                words = {"negation": denied, "adjective": adjective}
                partner = {"negation": AFFIRMED[denied]}
                yield Example(template, frame, words, partner, (f" {opposite}",), (f" {adjective}",))
