"""The words whose logits direct attribution parts: for and against, after one sequence of one prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headscope.errors import RequestError
from headscope.measure.layout import PromptLayout
from headscope.measure.outcomes.answers import ReadAnswers
from headscope.measure.outcomes.log_odds import LogOdds
from headscope.measure.outcomes.outcome import Outcome

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
