"""A prompt's answers and foils in tokens: which are read where, and how their probabilities make one number.

1. Each continuation is encoded with its prompt. Its first token is read at the prompt's end; each further one after the
   tokens before it (teacher forcing). A beginning that several continuations share is run once: it is one sequence of
   the prompt's tree, beside the prompt itself, which is sequence 0.
2. What is read at a sequence's end are the log-probabilities of the distinct tokens that follow it there, a slot each.
3. log P of a continuation is the sum over its tokens; log P of a set, the log-sum-exp over its members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscope.errors import ProfileError
from headscope.profiles.types import Prompt
from headscope.tokens import Encoder, Tokens


@dataclass(frozen=True)
class Continuation:
    """An answer or a foil.

    Attributes:
        text: as it follows the prompt.
        is_answer: else it is a foil.
        ids: its tokens.
        reads: for each token the sequence after which it is read, and its place among what is read there.
    """

    text: str
    is_answer: bool
    ids: tuple[int, ...]
    reads: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Answers:
    """What is read of one prompt.

    Attributes:
        continuations: answers, then foils; none for a prompt without answers.
        wanted: for each sequence the tokens that are read at its end.
    """

    continuations: tuple[Continuation, ...] = ()
    wanted: tuple[tuple[int, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.continuations)

    @property
    def are_single(self) -> bool:
        """Whether each is one token and there are foils, so that logits tell the odds."""
        return all(len(one.ids) == 1 for one in self.continuations) and any(not c.is_answer for c in self.continuations)

    @property
    def begin_alike(self) -> bool:
        """Whether an answer and a foil have their first token in common, so that the tokens after it decide."""
        return bool({*self.first_ids(answers=True)} & {*self.first_ids(answers=False)})

    def first_ids(self, *, answers: bool) -> tuple[int, ...]:
        """The first tokens of the answers, or of the foils."""
        return tuple(one.ids[0] for one in self.continuations if one.is_answer == answers)

    @property
    def n_slots(self) -> int:
        """Most tokens that are read at one place."""
        return max(map(len, self.wanted), default=0)

    def record(self) -> list[list[object]]:
        """JSON-able: all that the outcome depends on."""
        return [[one.is_answer, list(one.ids)] for one in self.continuations]


def answers_of(prompt: Prompt, encoder: Encoder, tokens: Tokens) -> tuple[tuple[Tokens, ...], Answers]:
    """The sequences that are run for a prompt with answers, and what is read at their ends.

    ``tokens`` are the prompt's own.

    Raises:
        ProfileError: a continuation changes how the end of the prompt is tokenized, or its tokens begin another's.
    """
    found = [(text, index < len(prompt.answers)) for index, text in enumerate(prompt.continuations)]
    encoded = [(text, is_answer, _encoded(prompt, encoder, tokens, text)) for text, is_answer in found]
    _check_apart(prompt, [(text, whole.ids[len(tokens) :]) for text, _, whole in encoded])
    beginnings: dict[tuple[int, ...], int] = {(): 0}
    sequences, wanted = [tokens], [list[int]()]
    continuations: list[Continuation] = []
    for text, is_answer, whole in encoded:
        ids, reads = whole.ids[len(tokens) :], list[tuple[int, int]]()
        for step, token in enumerate(ids):
            if ids[:step] not in beginnings:
                beginnings[ids[:step]] = len(sequences)
                sequences.append(_cut(whole, len(tokens) + step))
                wanted.append([])
            at = beginnings[ids[:step]]
            if token not in wanted[at]:
                wanted[at].append(token)
            reads.append((at, wanted[at].index(token)))
        continuations.append(Continuation(text, is_answer, ids, tuple(reads)))
    return tuple(sequences), Answers(tuple(continuations), tuple(map(tuple, wanted)))


def _encoded(prompt: Prompt, encoder: Encoder, tokens: Tokens, text: str) -> Tokens:
    whole = encoder.encode_prompt(prompt, text)
    if whole.ids[: len(tokens)] != tokens.ids or len(whole) == len(tokens):
        raise ProfileError(
            f"prompt {prompt.id}: the continuation {text!r} changes how the end of the prompt is tokenized",
            expected="a prompt whose tokens stay the same when the answer follows",
            got=f"{prompt.text[-20:]!r} followed by {text[:20]!r}",
            fix="let the space before a word belong to the answer: a prompt that ends in a word, an answer that begins "
            "with a space",
        )
    return whole


def _cut(tokens: Tokens, n: int) -> Tokens:
    """The first ``n`` tokens, and the text they spell."""
    return Tokens(tokens.ids[:n], tokens.offsets[:n], tokens.text[: tokens.offsets[n - 1][1]], tokens.n_bos)


def _check_apart(prompt: Prompt, encoded: Sequence[tuple[str, tuple[int, ...]]]) -> None:
    for index, (text, ids) in enumerate(encoded):
        for other, others in encoded[index + 1 :]:
            if ids == others[: len(ids)] or others == ids[: len(others)]:
                raise ProfileError(
                    f"prompt {prompt.id}: this tokenizer cannot tell {text!r} from {other!r}",
                    expected="continuations whose tokens do not begin those of another",
                    got=f"tokens {list(ids)} and {list(others)}",
                )


def read_tokens(
    logits: Float[Tensor, "places tokens"], wanted: Sequence[tuple[int, ...]], n_slots: int
) -> Float[Tensor, "places slots"]:
    """log P of the tokens that are ``wanted`` at each place, float64; NaN in the slots a place has no token for."""
    rows = np.repeat(np.arange(len(wanted)), [len(tokens) for tokens in wanted])
    slots = np.concatenate([np.zeros(0, dtype=np.int64), *(np.arange(len(tokens)) for tokens in wanted)])
    ids = np.array([token for tokens in wanted for token in tokens], dtype=np.int64)
    row, slot, token = (torch.from_numpy(one.astype(np.int64)).to(logits.device) for one in (rows, slots, ids))
    values = logits.double()
    read = values[row, token] - values.logsumexp(-1)[row]
    empty = torch.full((len(wanted), n_slots), torch.nan, dtype=torch.float64, device=logits.device)
    return empty.index_put((row, slot), read)


NONE = Answers()


def facts_of_answers(answers: Sequence[Answers]) -> dict[str, int]:
    """JSON-able: how many prompts' answers are not told by one token alone."""
    return {
        "n_prompts": len(answers),
        "n_of_several_tokens": sum(any(len(one.ids) > 1 for one in each.continuations) for each in answers),
        "n_that_begin_like_a_foil": sum(each.begin_alike for each in answers),
        "n_without_foils": sum(all(one.is_answer for one in each.continuations) for each in answers),
    }


