"""``kl_nats_per_token``: KL(unedited || edited) of the next token, at each token of a control prompt."""

from __future__ import annotations

import torch
from torch import Tensor

from headscope import terms
from headscope.measure.logit_places import LogitPlaces
from headscope.measure.outcomes.outcome import Outcome
from headscope.terms import OUTCOMES


def _kl(log_probabilities: Tensor, places: LogitPlaces) -> Tensor:
    baseline = places.unedited
    if baseline is None:
        return torch.zeros(len(places))
    return (baseline.exp() * (baseline - log_probabilities)).sum(-1)


KL = Outcome.of(OUTCOMES[terms.KL], _kl, "prompt")
