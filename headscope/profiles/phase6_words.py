"""The Phase 6 study's own word lists: for finding positions (11, 20 and 14 words) and for counting keywords."""

from __future__ import annotations

from headscope.profiles.types import Concept


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


POSITION_WORDS = {
    "gratitude": _words(
        "thank thanks thanked thanking grateful gratitude gratefully appreciate appreciated appreciating appreciation"
    ),
    "anger": _words(
        "angry anger angrily frustrated frustrating frustration terrible terribly annoyed annoying annoyance upset "
        "upsetting mad maddening furious furiously irritated irritating irritation"
    ),
    "apology": _words(
        "sorry sorrier sorriest apologize apologized apologizing apology apologies regret regretted regretting "
        "regretful apologetic apologetically"
    ),
}
KEYWORDS = {**POSITION_WORDS, "gratitude": (*POSITION_WORDS["gratitude"], "thankful", "blessed")}


def screening_words(concept: Concept) -> tuple[str, ...]:
    """The words by which the study finds a concept's positions; the lexicon for a concept the study does not have."""
    return POSITION_WORDS.get(concept.name, _lexicon(concept))


def counting_words(concept: Concept) -> tuple[str, ...]:
    """The words the study counts for a concept; the lexicon for a concept the study does not have."""
    return KEYWORDS.get(concept.name, _lexicon(concept))


def _lexicon(concept: Concept) -> tuple[str, ...]:
    return tuple(word.lower() for word in concept.lexicon.words)
