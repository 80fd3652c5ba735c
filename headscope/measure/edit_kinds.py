"""The kinds of edit: what each puts in the place of a head's output z, and how to add one of one's own.

- ``zero``: z = 0. ``zero_keep_bias``: z = b_V, what is left when every value vector is zeroed before its bias is added.
- ``mean``: the mean of z over the control prompts of *other templates* than the prompt's own (leave-template-out), over
  every token of control prompt + readout; of a task's control prompt over its own tokens, no answers' beginnings.
  With it a head says what it says on neutral text.
- ``position_mean``: the same, at the same distance from the start; beyond the longest control the last distance known.
- ``resample``: z of one control prompt of another template, drawn once for each prompt from the seed, at the matched
  position: token i of the prompt takes token i of the source (the source's last prompt token where that is shorter), a
  readout's token takes the same token of the source's readout.
- ``bos``: what the head puts out where it attends to the BOS token only. At the first position it can do nothing else,
  so this is z of a BOS that stands alone, one vector a head.

An edit of one's own is a function under the decorator ``edit_kind``. It is a part of the request, by the fingerprint of
its source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from headscope.errors import RequestError
from headscope.measure.fingerprints import source_fingerprint
from headscope.measure.layout import PromptLayout
from headscope.terms import EDITS, RESIDUAL, STEERING_EDITS
from headscope.tokens import IntArray

if TYPE_CHECKING:
    from headscope.measure.edits import ControlStates

Array = npt.NDArray[np.floating]
VariesWith = Literal["nothing", "template", "prompt"]

EDIT_KINDS = tuple(EDITS)
PATCH_KINDS = ("patch", "control_patch")
STEERING_KINDS = (*STEERING_EDITS, RESIDUAL)


@dataclass(frozen=True)
class Places:
    """Where in its sequence each token of a row stands, and which readout it belongs to; -1 where there is no token.

    Attributes:
        position: [T] token index in the sequence.
        readout: [T] index of the readout.
    """

    position: IntArray
    readout: IntArray


@dataclass(frozen=True)
class EditKind:
    """A kind of edit whose values come from the control prompts.

    Attributes:
        value: (the control prompts' states, prompt, layer, places) -> [T, H, d] what z becomes in a row of a batch, or
            [1, H, d] where it is one for all tokens.
        by_token: whether it has a value for each place; then z of every control prompt is kept, not its sum alone.
        varies_with: ``nothing``, ``template`` or ``prompt``: prompts that agree in it have the same values, and may
            share a row.
        source: SHA-256 of the function, of an edit of one's own; results depend on it.
    """

    value: Callable[[Any, PromptLayout, int, Any], Array]
    by_token: bool = False
    varies_with: VariesWith = "template"
    source: str = ""


def _mean(states: ControlStates, prompt: PromptLayout, layer: int, places: Places) -> Array:
    return states.mean(prompt, layer)


def _bos(states: ControlStates, prompt: PromptLayout, layer: int, places: Places) -> Array:
    return states.bos(layer)


def _resample(states: ControlStates, prompt: PromptLayout, layer: int, places: Places) -> Array:
    return states.resampled(prompt, layer, places)


def _position_mean(states: ControlStates, prompt: PromptLayout, layer: int, places: Places) -> Array:
    known = states.position_mean(prompt, layer)
    return known[np.clip(places.position, 0, len(known) - 1)]


KINDS: dict[str, EditKind | None] = {
    "mean": EditKind(_mean),
    "zero": None,
    "zero_keep_bias": None,
    "position_mean": EditKind(_position_mean, by_token=True),
    "resample": EditKind(_resample, by_token=True, varies_with="prompt"),
    "bos": EditKind(_bos, varies_with="nothing"),
}
"""Name -> kind of edit; None of those that need no other prompt."""

Value = TypeVar("Value", bound=Callable[..., Any])


def edit_kind(name: str, *, by_token: bool = False, varies_with: VariesWith = "template") -> Callable[[Value], Value]:
    """Register the function below as a kind of edit; see ``EditKind``. A name that is registered again is replaced.

    Raises:
        RequestError: the name is not made of small letters, digits and _, or is one of headscope's own.
    """
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None or name in (*EDIT_KINDS, *PATCH_KINDS, *STEERING_KINDS):
        raise RequestError(
            f'a kind of edit cannot be named "{name}"',
            expected="small letters, digits and _, and none of headscope's own: " + ", ".join(EDIT_KINDS),
        )

    def register(value: Value) -> Value:
        KINDS[name] = EditKind(value, by_token, varies_with, source_fingerprint(f"edit {name}", value))
        return value

    return register


def own_edits(kinds: Iterable[str]) -> dict[str, str]:
    """Of kinds of edit of one's own: name -> fingerprint of its source, on which results depend."""
    return {name: kind.source for name in kinds if (kind := KINDS.get(name)) is not None and kind.source}


def needs_controls(kinds: Iterable[str]) -> frozenset[str]:
    """Those kinds whose values come from the control prompts."""
    return frozenset(name for name in kinds if KINDS.get(name) is not None)
