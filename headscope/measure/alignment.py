"""Which token of a source prompt stands for which token of a target prompt.

A prompt has a slot, the tokens of its span; what follows it up to the prompt's end is its suffix; then come a readout
or generated tokens. Slots are matched from their last token backwards, suffixes from their last token backwards, and
what follows the prompt from its first token on. Two prompts of one template with words of equal length are matched
token by token. Where a part of the source is shorter than the target's, its first token stands for what is left over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscope.errors import RequestError
from headscope.profiles.types import Prompt
from headscope.tokens import Encoder, IntArray, Tokens

TARGETS = ("from_span", "span", "last", "generated")


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
    """The slot of a prompt; None where it has no span, or its span no visible token."""
    if prompt.span is None:
        return None
    found = tokens.of_span(encoder.move_span(prompt.text, prompt.span))
    return Slot(found[0], found[-1] + 1, len(tokens)) if found else None


def matched(target: Slot, source: Slot, positions: IntArray) -> IntArray:
    """[T] the source's position for each of the target's ``positions``, which lie at or after its slot's start."""
    in_slot = np.maximum(source.end - (target.end - positions), source.first)
    last = source.n_prompt - 1
    in_suffix = np.clip(source.n_prompt - (target.n_prompt - positions), min(source.end, last), last)
    after = source.n_prompt + (positions - target.n_prompt)
    return np.where(positions < target.end, in_slot, np.where(positions < target.n_prompt, in_suffix, after))


def is_patched(where: str, slot: Slot, positions: IntArray) -> npt.NDArray[np.bool_]:
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
    if where == "generated":
        return positions >= slot.n_prompt
    raise RequestError(f'target "{where}" does not exist', expected=", ".join(TARGETS), got=where)