@dataclass(frozen=True)
class Joining:
    """From what was read to numbers of prompts; ``answers`` are those of the prompts, in their order."""

    answers: tuple[Answers, ...]

    def joined(self, values: Float[Tensor, "sequences *arms prompts slots"]) -> Float[Tensor, "continuations *arms n"]:
        """log P of each continuation of each prompt; NaN where a prompt has no such continuation, or no answers."""
        index = self._index
        sequence, slot, is_read = (one.to(values.device) for one in (index.sequence, index.slot, index.is_read))
        prompt = torch.arange(len(self.answers), device=values.device)[None, :, None]
        picked = values.movedim(-2, 1)[sequence, prompt, ..., slot]  # [C, P, S, *arms]
        shape = (*is_read.shape, *(1,) * (picked.ndim - 3))
        summed = torch.where(is_read.view(shape), picked, 0.0).sum(2)  # [C, P, *arms]
        known = is_read.any(2).view(*shape[:2], *shape[3:])
        return torch.where(known, summed, torch.nan).movedim(1, -1)

    def of_side(self, joined: Tensor, *, answers: bool) -> tuple[Tensor, Tensor]:
        """The log P of answers, or of foils, with -inf for all others; and [P] whether a prompt has any."""
        mine = (self._index.is_answer == answers).to(joined.device) & self._index.is_read.any(2).to(joined.device)
        by_prompt = mine.view(mine.shape[0], *(1,) * (joined.ndim - 2), mine.shape[1])
        return torch.where(by_prompt, joined, -torch.inf), mine.any(0)

    def log_odds(self, values: Float[Tensor, "sequences *arms prompts slots"]) -> Float[Tensor, "*arms prompts"]:
        """log Σ P(answers) - log Σ P(foils), nats; log Σ P(answers) of a prompt without foils; NaN without answers."""
        joined = self.joined(values)
        right, has_right = self.of_side(joined, answers=True)
        wrong, has_wrong = self.of_side(joined, answers=False)
        # A set that is empty is not summed: the gradient of its log-sum-exp is NaN, even where it is not chosen.
        against = torch.where(has_wrong, torch.where(has_wrong, wrong, 0.0).logsumexp(0), 0.0)
        return torch.where(has_right, torch.where(has_right, right, 0.0).logsumexp(0) - against, torch.nan)

    def probability(self, values: Float[Tensor, "sequences *arms prompts slots"]) -> Float[Tensor, "*arms prompts"]:
        """Σ P(answers); NaN without answers."""
        right, has_right = self.of_side(self.joined(values), answers=True)
        return torch.where(has_right, right.logsumexp(0).exp(), torch.nan)

    def accuracy(self, values: Float[Tensor, "sequences *arms prompts slots"]) -> Float[Tensor, "*arms prompts"]:
        """1 where an answer is likelier than every foil, else 0; NaN without foils."""
        joined = self.joined(values)
        (right, has_right), (wrong, has_wrong) = (self.of_side(joined, answers=side) for side in (True, False))
        if not len(joined):  # of nothing there is no largest, unlike a sum
            return torch.full(joined.shape[1:], torch.nan, dtype=torch.float64, device=joined.device)
        return torch.where(has_right & has_wrong, (right.amax(0) > wrong.amax(0)).double(), torch.nan)

    @cached_property
    def _index(self) -> _Index:
        n_continuations = max((len(one.continuations) for one in self.answers), default=0)
        n_steps = max((len(one.ids) for two in self.answers for one in two.continuations), default=1)
        shape = (n_continuations, len(self.answers), n_steps)
        sequence, slot = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        is_read, is_answer = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape[:2], dtype=torch.bool)
        for p, answers in enumerate(self.answers):
            for c, one in enumerate(answers.continuations):
                is_answer[c, p] = one.is_answer
                for s, (at, place) in enumerate(one.reads):
                    sequence[c, p, s], slot[c, p, s], is_read[c, p, s] = at, place, True
        return _Index(sequence, slot, is_read, is_answer)


@dataclass(frozen=True)
class _Index:
    """Where the tokens of every prompt's continuations are read."""

    sequence: Int[Tensor, "continuations prompts steps"]
    slot: Int[Tensor, "continuations prompts steps"]
    is_read: Bool[Tensor, "continuations prompts steps"]
    is_answer: Bool[Tensor, "continuations prompts"]
