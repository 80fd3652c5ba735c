"""A prompt as it is put to the model: alone, and followed by each readout, with the places where something is read.

The prompt and its readouts lie in one row as a tree, where the model takes such rows, else in a row each. Each token
knows its position in the sequence and the readout it belongs to, so values that depend on the place need no other
bookkeeping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headscope.errors import ProfileError
from headscope.measure.answers import NONE, Answers, answers_of
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Prompt
from headscope.tokens import Encoder, IntArray, Row, Tokens, tree_row
from headscope.vocabulary import typed_special_tokens

_NAMED = 5


@dataclass(frozen=True)
class PromptLayout:
    """One prompt, ready for the model.

    Attributes:
        id: the prompt's id.
        concept: its class.
        template: label of the template it counts to; never None.
        tokens: the prompt alone.
        sequences: prompt + readout for each readout; the prompt alone where there are none. Of a task the prompt alone,
            then each beginning of a continuation after which another token of it is read.
        rows: where the sequences lie.
        members: for each row the readout of each of its paths.
        answers: what is read of a task's prompt; false for others.
    """

    id: str
    concept: str
    template: str
    tokens: Tokens
    sequences: tuple[Tokens, ...]
    rows: tuple[Row, ...]
    members: tuple[tuple[int, ...], ...]
    answers: Answers = NONE

    @property
    def n_prompt(self) -> int:
        """How many tokens of each sequence are the prompt's, a BOS included."""
        return len(self.tokens)

    def ends(self) -> list[tuple[int, int]]:
        """(row, token index) of the last token of each sequence, in the readouts' order: what follows is the answer."""
        places = {
            readout: (r, int(path[-1]))
            for r, (row, members) in enumerate(zip(self.rows, self.members, strict=True))
            for path, readout in zip(row.paths, members, strict=True)
        }
        return [places[readout] for readout in sorted(places)]

    def prompt_places(self) -> tuple[int, IntArray]:
        """The row and the token indices of the prompt's own tokens, in order."""
        return 0, self.rows[0].paths[0][: self.n_prompt]

    def readout_of(self, r: int) -> IntArray:
        """[T] for each token of row r the readout it belongs to; the first one that holds it for the prompt's own."""
        readout = np.full(len(self.rows[r]), -1, dtype=np.int64)
        for path, member in zip(self.rows[r].paths, self.members[r], strict=True):
            fresh = path[readout[path] < 0]
            readout[fresh] = member
        return readout


def same_layout(one: PromptLayout, other: PromptLayout) -> bool:
    """Whether two prompts' rows have tokens at the same places, so that token t of one is matched by t of the other."""
    return len(one.rows) == len(other.rows) and all(
        np.array_equal(mine.positions, theirs.positions)
        and len(mine.paths) == len(theirs.paths)
        and all(np.array_equal(a, b) for a, b in zip(mine.paths, theirs.paths, strict=True))
        for mine, theirs in zip(one.rows, other.rows, strict=True)
    )


def encoder_of(model: HeadModel, *, chat_template: bool | str = False, thinking: str | None = None) -> Encoder:
    """How this model's texts are turned into tokens."""
    return Encoder(model.tokenizer, model.bos_token_id, model.context_length, chat_template, thinking)


def special_token_warnings(encoder: Encoder, prompts: Sequence[Prompt]) -> list[str]:
    """A sentence for each class in whose prompts special tokens are written out, which the model reads as such."""
    found: dict[str, list[str]] = {}
    for prompt in prompts:
        if typed := typed_special_tokens(encoder.tokenizer, prompt.text):
            found.setdefault(prompt.concept, []).append(f"{prompt.id} ({', '.join(typed)})")
    return [
        f"{len(named)} prompts of {name} hold special tokens, which the model reads as such and not as text: "
        + ", ".join(named[:_NAMED])
        + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else "")
        for name, named in found.items()
    ]


def lay_out(
    model: HeadModel,
    prompts: Sequence[Prompt],
    readouts: Sequence[str],
    templates: Mapping[str, str],
    *,
    encoder: Encoder | None = None,
    pack: bool = True,
) -> list[PromptLayout]:
    """Prepare prompts, each alone and with every readout.

    ``readouts`` are continuations without their leading space, and may be none; ``templates``: prompt id -> template
    label; ``pack``: lay a prompt and its readouts into one row where the model takes that.

    Raises:
        ProfileError: a prompt is empty or too long, or a readout changes how the end of its prompt is tokenized.
    """
    encoder = encoder_of(model) if encoder is None else encoder
    return [_lay_out_one(model, prompt, readouts, templates[prompt.id], encoder, pack=pack) for prompt in prompts]


def _lay_out_one(
    model: HeadModel, prompt: Prompt, readouts: Sequence[str], template: str, encoder: Encoder, *, pack: bool
) -> PromptLayout:
    name = f"prompt {prompt.id}"
    tokens = encoder.encode_prompt(prompt)
    after = [encoder.continuation(tokens.text, readout) for readout in readouts]
    sequences = tuple(encoder.encode_prompt(prompt, readout) for readout in after) or (tokens,)
    for sequence, readout in zip(sequences, readouts, strict=False):
        if sequence.ids[: len(tokens)] != tokens.ids:
            raise ProfileError(
                f"{name}: a readout changes how the end of the prompt is tokenized",
                expected="a prompt whose tokens stay the same when text follows",
                got=f"{prompt.text[-20:]!r} followed by {readout[:20]!r}",
                fix="end the prompt with a word or punctuation mark, without white space after it",
            )
    answers = NONE
    if prompt.answers:
        sequences, answers = answers_of(prompt, encoder, tokens)
    rows, members = _lay(model, sequences, pack=pack)
    return PromptLayout(prompt.id, prompt.concept, template, tokens, sequences, rows, members, answers)


def _lay(
    model: HeadModel, sequences: Sequence[Tokens], *, pack: bool
) -> tuple[tuple[Row, ...], tuple[tuple[int, ...], ...]]:
    tree = tree_row([sequence.ids for sequence in sequences])
    if pack and model.tree_row_limit is not None and len(tree) <= model.tree_row_limit:
        return (tree,), (tuple(range(len(sequences))),)
    return tuple(tree_row([sequence.ids]) for sequence in sequences), tuple((i,) for i in range(len(sequences)))
