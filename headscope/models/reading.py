"""Attention read at chosen query tokens while the model runs with its own attention; never a stored [B, H, T, T].

For each layer, as it runs: compute the attention rows of the asked queries only, sum them over each group of keys
(mass), and take the norm of what the head writes from those keys, ‖ Σ_j a[i, j] v_j W_O,h ‖ (value-weighted
attention, Kobayashi et al. 2020). The norm is taken in d_v dimensions with the triangular factor of W_O,h. Only the
sums leave the layer. The pass ends at the last layer that is read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int, Shaped
from torch import Tensor, nn

from headscope.errors import ModelError, WorkError
from headscope.models.attention import ROWS_AT_ONCE, Attention
from headscope.models.batches import Batch
from headscope.models.head_model import HeadModel
from headscope.models.interface import interface_watch
from headscope.models.operations import operations_watch
from headscope.models.running import Stop, run_hidden


@dataclass(frozen=True)
class RowQueries:
    """Which rows of attention to read, and which keys to sum over.

    Attributes:
        tokens: token index of each query in its row; 0 where not valid.
        valid: which of them are asked.
        keys: float or bool, 1 where a key counts for a group; a group is e.g. the span, or the BOS.
    """

    tokens: Int[Tensor, "B Q"]
    valid: Bool[Tensor, "B Q"]
    keys: Shaped[Tensor, "B Q G T"]


@dataclass(frozen=True)
class AttentionReading:
    """What was read, float32 on the CPU; NaN where a query is not valid, a head does not exist, or a norm has no sense.

    Attributes:
        mass: attention summed over the keys of each group.
        written: norm of what the head writes from the keys of each of the groups asked for.
    """

    mass: Float32[Tensor, "L B Q H G"]
    written: Float32[Tensor, "L B Q H n"]


@contextmanager
def watching_attention(
    model: HeadModel, saw: Callable[[int, Attention, Tensor], None], batch: tuple[int, int]
) -> Generator[None]:
    """Show each layer's attention in the pass inside the block to ``saw(layer, attention, output [B, T, H, d_v])``.

    The model's own attention computes the outputs. ``batch`` is (B, T) of the pass.
    """
    layers = {layer.attention: index for index, layer in model.anatomy.layers.items()}

    def forward(module: nn.Module, attention: Attention, output: Tensor) -> None:
        if module in layers:
            saw(layers[module], attention, output)

    if model.anatomy.routed and model.own_attention != "eager":
        with model.thread.held(), interface_watch(model.hf, forward) as switched:
            if not switched:
                raise ModelError("the model no longer routes through the attention interface", where=model.name)
            yield
    else:
        places = {layer.attention: layer.projection for layer in model.anatomy.layers.values()}
        with operations_watch(places, batch, forward, model.thread):
            yield


@torch.inference_mode()
def read_attention(
    model: HeadModel,
    batch: Batch,
    queries: RowQueries,
    *,
    written_groups: int | None = None,
) -> AttentionReading:
    """Run ``batch``, chains or trees, once and read attention at ``queries``.

    Of ``written_groups`` groups, from the first on (None: of all), the norm of what is written is taken too. It is NaN
    in a layer where a gate or norm stands between attention and output projection: there the two are not the same.

    Raises:
        WorkError: a valid query's attention is NaN or infinite, or a layer was not seen.
    """
    B, Q, G, T = queries.keys.shape
    if (len(batch), batch.width) != (B, T) or tuple(queries.tokens.shape) != (B, Q):
        raise WorkError(
            "queries do not fit the batch",
            expected=f"rows and width {(len(batch), batch.width)}",
            got=f"keys {tuple(queries.keys.shape)}, tokens {tuple(queries.tokens.shape)}",
        )
    n_layers = len(model.anatomy.layers)
    n_written = G if written_groups is None else written_groups
    found: dict[int, tuple[Tensor, Tensor | None]] = {}

    def saw(layer: int, attention: Attention, _: Tensor) -> None:
        factor = model.norm_factor(layer) if n_written and model.anatomy.layers[layer].direct else None
        found[layer] = _sums(attention, queries, factor, n_written)
        if len(found) == n_layers:
            raise Stop

    with watching_attention(model, saw, (B, T)):
        run_hidden(model, batch)
    if len(found) != n_layers:
        raise WorkError(
            "some layers were not seen while the model ran",
            expected=f"{n_layers} layers",
            got=f"{len(found)}",
            where=model.name,
        )
    return _assemble(model, queries, found, n_written)


def _assemble(
    model: HeadModel, queries: RowQueries, found: dict[int, tuple[Tensor, Tensor | None]], n_written: int
) -> AttentionReading:
    B, Q, G, _ = queries.keys.shape
    shape = (len(model.anatomy), B, Q, max(model.heads_per_layer))
    mass, written = (torch.full((*shape, n), torch.nan) for n in (G, n_written))
    valid = queries.valid.cpu()
    for layer, (sums, norms) in found.items():
        n_heads = sums.shape[2]
        mass[layer, :, :, :n_heads] = sums.cpu()
        if not bool(torch.isfinite(mass[layer, :, :, :n_heads][valid]).all()):
            raise WorkError(
                f'attention of model "{model.name}" is NaN or infinite in {model.dtype}',
                where=f"layer {layer}",
                fix="half precision overflows on some models: load it with --dtype float32",
            )
        if norms is not None:
            written[layer, :, :, :n_heads] = norms.cpu()
    mass[:, ~valid] = torch.nan
    written[:, ~valid] = torch.nan
    return AttentionReading(mass, written)


def _sums(
    attention: Attention, queries: RowQueries, factor: Float[Tensor, "H d_v d_v"] | None, n_written: int
) -> tuple[Float[Tensor, "B Q H G"], Float[Tensor, "B Q H {n_written}"] | None]:
    """Mass and norms of one layer, in chunks of queries so that memory stays flat."""
    device = attention.value.device
    B, Q, G, T = queries.keys.shape
    H = attention.n_heads
    chunk = max(1, ROWS_AT_ONCE // (B * H * T * (G + 1)))
    masses: list[Tensor] = []
    norms: list[Tensor] = []
    for start in range(0, Q, chunk):
        rows = attention.rows(queries.tokens[:, start : start + chunk])  # [B, H, q, T]
        keys = queries.keys[:, start : start + chunk].to(device).float()  # [B, q, G, T]
        masses.append(torch.einsum("bhqt,bqgt->bqhg", rows, keys))
        if factor is not None:
            norms.append(_norms(rows, keys[:, :, :n_written], attention.value.float(), factor.to(device)))
    return torch.cat(masses, dim=1), torch.cat(norms, dim=1) if norms else None


def _norms(
    rows: Float[Tensor, "B H q T"],
    keys: Float[Tensor, "B q G T"],
    value: Float[Tensor, "B H_kv T d_v"],
    factor: Float[Tensor, "H d_v d_v"],
) -> Float[Tensor, "B q H G"]:
    """‖ Σ_{j in group} a[i, j] v_j W_O,h ‖."""
    B, H, q, T = rows.shape
    G, H_kv, d = keys.shape[2], value.shape[1], value.shape[3]
    grouped = rows[:, :, :, None] * keys[:, None]  # [B, H, q, G, T]
    sums = grouped.reshape(B, H_kv, -1, T) @ value
    projected = sums.reshape(B, H, q * G, d) @ factor.to(sums).transpose(-1, -2)
    return projected.norm(dim=-1).reshape(B, H, q, G).transpose(1, 2)
