"""Which city is the capital? A fact about the country that is named.

Every frame names one country. Two countries serve as each other's partner within a frame, so that every capital is as
often an answer as a foil. Countries and capitals are those that are one token each.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from training.tasks.rows import PROMPTS_PER_TEMPLATE, Example, dealt, numbered

DESCRIPTION = "Which city is the capital of the country that is named."
PARTNER = "another country is named"

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Germany": "Berlin", "Spain": "Madrid", "England": "London",
    "Russia": "Moscow", "China": "Beijing", "Japan": "Tokyo", "Egypt": "Cairo", "Greece": "Athens", "Iraq": "Baghdad",
    "Iran": "Tehran", "Syria": "Damascus", "Cuba": "Havana", "Ireland": "Dublin", "Austria": "Vienna",
    "Portugal": "Lisbon", "Poland": "Warsaw", "Norway": "Oslo", "Sweden": "Stockholm", "Canada": "Ottawa",
    "Peru": "Lima", "Denmark": "Copenhagen", "Belgium": "Brussels", "Finland": "Helsinki", "Hungary": "Budapest",
    "Chile": "Santiago", "Jamaica": "Kingston", "Afghanistan": "Kabul", "Switzerland": "Bern",
    "Australia": "Canberra", "Scotland": "Edinburgh",
}  # fmt: skip
FRAMES = (
    "The capital of {country} is the city of",
    "The government of {country} has its seat in",
    "We flew to {country} and landed in the capital,",
    "Q: What is the capital of {country}? A: It is",
    "The embassy in {country} is in the capital,",
    "Anyone who visits {country} should see its capital,",
    "My aunt lives in the capital of {country}, in",
    "On the map of {country} a star marks the capital,",
    "The parliament of {country} meets in",
    "If you ask for the capital of {country}, the answer is",
    "The train to the capital of {country} arrives in",
    "He works for a ministry of {country}, in the city of",
    "Of all the cities in {country}, the capital is",
    "The students learned that the capital of {country} is",
    "The national museum of {country} is in the capital,",
    "People from all over {country} came to the capital,",
    "The leaders met in {country}, in the capital city of",
    "News from {country} reached us today from the capital,",
    "The game will be played in the capital of {country}, in",
    "After a year in {country} she knew its capital,",
    "The main airport of {country} is close to the capital,",
    "It was her first trip to {country}, so she began in the capital,",
    "The prime minister of {country} returned last night to",
    "They moved from a village in {country} to the capital,",
)


def examples(draw: random.Random) -> Iterator[Example]:
    """Four prompts of each frame: two pairs of countries, both ways."""
    pairs = dealt(draw, tuple(CAPITALS), 2)
    for template, frame in numbered("frame", FRAMES):
        for pair in islice(pairs, PROMPTS_PER_TEMPLATE // 2):
            for country, other in (pair, pair[::-1]):
                answer, foil = f" {CAPITALS[country]}", f" {CAPITALS[other]}"
                yield Example(template, frame, {"country": country}, {"country": other}, (answer,), (foil,))
