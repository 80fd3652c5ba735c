"""``perplexity_ratio``: the log of a control prompt's perplexity; its difference between arms is a ratio's log."""

from __future__ import annotations

import torch
from torch import Tensor

from headscope.measure.logit_places import LogitPlaces
from headscope.measure.outcomes.outcome import Outcome
from headscope.terms import OUTCOMES, PERPLEXITY_RATIO


def _nll(log_probabilities: Tensor, places: LogitPlaces) -> Tensor:
    """[N] negative log-likelihood of the token that follows; NaN where the prompt ends."""
    targets = torch.from_numpy(places.targets).to(log_probabilities.device)
    own = log_probabilities.gather(1, targets.clamp(min=0)[:, None])[:, 0]
    return (-own).masked_fill(targets < 0, torch.nan)


PERPLEXITY = Outcome.of(OUTCOMES[PERPLEXITY_RATIO], _nll, "prompt")
