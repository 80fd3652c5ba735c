"""From text to token ids, from character spans to token positions, and from sequences to rows of a batch.

1. ``Encoder`` turns a prompt into ids: no special tokens but a BOS that headscope itself prepends where the model
   wants one, so a tokenizer that adds an EOS cannot slip it in, and those of a chat template. Spans are found by
   character offsets; where a tokenizer has none, offsets come from decoding ever longer prefixes.
2. A continuation (a readout) is encoded together with its prompt, never glued on as separate ids, so the boundary is
   tokenized as the model would see it.
3. ``tree_row`` lays several sequences into one row that shares their common prefixes: a token stands once for each
   distinct prefix, its position is its depth, and it may see its ancestors only. A causal model computes the same for
   a prefix whatever follows it, so every sequence reads its own path as if it stood alone. One sequence is the simplest
   tree, a chain. Everything later addresses (row, token index), never "the last token of the row".
4. ``plan_batches`` groups rows of similar length under a token budget; the plan follows from the request alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from headscope.chat import PLAIN, Chat, Turns
from headscope.errors import ProfileError, RequestError
from headscope.profiles.types import Prompt
from headscope.profiles.words import space_before
from headscope.vocabulary import encode_with_offsets, special_tokens

IntArray = npt.NDArray[np.int64]

PADDING_SHARE = 1 / 16
"""Of a batch's tokens, at most so many are padding."""


@dataclass(frozen=True)
class Tokens:
    """A text as the model sees it.

    Attributes:
        ids: token ids, a prepended BOS included.
        offsets: start and end character of each token in ``text``; (0, 0) for the BOS.
        text: the text the offsets refer to.
        n_bos: 1 where a BOS was prepended, else 0.
    """

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    text: str
    n_bos: int

    def __len__(self) -> int:
        return len(self.ids)

    def of_span(self, span: tuple[int, int]) -> tuple[int, ...]:
        """Indices of the tokens that hold a visible character of ``text[span[0]:span[1]]``; leading spaces are none."""
        start, end = span
        return tuple(
            index
            for index, (first, last) in enumerate(self.offsets)
            if index >= self.n_bos and self.text[max(first, start) : min(last, end)].strip()
        )


