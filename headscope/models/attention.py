"""One layer's attention as it was seen while the model ran, from which any query's row can be had.

Seen by its query, key, value and mask (the rows are computed where they are asked for, and only there), or by the
weights the model itself computed. Whole patterns are never made here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int, Shaped
from torch import Tensor

# Largest number of attention weights of selected rows held at once, as float32 (64 MiB).
ROWS_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class ScoredAttention:
    """One layer's attention given by query, key, value and mask; its rows are computed only where they are asked for.

    Attributes:
        key: of each key/value head; head h reads key head ``h // (H // H_kv)``.
        mask: [B, 1 or H, T, T] bool (True = sees) or additive float, [B, T] bool (padding), or None (see ``causal``).
        scaling: factor on query-key products.
        softcap: bound c of ``c * tanh(score / c)``, None for none.
        sinks: logits of a sink that takes weight and writes nothing, None for none.
        position_bias: additive, broadcast to [B, H, T, T], None for none.
        window: a token sees itself and ``window - 1`` tokens before it; None for all. Used where the mask is not 4-D.
        causal: whether a query sees no later key; used where the mask is not 4-D.
    """

    query: Float[Tensor, "B H T d"]
    key: Float[Tensor, "B H_kv T d"]
    value: Float[Tensor, "B H_kv T d_v"]
    mask: Tensor | None
    scaling: float
    softcap: float | None = None
    sinks: Float[Tensor, " H"] | None = None
    position_bias: Tensor | None = None
    window: int | None = None
    causal: bool = True

    @property
    def n_heads(self) -> int:
        """H."""
        return self.query.shape[1]

    @property
    def n_kv_heads(self) -> int:
        """H_kv."""
        return self.key.shape[1]

    def rows(self, tokens: Int[Tensor, "B Q"]) -> Float32[Tensor, "B H Q T"]:
        """Attention of the query tokens ``tokens``."""
        B, H, T, d = self.query.shape
        Q, H_kv = tokens.shape[1], self.n_kv_heads
        at = tokens.to(self.query.device)[:, None, :, None]
        query = self.query.gather(2, at.expand(B, H, Q, d)).float()
        scores = query.reshape(B, H_kv, -1, d) @ self.key.float().transpose(-1, -2)
        scores = scores.reshape(B, H, Q, T) * self.scaling
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        if self.position_bias is not None:
            scores = scores + _selected(self.position_bias.expand(B, H, T, T), tokens).float()
        mask = self._mask_rows(tokens)
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask.float()
        if self.sinks is None:
            return scores.softmax(dim=-1)
        sink = self.sinks.float().reshape(1, -1, 1, 1).expand(B, H, Q, 1)
        return torch.cat([scores, sink], dim=-1).softmax(dim=-1)[..., :-1]

    def _mask_rows(self, tokens: Int[Tensor, "B Q"]) -> Shaped[Tensor, "B _ Q T"]:
        """What the queries may see, bool or additive."""
        B, T = self.query.shape[0], self.query.shape[2]
        if self.mask is not None and self.mask.dim() == 4:
            return _selected(self.mask.expand(B, -1, T, -1), tokens)
        index = torch.arange(T, device=self.query.device)
        query_index = tokens.to(index.device)[:, None, :, None]
        allowed = index <= query_index if self.causal else torch.ones_like(index <= query_index)
        if self.window is not None:
            allowed = allowed & (index > query_index - self.window)
        if self.mask is not None:
            allowed = allowed & self.mask.bool()[:, None, None, :]
        return allowed


@dataclass(frozen=True)
class WeighedAttention:
    """One layer's attention given by the weights the model itself computed."""

    weights: Float[Tensor, "B H T T"]
    value: Float[Tensor, "B H_kv T d_v"]

    @property
    def n_heads(self) -> int:
        """H."""
        return self.weights.shape[1]

    @property
    def n_kv_heads(self) -> int:
        """H_kv as the product with the weights shows it: H where the model repeated its key/value heads before."""
        return self.value.shape[1]

    def rows(self, tokens: Int[Tensor, "B Q"]) -> Float32[Tensor, "B H Q T"]:
        """Attention of the query tokens ``tokens``."""
        return _selected(self.weights, tokens).float()


Attention = ScoredAttention | WeighedAttention


def _selected(pattern: Shaped[Tensor, "B H T K"], tokens: Int[Tensor, "B Q"]) -> Shaped[Tensor, "B H Q K"]:
    """Rows ``tokens`` of ``pattern``."""
    index = tokens.to(pattern.device)[:, None, :, None]
    return pattern.gather(2, index.expand(-1, pattern.shape[1], -1, pattern.shape[3]))
