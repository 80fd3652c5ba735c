"""Means over each prompt's places of what heads put out and of the residual stream that enters their layers.

The places are those of ``head_outputs``. Rows run unedited, once; of each batch only sums over places are kept, so
memory does not grow with the length of prompts. What enters the first block are the embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headscope.measure.head_outputs import FloatArray, places_from
from headscope.measure.layout import PromptLayout
from headscope.measure.memory import in_halves
from headscope.measure.protocols import Progress, told
from headscope.models.anatomy import block_list
from headscope.models.batches import batch_of
from headscope.models.editing import watching_z
from headscope.models.head_model import HeadModel
from headscope.models.running import run_hidden
from headscope.tokens import plan_batches

_STREAM_DIMENSIONS = 3  # rows, tokens, coordinates


@dataclass(frozen=True)
class PromptMeans:
    """Means over the places of each prompt.

    Attributes:
        heads: layer -> [n_prompts, H, d] of z.
        stream: layer -> [n_prompts, D] of what enters its block; not of layers whose blocks are not found, or are given
            more than one stream.
        n_halved: batches that did not fit into memory and ran in halves.
    """

    heads: dict[int, FloatArray]
    stream: dict[int, FloatArray]
    n_halved: int


def prompt_means(
    model: HeadModel,
    layouts: Sequence[PromptLayout],
    first: Sequence[int],
    *,
    batch_tokens: int,
    progress: Progress | None = None,
) -> PromptMeans:
    """Run prompts unedited and average z and the stream over their places.

    Args:
        model: whose heads.
        layouts: the prompts.
        first: of each, position of its first place in the sequence.
        batch_tokens: most tokens of a batch.
        progress: told how many batches are done.
    """
    places = [places_from(layout, start) for layout, start in zip(layouts, first, strict=True)]
    at = [(p, r) for p in range(len(layouts)) for r in range(len(places[p])) if len(places[p][r])]
    n_places = [sum(map(len, of_rows)) for of_rows in places]
    sums: dict[tuple[str, int], FloatArray] = {}

    def run(members: Sequence[int]) -> None:
        batch = batch_of([layouts[at[index][0]].rows[at[index][1]] for index in members], model.device)
        weight = torch.zeros((len(batch), batch.width), dtype=torch.float32)
        for b, index in enumerate(members):
            p, r = at[index]
            weight[b, torch.from_numpy(places[p][r])] = 1.0 / n_places[p]
        found: dict[tuple[str, int], FloatArray] = {}

        def keep(what: str, layer: int, values: Tensor) -> None:
            by_place = weight.to(values.device)[:, None, :] @ values.float().flatten(2)
            found[what, layer] = by_place.reshape(len(batch), *values.shape[2:]).double().cpu().numpy()

        with _watching(model, keep):
            run_hidden(model, batch)
        for key, values in found.items():  # not before: a batch that failed may have been seen in part
            total = sums.setdefault(key, np.zeros((len(layouts), *values.shape[1:])))
            np.add.at(total, [at[index][0] for index in members], values)

    rows = [layouts[p].rows[r] for p, r in at]
    plan = plan_batches([len(row) for row in rows], batch_tokens, model.row_limits)
    n_halved = sum(in_halves(members, run) for members in told(plan, "probes", len(plan), progress))
    of = {what: {layer: one for (kind, layer), one in sorted(sums.items()) if kind == what} for what in ("z", "stream")}
    return PromptMeans(of["z"], of["stream"], n_halved)


@contextmanager
def _watching(model: HeadModel, keep: Callable[[str, int, Tensor], None]) -> Generator[None]:
    """Show z and what enters the layers' blocks, where that is a plain stream, in every pass inside the block."""

    def entered(layer: int) -> Callable[..., None]:
        def hook(_: nn.Module, *given: Any) -> None:
            stream = _first_tensor(given[-1]) if layer else _first_tensor((*given[0], given[1].get("hidden_states")))
            if stream is not None and stream.dim() == _STREAM_DIMENSIONS:
                keep("stream", layer, stream)

        return hook

    blocks = block_list(model.hf, [layer.name for layer in model.anatomy.layers.values()])
    with watching_z(model, lambda layer, z: keep("z", layer, z)), model.thread.hooks() as hooks:
        if blocks is not None:
            for layer in model.anatomy.layers:
                if layer:
                    hooks.after(blocks[0][layer - 1], entered(layer))
                else:
                    hooks.before(blocks[0][0], entered(0), with_kwargs=True)
        yield


def _first_tensor(given: Any) -> Tensor | None:
    """The stream of what a block gives or is given: it comes first."""
    values = given if isinstance(given, tuple) else (given,)
    return next((one for one in values if isinstance(one, Tensor)), None)
