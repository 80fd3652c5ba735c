"""A patch: its target, its sources, and which token of a source stands for which token of the target.

A prompt has a slot, the tokens of its span; what follows it up to the prompt's end is its suffix; then come a readout
or generated tokens. Slots are matched from their last token backwards, suffixes from their last token backwards, and
what follows the prompt from its first token on. Two prompts of one template with words of equal length are matched
token by token. Where a part of the source is shorter than the target's, its first token stands for what is left over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from headscope.errors import RequestError, one_of
from headscope.measure.edit_kinds import Places
from headscope.measure.edits import Arm, EditRow
from headscope.measure.layout import PromptLayout
from headscope.profiles.types import Prompt
from headscope.tokens import Encoder, IntArray, Tokens

TARGETS = ("from_span", "span", "last", "generated")
WHAT = ("z", "pattern", "v")
STUDY_NAMES = {"result": "z", "pattern_v": "pattern", "v_only": "v"}


@dataclass(frozen=True)
class Slot:
    """Where a prompt's span lies among its tokens.

    Attributes:
        first: index of the span's first token.
        end: index after its last one.
        n_prompt: tokens of the prompt, a BOS included.
    """

    first: int
    end: int
    n_prompt: int

    @property
    def n_span(self) -> int:
        """Tokens of the span."""
        return self.end - self.first

    @property
    def n_suffix(self) -> int:
        """Tokens of the prompt after the span."""
        return self.n_prompt - self.end

    def fits(self, other: Slot) -> bool:
        """Whether slot and suffix have as many tokens as the other's, so that every token has its own counterpart."""
        return (self.n_span, self.n_suffix) == (other.n_span, other.n_suffix)


def slot_of(prompt: Prompt, tokens: Tokens, encoder: Encoder) -> Slot | None:
    """The slot of a prompt, from its first marked place to its last; None where none has a visible token."""
    if not prompt.marked:
        return None
    placed = [encoder.place_span(prompt, span) for span in prompt.marked]
    found = tokens.of_span((min(start for start, _ in placed), max(end for _, end in placed)))
    return Slot(found[0], found[-1] + 1, len(tokens)) if found else None


def matched(target: Slot, source: Slot, positions: Int[np.ndarray, " tokens"]) -> Int[np.ndarray, " tokens"]:
    """[T] the source's position for each of the target's ``positions``, which lie at or after its slot's start."""
    in_slot = np.maximum(source.end - (target.end - positions), source.first)
    last = source.n_prompt - 1
    in_suffix = np.clip(source.n_prompt - (target.n_prompt - positions), min(source.end, last), last)
    after = source.n_prompt + (positions - target.n_prompt)
    return np.where(positions < target.end, in_slot, np.where(positions < target.n_prompt, in_suffix, after))


def is_patched(where: str, slot: Slot, positions: Int[np.ndarray, " tokens"]) -> Bool[np.ndarray, " tokens"]:
    """[T] whether each position is patched; -1 (no token) never is.

    Args:
        where: ``from_span`` (the span and everything after it), ``span``, ``last`` (the prompt's last token) or
            ``generated`` (what follows the prompt: a readout, or new tokens).
        slot: of the target.
        positions: in the sequence.
    """
    if where == "from_span":
        return positions >= slot.first
    if where == "span":
        return (positions >= slot.first) & (positions < slot.end)
    if where == "last":
        return positions == slot.n_prompt - 1
    one_of("target", where, TARGETS)
    return positions >= slot.n_prompt


@dataclass(frozen=True)
class Placed:
    """A prompt with its slot."""

    layout: PromptLayout
    slot: Slot


@dataclass(frozen=True)
class Patch:
    """One target and where its two kinds of values come from: one prompt, or several whose mean is taken.

    Attributes:
        target: what is patched.
        sources: for each of ``PATCH_KINDS`` the source prompts.
    """

    target: Placed
    sources: Mapping[str, Sequence[Placed]]


@dataclass(frozen=True)
class Recipe:
    """What is patched, where, and how far.

    Attributes:
        what: ``z``, ``pattern`` or ``v``.
        where: see ``alignment.is_patched``.
        alpha: 0 leaves the target as it is, 1 puts the source in its place; beyond 1 extrapolates.
    """

    what: str = "z"
    where: str = "from_span"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if self.what not in WHAT:
            raise RequestError(f'"{self.what}" cannot be patched', expected=", ".join((*WHAT, *STUDY_NAMES)))
        if not np.isfinite(self.alpha):
            raise RequestError(
                "alpha is not a finite number", expected="0 (no change) to 1 (full)", got=f"{self.alpha}"
            )
        is_patched(self.where, Slot(0, 1, 1), np.zeros(0, dtype=np.int64))

    @property
    def patches_new_tokens(self) -> bool:
        """Whether what follows the prompt is patched, too."""
        return self.where in ("from_span", "generated")


@dataclass(frozen=True)
class PatchedCell:
    """What one row of a batch takes in one layer.

    Attributes:
        row: of the batch.
        arm: of the row.
        patch: of the row's target.
        places: of the row's tokens.
        tokens: the patched ones.
        heads: the arm's heads of the layer.
    """

    row: int
    arm: Arm
    patch: Patch
    places: Places
    tokens: IntArray
    heads: list[int]

    @property
    def sources(self) -> Sequence[Placed]:
        """The prompts whose values go in."""
        return self.patch.sources[self.arm.kind]


def patched_cells(
    rows: Sequence[EditRow], layer: int, patches: Mapping[str, Patch], where: str
) -> Iterator[PatchedCell]:
    """The rows of a batch that are patched in a layer; ``patches`` by the target's id."""
    for row, (arm, prompt, places) in enumerate(rows):
        heads = [] if arm is None else [head.head for head in arm.heads if head.layer == layer]
        if arm is not None and heads:
            patch = patches[prompt.id]
            tokens = np.flatnonzero(is_patched(where, patch.target.slot, places.position))
            yield PatchedCell(row, arm, patch, places, tokens, heads)


def touched_layers(rows: Sequence[EditRow]) -> list[int]:
    """The layers in which any row is edited, in order."""
    return sorted({head.layer for arm, _, _ in rows if arm is not None for head in arm.heads})
