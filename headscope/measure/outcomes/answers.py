"""``answer_logodds_nats`` and what stands beside it: does the model say a prompt's answers rather than its foils?

log Σ P(answers) - log Σ P(foils) at the prompt's end, P of a continuation the product of its tokens' probabilities
(``measure.answers``). With one answer and one foil of one token each this is their logit difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from headscope.measure.answers import Joining, read_tokens
from headscope.measure.layout import PromptLayout
from headscope.measure.logit_places import LogitPlaces
from headscope.measure.outcomes.outcome import Outcome
from headscope.terms import ANSWER_ACCURACY, ANSWER_PROB, ANSWERS, OUTCOMES


@dataclass(frozen=True)
class ReadAnswers:
    """What is read at each place: log P of the tokens that go on from there; ``n_slots`` are the most of them."""

    n_slots: int

    def __call__(self, logits: Tensor, places: LogitPlaces) -> Tensor:
        """[N, n_slots] nats, float64."""
        of = [places.layouts[p].answers.wanted for p in places.prompts]
        wanted = [one[r] if r < len(one) else () for one, r in zip(of, places.readouts.tolist(), strict=True)]
        return read_tokens(logits, wanted, self.n_slots)


@dataclass(frozen=True)
class JoinAnswers:
    """From what was read to one number a prompt; ``name`` is the outcome's."""

    name: str

    def __call__(self, values: Tensor, layouts: Sequence[PromptLayout]) -> Tensor:
        """[..., n_prompts] of [n_sequences, ..., n_prompts, n_slots]."""
        return _WAYS[self.name](Joining(tuple(one.answers for one in layouts)), values)


_WAYS = {ANSWERS: Joining.log_odds, ANSWER_PROB: Joining.probability, ANSWER_ACCURACY: Joining.accuracy}


def answer_outcomes(layouts: Sequence[PromptLayout]) -> list[Outcome]:
    """The log-odds of prompts' answers, their probability, and whether an answer is likelier than every foil."""
    read = ReadAnswers(max((one.answers.n_slots for one in layouts), default=0))
    rests_on = [[one.id, one.answers.record()] for one in layouts if one.answers]
    made = [Outcome.of(OUTCOMES[name], read, rests_on=rests_on, combine=JoinAnswers(name)) for name in _WAYS]
    return [replace(one, differentiable=one.name != ANSWER_ACCURACY) for one in made]
