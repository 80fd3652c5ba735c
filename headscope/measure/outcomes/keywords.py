"""``keyword_count_<concept>``: how often a text has one of the concept's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from headscope.measure.outcomes.outcome import Outcome
from headscope.profiles.types import Profile
from headscope.profiles.words import count_substrings_phase6, count_words, counting_words
from headscope.terms import OUTCOMES

KEYWORD_COUNTING = ("continuation", "phase6")
PREFIXES = {"continuation": "keyword_count_", "phase6": "keyword_count_phase6_"}


def keyword_outcomes(profile: Profile, counting: str) -> Iterator[Outcome]:
    """One for each concept: whole words of the continuation, or the Phase 6 study's substrings of prompt and text.

    A task has no words to count.
    """
    for name, concept in profile.concepts.items():
        if concept.is_task:
            continue
        words = concept.lexicon.words if counting == "continuation" else counting_words(concept)
        value = partial(_counts, words, counting)
        yield Outcome.of(OUTCOMES[PREFIXES[counting]], value, "text", name=PREFIXES[counting] + name)


def _counts(words: Sequence[str], counting: str, texts: Sequence[str], prompts: Sequence[str]) -> list[float]:
    if counting == "continuation":
        return [count_words(text, words) for text in texts]
    return [count_substrings_phase6(prompt + text, words) for prompt, text in zip(prompts, texts, strict=True)]
