"""The words whose logits direct attribution parts: for and against, after one sequence of one prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headscope.errors import RequestError
from headscope.measure.layout import PromptLayout
from headscope.measure.outcomes.answers import ReadAnswers
from headscope.measure.outcomes.log_odds import LogOdds
from headscope.measure.outcomes.outcome import Outcome
from headscope.tokens import IntArray

Parted = tuple[tuple[int, ...], tuple[int, ...]]
"""Tokens for, tokens against."""

Words = Callable[[PromptLayout, int], Parted | None]
"""(prompt, readout or sequence) -> its words; None where no difference of logits is the outcome."""


def words_of(outcomes: Mapping[str, Outcome]) -> dict[str, Words]:
    """Class -> its words; RequestError where an outcome is not the log-odds of words or of answers."""
    words = {name: found for name, one in outcomes.items() if (found := _words(one)) is not None}
    if others := sorted(one.name for name, one in outcomes.items() if name not in words):
        raise RequestError("direct attribution parts the logits of words", expected="log-odds", got=", ".join(others))
    return words


def _words(outcome: Outcome) -> Words | None:
    value = outcome.value
    if isinstance(value, LogOdds):
        return lambda _, readout: (value.tokens[readout].lexicon.ids, value.tokens[readout].control.ids)
    return _of_answers if isinstance(value, ReadAnswers) else None


def _of_answers(layout: PromptLayout, sequence: int) -> Parted | None:
    """Answers and foils at the prompt's end, where each is one token and there are both: else odds are no difference of
    logits at one place.
    """
    answers = layout.answers
    if sequence or not answers.are_single:
        return None
    return answers.first_ids(answers=True), answers.first_ids(answers=False)


@dataclass(frozen=True)
class Group:
    """Places of one readout and concept: n of them, and the prompt of each.

    Attributes:
        ids: the words that are parted at any of them.
        words: [n or 1, n_ids] which of them each place weighs for.
        controls: [n or 1, n_ids] and which against.
    """

    ids: list[int]
    words: Tensor
    controls: Tensor
    places: Tensor
    owners: IntArray

    @classmethod
    def of(cls, parted: Sequence[Parted], places: IntArray, owners: IntArray) -> Group:
        """``parted``: of each place the words for and against; where all are the same, one row stands for all."""
        rows = parted[:1] if all(one == parted[0] for one in parted) else parted
        ids = list(dict.fromkeys(token for one in rows for side in one for token in side))
        column = {token: i for i, token in enumerate(ids)}
        sides = torch.zeros(2, len(rows), len(ids), dtype=torch.bool)
        for r, one in enumerate(rows):
            for side in (0, 1):
                sides[side, r, [column[token] for token in one[side]]] = True
        return cls(ids, sides[0], sides[1], torch.from_numpy(places), owners)
