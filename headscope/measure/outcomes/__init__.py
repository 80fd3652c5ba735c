"""What is measured: one outcome a file; ``outcome`` registers one's own, ``chosen_outcomes`` finds those asked for."""

from __future__ import annotations

from collections.abc import Sequence

from headscope.measure.lexicons import ConceptTokens
from headscope.measure.outcomes.answers import answer_outcomes
from headscope.measure.outcomes.choosing import chosen_outcomes
from headscope.measure.outcomes.divergence import KL
from headscope.measure.outcomes.log_odds import LogOdds, lexicon_outcomes, log_odds_name
from headscope.measure.outcomes.outcome import Outcome, outcome
from headscope.measure.outcomes.perplexity import PERPLEXITY
from headscope.terms import PRIMARY

__all__ = [
    "KL",
    "PERPLEXITY",
    "PRIMARY",
    "LogOdds",
    "Outcome",
    "answer_outcomes",
    "chosen_outcomes",
    "fixed_text_outcomes",
    "lexicon_outcomes",
    "log_odds_name",
    "outcome",
]


def fixed_text_outcomes(lexicons: Sequence[Sequence[ConceptTokens]]) -> list[Outcome]:
    """What every study of concepts measures on fixed text: each concept's log-odds, and damage.

    ``lexicons``: for each readout the tokens of each concept.
    """
    return [*lexicon_outcomes(lexicons).values(), KL, PERPLEXITY]