@dataclass(frozen=True)
class Encoder:
    """A tokenizer together with what is done around each text.

    Attributes:
        tokenizer: any Hugging Face tokenizer.
        bos_token_id: the BOS to prepend, None for none.
        context_length: most tokens the model takes, None where it has no limit.
        chat_template: whether each prompt is wrapped in the tokenizer's chat template as a user's turn; the name of one
            of several. Conversations need one.
        thinking: what the template is told of thinking, ``on`` or ``off``; None for nothing.
    """

    tokenizer: Any
    bos_token_id: int | None
    context_length: int | None = None
    chat_template: bool | str = False
    thinking: str | None = None

    @cached_property
    def chat(self) -> Chat | None:
        """The chat template around each prompt; None where there is none.

        Raises:
            RequestError: the tokenizer does not have the template that is asked for.
        """
        return Chat.of(self.tokenizer, self.chat_template, self.thinking)

    def encode_prompt(self, prompt: Prompt, continuation: str = "") -> Tokens:
        """Tokens of a prompt, in its chat template where there is one, and of a continuation.

        ``continuation``: text that follows it, e.g. an answer, or a readout as ``continuation`` gives it.

        Raises:
            ProfileError: the result is empty or longer than the model's context.
            RequestError: the template does not fit the prompt, or a conversation has none.
        """
        return self._encoded(prompt.turns, continuation, f"prompt {prompt.id}")

    def encode(self, prompt: str, continuation: str = "", *, name: str = "a prompt") -> Tokens:
        """Tokens of a text that is no profile's prompt; ``name`` is its name in errors. Raises as ``encode_prompt``."""
        return self._encoded(((PLAIN[0], prompt),), continuation, name)

    def _encoded(self, turns: Turns, continuation: str, name: str) -> Tokens:
        text = self._placed(turns)[0] + continuation
        ids, offsets = encode_with_offsets(self.tokenizer, text)
        n_bos = 0 if self.bos_token_id is None or (ids and ids[0] == self.bos_token_id) else 1
        if n_bos and self.bos_token_id is not None:
            ids, offsets = [self.bos_token_id, *ids], [(0, 0), *offsets]
        prompt = " / ".join(content for _, content in turns)
        if not ids:
            raise ProfileError(f"{name} holds no token", expected="at least one token", got=repr(prompt))
        if self.chat is not None and ids[:2] == [self.bos_token_id] * 2:
            raise RequestError(
                "the chat template writes the BOS twice", expected="it once, or not at all", got=repr(text[:60]),
                fix="mend chat_template in the tokenizer's files",
            )  # fmt: skip
        if self.context_length is not None and len(ids) > self.context_length:
            raise ProfileError(
                f"{name} is longer than the model's context",
                expected=f"at most {self.context_length} tokens",
                got=f"{len(ids)} tokens: {prompt[:60]!r}",
                fix="shorten the prompt, or use a model with a longer context",
            )
        return Tokens(tuple(ids), tuple(offsets), text, n_bos)

    def place_span(self, prompt: Prompt, span: tuple[int, int]) -> tuple[int, int]:
        """The span of ``prompt.text`` in the text that ``encode_prompt`` gives to the model.

        One that reaches over several messages reaches over what the template says between them.
        """
        _, starts = self._placed(prompt.turns)
        parts = list(zip(prompt.parts, starts, strict=True))
        first, at_first = next(pair for pair in reversed(parts) if pair[0].start <= span[0])
        last, at_last = next(pair for pair in reversed(parts) if pair[0].start < max(span[1], 1))
        return at_first + span[0] - first.start, at_last + min(span[1], last.end) - last.start

    def continuation(self, text: str, words: str) -> str:
        """``words`` as they follow ``text``, which is what the model gets: with a space where one parts them.

        A prompt that ends in a space keeps it as its last token, so another one follows.
        """
        return (" " if text.endswith(" ") else self.space_before(words, text)) + words

    def space_before(self, word: str, text: str) -> str:
        """The space that parts ``word`` from the ``text`` before it, if any; none after a special token."""
        return "" if text.endswith(self._special) else space_before(word, text)

    @cached_property
    def _special(self) -> tuple[str, ...]:
        return tuple(filter(None, special_tokens(self.tokenizer).values()))

    def continuation_ids(self, context: str, word: str) -> tuple[int, ...]:
        """Ids that ``word`` adds after ``context`` (both as text, ``word`` with its leading space where it has one).

        Empty where the tokenizer would change the context's own last token to make room, so that no continuation of
        the context's ids spells the word.
        """
        before, _ = encode_with_offsets(self.tokenizer, context)
        after, _ = encode_with_offsets(self.tokenizer, context + word)
        return tuple(after[len(before) :]) if after[: len(before)] == before else ()

    def _placed(self, turns: Turns) -> tuple[str, tuple[int, ...]]:
        """The text that the model gets, and where in it each content begins."""
        if self.chat is not None:
            return self.chat.place(turns)
        if len(turns) > 1 or turns[0][0] != PLAIN[0]:
            raise RequestError("a conversation needs a chat template", fix="add --chat-template")
        return turns[0][1], (0,)


