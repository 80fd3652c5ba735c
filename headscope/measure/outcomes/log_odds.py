"""``lexicon_logodds_nats``: log P(lexicon) - log P(control lexicon) of the next token, after each readout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headscope.measure.lexicons import ConceptTokens, log_odds
from headscope.measure.logit_places import LogitPlaces
from headscope.measure.outcomes.outcome import Outcome
from headscope.terms import OUTCOMES, PRIMARY


@dataclass(frozen=True)
class LogOdds:
    """The log-odds of one concept's lexicon; ``tokens`` are those of its words after each readout."""

    tokens: tuple[ConceptTokens, ...]

    def __call__(self, logits: Tensor, places: LogitPlaces) -> Tensor:
        """[N] nats, float64."""
        values = torch.zeros(len(places), dtype=torch.float64, device=logits.device)
        for readout, index in places.by_readout():
            at = torch.from_numpy(index).to(logits.device)
            words, controls = (
                places.columns(one.ids, logits) for one in (self.tokens[readout].lexicon, self.tokens[readout].control)
            )
            values = values.index_copy(0, at, log_odds(logits[at], words, controls))
        return values


def log_odds_name(concept: str) -> str:
    """The name under which results hold a concept's log-odds."""
    return f"{PRIMARY}:{concept}"


def lexicon_outcomes(lexicons: Sequence[Sequence[ConceptTokens]]) -> dict[str, Outcome]:
    """Concept -> its log-odds.

    ``lexicons``: for each readout (one entry where there are none) the tokens of each concept.
    """
    of_concept = {one[0].concept: one for one in map(tuple, zip(*lexicons, strict=True))}
    return {
        concept: Outcome.of(
            OUTCOMES[PRIMARY], LogOdds(tokens), name=log_odds_name(concept),
            reads=frozenset(token for one in tokens for part in (one.lexicon, one.control) for token in part.ids),
            rests_on=[(one.lexicon.ids, one.control.ids) for one in tokens],
        )
        for concept, tokens in of_concept.items()
    }  # fmt: skip
