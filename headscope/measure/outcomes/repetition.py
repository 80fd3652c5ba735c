"""``distinct_2``: share of a text's word pairs that differ (Li et al. 2016); 1 repeats nothing; NaN below two words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from headscope.measure.outcomes.outcome import Outcome
from headscope.profiles.words import folded_words
from headscope.terms import OUTCOMES


def distinct_2(text: str) -> float:
    """Of one text."""
    pairs = list(itertools.pairwise(folded_words(text)))
    return len(set(pairs)) / len(pairs) if pairs else float("nan")


def _each(texts: Sequence[str], prompts: Sequence[str]) -> list[float]:
    return [distinct_2(text) for text in texts]


DISTINCT_2 = Outcome.of(OUTCOMES["distinct_2"], _each, "text")
