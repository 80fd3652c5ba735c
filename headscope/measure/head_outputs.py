"""What heads put out on prompts, at the places where the concept can be known: z from the marked words' first token on.

1. A prompt's places are its tokens from the first marked one on, and those of its readouts; every token after BOS where
   nothing is marked. Of a task only the prompt's own tokens, not those of answers. A token that several sequences share
   counts once, whether rows are packed or not.
2. Rows run unedited; z of the layers asked for is kept at these places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from headscope.measure.layout import PromptLayout
from headscope.measure.protocols import Progress
from headscope.measure.source_passes import watch_rows
from headscope.models.head_model import HeadModel
from headscope.tokens import IntArray

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HeadOutputs:
    """z of prompts at their places.

    Attributes:
        layouts: the prompts.
        tokens: layer -> for each prompt [n_places, H, d] float32.
        n_halved: batches that did not fit into memory and ran in halves.
    """

    layouts: tuple[PromptLayout, ...]
    tokens: dict[int, list[npt.NDArray[np.float32]]]
    n_halved: int

    @cached_property
    def means(self) -> dict[int, FloatArray]:
        """Layer -> [n_prompts, H, d] mean over each prompt's places."""
        return {
            layer: np.stack([one.mean(axis=0, dtype=np.float64) for one in of_prompts])
            for layer, of_prompts in self.tokens.items()
        }


def places_from(layout: PromptLayout, first: int) -> list[IntArray]:
    """For each row of a prompt the indices of its places among the row's tokens; ``first``: position of the first."""
    places: list[IntArray] = []
    for r, row in enumerate(layout.rows):
        end = layout.n_prompt if layout.answers else len(row.positions)
        begin = first if r == 0 else max(first, layout.n_prompt)  # each further row holds the prompt once more
        places.append(np.flatnonzero((row.positions >= begin) & (row.positions < end)))
    return places


def head_outputs(
    model: HeadModel,
    layouts: Sequence[PromptLayout],
    first: Sequence[int],
    *,
    layers: Sequence[int],
    batch_tokens: int,
    what: Literal["z", "stream"] = "z",
    progress: Progress | None = None,
) -> HeadOutputs:
    """Run prompts unedited and keep z at their places.

    Args:
        model: whose heads.
        layouts: the prompts.
        first: of each, position of its first place in the sequence.
        layers: of the heads.
        batch_tokens: most tokens of a batch.
        what: ``z``, or the residual ``stream`` behind each layer, [..., D] in the place of [..., H, d].
        progress: told how many batches are done.
    """
    wanted = sorted(set(layers))
    places = [places_from(layout, start) for layout, start in zip(layouts, first, strict=True)]
    at = [(p, r) for p, layout in enumerate(layouts) for r in range(len(layout.rows)) if len(places[p][r])]
    found: dict[tuple[int, int, int], npt.NDArray[np.float32]] = {}

    def keep(layer: int, members: Sequence[int], z: torch.Tensor) -> list[tuple[int, int, npt.NDArray[np.float32]]]:
        indices = [(index, torch.from_numpy(places[at[index][0]][at[index][1]]).to(z.device)) for index in members]
        return [(layer, index, z[b, tokens].float().cpu().numpy()) for b, (index, tokens) in enumerate(indices)]

    def add(kept: tuple[int, int, npt.NDArray[np.float32]]) -> None:
        layer, index, values = kept
        found[layer, *at[index]] = values

    rows = [layouts[p].rows[r] for p, r in at]
    n_halved = watch_rows(
        model, rows, keep, add, what=what, layers=wanted, batch_tokens=batch_tokens, stage="steering vectors",
        progress=progress,
    )  # fmt: skip
    tokens = {
        layer: [
            np.concatenate([found[layer, p, r] for r in range(len(layout.rows)) if (layer, p, r) in found])
            for p, layout in enumerate(layouts)
        ]
        for layer in wanted
    }
    return HeadOutputs(tuple(layouts), tokens, n_halved)
