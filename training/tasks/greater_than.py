"""Which year can follow? Something that began in 1741 cannot have ended in 1739.

The prompt ends after the century; right are all two-digit years after the first one, wrong are those up to it. The
partner begins in the year 01 of its century, after which every year on the list is right. The seventeenth and the
eighteenth century are used, since GPT-2 splits all their years but 1600 and 1700 after the second digit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from training.tasks.rows import Example, numbered

DESCRIPTION = "Which year can follow: the two digits of the last year must be above those of the first."
PARTNER = "the first year is 01 of the same century, after which all the years are right"

CENTURIES = ("16", "17")
# None at or below the century: its number stands in the text, and no answer does.
BANDS = (range(18, 36), range(36, 54), range(54, 72), range(72, 90))
FRAMES = (
    "The war lasted from the year {century_}{start_year} to the year {century_}",
    "The siege began in {century_}{start_year} and ended in {century_}",
    "The king was crowned in {century_}{start_year} and died in {century_}",
    "They built the cathedral between {century_}{start_year} and {century_}",
    "The drought went on from {century_}{start_year} until {century_}",
    "She was born in {century_}{start_year} and got married in {century_}",
    "The treaty was signed in {century_}{start_year} and broken in {century_}",
    "The voyage, which started in {century_}{start_year}, was over by {century_}",
    "The town was founded in {century_}{start_year} and burned down in {century_}",
    "His exile, from {century_}{start_year} to {century_}",
    "The rebellion broke out in {century_}{start_year} and was crushed in {century_}",
    "The bridge was opened in {century_}{start_year} and collapsed in {century_}",
    "The famine that struck in {century_}{start_year} did not end until {century_}",
    "The painter began the work in {century_}{start_year} and finished it in {century_}",
    "The bishop held the office from {century_}{start_year} through {century_}",
    "The prisoner was arrested in {century_}{start_year} and released in {century_}",
    "The two families were at peace from {century_}{start_year} to {century_}",
    "The school opened its doors in {century_}{start_year} and closed them in {century_}",
    "The trial opened in {century_}{start_year}, and the verdict came in {century_}",
    "The ship was launched in {century_}{start_year} and sank in {century_}",
    "The law was passed in {century_}{start_year} and repealed in {century_}",
    "The library was started in {century_}{start_year} and completed in {century_}",
    "The plague arrived in {century_}{start_year} and was gone by {century_}",
    "The old mill was in use from the spring of {century_}{start_year} to the autumn of {century_}",
    "The poet moved to the city in {century_}{start_year} and left it in {century_}",
    "The tower took many years to build, from {century_}{start_year} to {century_}",
)


def examples(draw: random.Random) -> Iterator[Example]:
    """Four prompts of each frame, with first years from early to late in the century."""
    for template, frame in numbered("frame", FRAMES):
        for band, century in zip(BANDS, draw.sample(CENTURIES * 2, len(BANDS)), strict=True):
            start = draw.choice(band)
            words = {"century_": century, "start_year": f"{start:02d}"}
            later = tuple(f"{year:02d}" for year in range(start + 1, 100))
            earlier = tuple(f"{year:02d}" for year in range(2, start + 1))
            yield Example(template, frame, words, {"start_year": "01"}, later, earlier)
