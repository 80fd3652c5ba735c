"""Steering: z of chosen heads scaled, or moved along a vector by so many doses, at chosen tokens.

An arm of kind ``scale`` multiplies z by its dose; of kind ``add`` it adds dose × the arm's vector, which depends on the
fold of the prompt's template (``stats.steering_vectors``). An arm of kind ``residual_stream`` leaves heads alone and
adds its vector to the residual stream behind their layers. At tokens outside the scope nothing changes.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from headscope.errors import one_of
from headscope.measure.edit_kinds import Places
from headscope.measure.edits import Arm, ArmValues, EditRow
from headscope.measure.layout import PromptLayout
from headscope.models.blocks import adding_to_stream
from headscope.models.editing import LayerEdit, editing
from headscope.models.head_model import HeadModel
from headscope.terms import RESIDUAL, STEERING_SCOPES

FloatArray = npt.NDArray[np.float64]
Vectors = Mapping[int, FloatArray]
"""Layer -> [n_folds, H, d] what one dose adds to z, 0 for heads that are not steered; of ``residual_stream`` arms
[n_folds, D] what it adds to the stream behind the layer."""


@dataclass(frozen=True)
class SteeredText:
    """Where in a prompt steering holds.

    Attributes:
        fold: of its template: which of the vectors it gets.
        first: position of the first marked token; the first after BOS where nothing is marked.
    """

    fold: int
    first: int


class SteerStates(ArmValues):
    """The edits of steering arms. ``vectors``: name of a vector -> what one dose adds; ``texts``: by prompt id."""

    def __init__(
        self,
        model: HeadModel,
        vectors: Mapping[str, Vectors],
        texts: Mapping[str, SteeredText],
        *,
        scope: str = "all",
    ) -> None:
        """Fix what is pushed, and where.

        Raises:
            RequestError: an unknown scope.
        """
        super().__init__(model)
        one_of("scope", scope, STEERING_SCOPES)
        self._vectors, self._texts, self.scope = vectors, texts, scope

    def depends_on(self, arm: Arm | None, prompt: PromptLayout) -> tuple[str, ...]:
        """An arm's values depend on the fold, and where it does not hold everywhere on the prompt's own places."""
        if arm is None:
            return ()
        here = self._texts[prompt.id]
        return str(arm), str(here.fold), *(() if self.scope == "all" else (str(here.first), str(prompt.n_prompt)))

    @contextmanager
    def edited(self, rows: Sequence[EditRow]) -> Generator[None]:
        """Inside the block, row b of each forward pass is steered as its arm says; None leaves it alone."""
        holds = self._holds(rows)
        with ExitStack() as stack:
            stack.enter_context(editing(self.model, self._edits(rows, holds)))
            if streams := self._streams(rows, holds):
                stack.enter_context(adding_to_stream(self.model, streams))
            yield

    def _holds(self, rows: Sequence[EditRow]) -> npt.NDArray[np.float32]:
        """[B, T] 1 where a row's edit holds, else 0; T is 1 where it holds at every token."""
        if self.scope == "all":
            return np.array([[float(arm is not None)] for arm, _, _ in rows], dtype=np.float32)
        return np.stack([self._holds_at(prompt, places) * (arm is not None) for arm, prompt, places in rows])

    def _holds_at(self, prompt: PromptLayout, places: Places) -> npt.NDArray[np.float32]:
        first = self._texts[prompt.id].first if self.scope == "from_span" else prompt.n_prompt
        return (places.position >= first).astype(np.float32)

    def _edits(self, rows: Sequence[EditRow], holds: npt.NDArray[np.float32]) -> dict[int, LayerEdit]:
        edits: dict[int, LayerEdit] = {}
        for layer in _layers(rows, residual=False):
            anatomy = self.model.anatomy.layers[layer]
            gain = np.ones((*holds.shape, anatomy.n_heads), dtype=np.float32)
            value = np.zeros((*holds.shape, anatomy.n_heads, anatomy.head_size), dtype=np.float32)
            for b, (arm, prompt, _) in enumerate(rows):
                if arm is None or arm.kind == RESIDUAL or arm.dose is None:
                    continue
                heads = [head.head for head in arm.heads if head.layer == layer]
                if arm.kind == "scale":
                    gain[b][:, heads] = np.where(holds[b][:, None] > 0.0, np.float32(arm.dose), np.float32(1.0))
                elif heads:
                    pushed = arm.dose * self._vectors[arm.vector][layer][self._texts[prompt.id].fold, heads]
                    value[b][:, heads] = holds[b][:, None, None] * pushed.astype(np.float32)
            scales = any(arm is not None and arm.kind == "scale" for arm, _, _ in rows)
            adds = any(arm is not None and arm.kind == "add" for arm, _, _ in rows)
            factor = gain if scales else np.ones((1, 1, anatomy.n_heads), dtype=np.float32)
            edits[layer] = LayerEdit(self._on_device(factor), self._on_device(value) if adds else None)
        return edits

    def _streams(self, rows: Sequence[EditRow], holds: npt.NDArray[np.float32]) -> dict[int, torch.Tensor]:
        streams: dict[int, torch.Tensor] = {}
        for layer in _layers(rows, residual=True):
            pushed = [
                arm.dose * self._vectors[arm.vector][layer][self._texts[prompt.id].fold]
                if arm is not None and arm.kind == RESIDUAL and arm.dose is not None and layer in _layers_of(arm)
                else None
                for arm, prompt, _ in rows
            ]
            width = next(len(one) for one in pushed if one is not None)
            added = np.stack([np.zeros(width) if one is None else one for one in pushed]).astype(np.float32)
            streams[layer] = self._on_device(holds[..., None] * added[:, None])
        return streams

    def _on_device(self, array: npt.NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.model.device)


def _layers_of(arm: Arm) -> set[int]:
    return {head.layer for head in arm.heads}


def _layers(rows: Sequence[EditRow], *, residual: bool) -> list[int]:
    """The layers that arms touch in their heads, or behind them, in order."""
    touched = [_layers_of(arm) for arm, _, _ in rows if arm is not None and (arm.kind == RESIDUAL) == residual]
    return sorted(set[int]().union(*touched))