@dataclass(frozen=True)
class Row:
    """One row of a batch: a tree of sequences, each a path from the root.

    Attributes:
        ids: [T] token ids, parents before children.
        positions: [T] depth of each token, from 0.
        parents: [T] index of each token's parent, -1 at a root.
        paths: for each sequence the indices of its tokens in order; ``paths[s][i]`` is where token i of s stands.
    """

    ids: IntArray
    positions: IntArray
    parents: IntArray
    paths: tuple[IntArray, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_chain(self) -> bool:
        """Whether the row holds a single path, so that a plain causal mask describes it."""
        return bool(np.array_equal(self.parents, np.arange(-1, len(self) - 1)))

    def ancestry(self) -> npt.NDArray[np.bool_]:
        """[T, T] True where the token of the row may see the token of the column: itself and its ancestors."""
        allowed = np.eye(len(self), dtype=bool)
        for index, parent in enumerate(self.parents):
            if parent >= 0:
                allowed[index] |= allowed[parent]
        return allowed

    def n_sequences_through(self) -> IntArray:
        """[T] how many sequences each token belongs to."""
        counts = np.zeros(len(self), dtype=np.int64)
        for path in self.paths:
            counts[path] += 1
        return counts


def tree_row(sequences: Sequence[Sequence[int]]) -> Row:
    """One row that holds ``sequences`` as a tree of shared prefixes, in the order given."""
    children: dict[tuple[int, int], int] = {}
    ids: list[int] = []
    positions: list[int] = []
    parents: list[int] = []
    paths: list[IntArray] = []
    for sequence in sequences:
        node, path = -1, []
        for depth, token in enumerate(sequence):
            child = children.get((node, token))
            if child is None:
                child = len(ids)
                children[node, token] = child
                ids.append(token)
                positions.append(depth)
                parents.append(node)
            node = child
            path.append(child)
        paths.append(np.asarray(path, dtype=np.int64))
    as_array = partial(np.asarray, dtype=np.int64)
    return Row(as_array(ids), as_array(positions), as_array(parents), tuple(paths))


def pack_rows(sequences: Sequence[Sequence[int]], row_tokens: int) -> list[tuple[Row, list[int]]]:
    """Rows of at most ``row_tokens`` tokens that share prefixes, with the index of each row's sequences.

    Sequences are taken in lexicographic order, so those with a common prefix become neighbors; a row is closed when
    the next sequence's new tokens would not fit. A sequence longer than ``row_tokens`` has a row to itself.
    """
    order = sorted(range(len(sequences)), key=lambda index: (tuple(sequences[index]), index))
    groups: list[list[int]] = []
    used = 0
    for index in order:
        new = len(sequences[index])
        if groups:
            previous = sequences[groups[-1][-1]]
            new -= _common_prefix(previous, sequences[index])
        if not groups or used + new > row_tokens:
            groups.append([index])
            used = len(sequences[index])
        else:
            groups[-1].append(index)
            used += new
    return [(tree_row([sequences[index] for index in group]), group) for group in groups]


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    shared = 0
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        shared += 1
    return shared


@dataclass(frozen=True)
class RowLimits:
    """Which rows may share a batch.

    Attributes:
        tree: longest row that may be a tree; longer ones, which are chains, share no batch with others: a mask that a
            tree brings into a batch holds for all its rows, and knows of no window. None for no such limit.
        mixed: longest row that may lie beside rows of other lengths, because beyond it positions depend on the longest
            row of the batch; None for no such limit.
    """

    tree: int | None = None
    mixed: int | None = None

    def side(self, length: int) -> int:
        """The same number for lengths of rows that may share a batch; the larger the longer the rows."""
        if self.mixed is not None and length > self.mixed:
            return length
        return int(self.tree is not None and length > self.tree)


def plan_batches(
    lengths: Sequence[int],
    batch_tokens: int,
    limits: RowLimits | None = None,
    *,
    most_rows: int | None = None,
    in_a_row: Sequence[int] | None = None,
) -> list[list[int]]:
    """Group rows by length so that rows x longest row stays within ``batch_tokens``; every row in exactly one batch.

    Longest first, so that a batch too large for memory fails at once; a row longer than the budget stands alone. A
    batch is closed where its padding would exceed ``PADDING_SHARE`` of the budget, since so many tokens are about what
    a further batch costs.

    Args:
        lengths: tokens of each row.
        batch_tokens: most tokens of a batch, padding included.
        limits: which rows may share a batch; None for all.
        most_rows: most rows of a batch; None for any number.
        in_a_row: tokens of the rows that ``limits`` speaks of, where they are not ``lengths`` (several rows that stand
            together are one row here).
    """
    limits = RowLimits() if limits is None else limits
    sides = [limits.side(length) for length in (lengths if in_a_row is None else in_a_row)]
    order = sorted(range(len(lengths)), key=lambda index: (-sides[index], -lengths[index], index))
    batches: list[list[int]] = []
    longest = padding = 0
    for index in order:
        length = lengths[index]
        size = len(batches[-1]) + 1 if batches else 0
        joins = (
            size > 0
            and size * longest <= batch_tokens
            and size <= (most_rows or size)
            and padding + longest - length <= PADDING_SHARE * batch_tokens
            and sides[index] == sides[batches[-1][-1]]
        )
        if joins:
            batches[-1].append(index)
            padding += longest - length
        else:
            batches.append([index])
            longest, padding = length, 0
    return batches


def padded(values: Sequence[npt.NDArray[Any]], fill: int, *, left: bool = False) -> npt.NDArray[Any]:
    """Stack 1-D arrays of different length into [B, T], padded with ``fill`` on the right, or on the left."""
    width = max(map(len, values))
    stacked = np.full((len(values), width), fill, dtype=values[0].dtype)
    for row, value in enumerate(values):
        start = width - len(value) if left else 0
        stacked[row, start : start + len(value)] = value
    return stacked
