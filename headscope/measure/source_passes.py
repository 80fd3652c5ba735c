"""Unedited passes over the sources of patches: what heads did, z, attention rows or values, layer by layer.

Rows of like length form a batch, and a batch that does not fit into memory runs in halves; what is kept of a batch is
given out only when the whole of it has run. Passes end at the last layer that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import torch
from torch import Tensor

from headscope.measure.memory import in_halves
from headscope.measure.protocols import Progress, told
from headscope.models.attention import Attention
from headscope.models.batches import Batch, batch_of
from headscope.models.blocks import watching_stream
from headscope.models.editing import watching_z
from headscope.models.head_model import HeadModel
from headscope.models.reading import watching_attention
from headscope.models.running import Stop, run_hidden
from headscope.tokens import Row, plan_batches

Kept = TypeVar("Kept")
Keep = Callable[[int, Sequence[int], Tensor], Iterable[Kept]]
"""``keep(layer, members, values)``: what to keep of one layer of a batch whose rows have the indices ``members``."""


def watch_rows(
    model: HeadModel,
    rows: Sequence[Row],
    keep: Keep[Kept],
    add: Callable[[Kept], None],
    *,
    what: str,
    layers: Sequence[int],
    batch_tokens: int,
    stage: str = "",
    progress: Progress | None = None,
) -> int:
    """Run rows unedited; give ``add``, batch by batch, what ``keep`` takes of each layer.

    ``keep`` sees z or v [B, T, H, d], patterns [B, H, T, T], or the stream behind the layer [B, T, D];
    ``add`` is told what was kept when the batch has run. ``progress`` is told how many batches are done, as ``stage``.

    Returns:
        How many batches were halved because they did not fit into memory.
    """

    def run(members: Sequence[int]) -> None:
        batch = batch_of([rows[index] for index in members], model.device)
        kept: list[Kept] = []

        def saw(layer: int, values: Tensor) -> None:
            kept.extend(keep(layer, members, values))
            if layer == layers[-1]:
                raise Stop

        with _watching(model, batch, saw, what, layers):
            run_hidden(model, batch)
        for one in kept:  # not before: a batch that failed may have been seen in part
            add(one)

    plan = plan_batches([len(row) for row in rows], batch_tokens, model.row_limits)
    return sum(in_halves(members, run) for members in told(plan, stage, len(plan), progress))


def _watching(
    model: HeadModel, batch: Batch, saw: Callable[[int, Tensor], None], what: str, layers: Sequence[int]
) -> AbstractContextManager[object]:
    if what == "z":
        return watching_z(model, saw, layers)
    if what == "stream":
        return watching_stream(model, saw, layers)
    everywhere = torch.arange(batch.width, device=batch.ids.device).expand(len(batch), -1)

    def attended(layer: int, attention: Attention, _: Tensor) -> None:
        if layer not in layers:
            return
        if what == "pattern":
            saw(layer, attention.rows(everywhere))
        else:
            saw(layer, values_of(attention, model.anatomy.layers[layer].n_heads).transpose(1, 2))

    return watching_attention(model, attended, (len(batch), batch.width))


def values_of(attention: Attention, n_heads: int) -> Tensor:
    """[B, H, T, d] float32 values as each head reads them; heads that share a key/value head read the same."""
    return attention.value.repeat_interleave(n_heads // attention.n_kv_heads, dim=1).float()
