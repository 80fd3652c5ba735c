"""The residual stream's addends at chosen places, and what each of them adds along a direction, norms frozen.

With the scales of the final norm and of norms after attention as they were in the pass, a logit before a soft cap is
linear in every addend (``models.residual``): the embedding, each head, each output projection's bias, each feed-forward
layer. Sums of products, float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from headscope.models.head_model import HeadModel
from headscope.models.residual import Parts, Residual, attention_writes


@dataclass
class StatesAt:
    """The stream's addends at the places that are read, float64; ``z`` and ``feed_forward`` by layer."""

    rows: Tensor
    tokens: Tensor
    embedding: Tensor = field(default_factory=lambda: torch.empty(0))
    z: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    attention_norm: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict[int, tuple[Tensor, Tensor]])
    feed_forward: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    x: Tensor = field(default_factory=lambda: torch.empty(0))
    y: Tensor = field(default_factory=lambda: torch.empty(0))

    def at(self, states: Tensor) -> Tensor:
        """[N, ...] of [B, T, ...]."""
        return states[self.rows.to(states.device), self.tokens.to(states.device)].double()

    def parts(self) -> Parts:
        """Keeps what passes."""

        def final(x: Tensor, y: Tensor) -> None:
            self.x, self.y = self.at(x), self.at(y)

        def began(x: Tensor) -> None:
            self.embedding = self.at(x)

        return Parts(
            embedding=began,
            z=lambda layer, z: self.z.__setitem__(layer, self.at(z)),
            attention_norm=lambda layer, x, y: self.attention_norm.__setitem__(layer, (self.at(x), self.at(y))),
            feed_forward=lambda layer, out: self.feed_forward.__setitem__(layer, self.at(out)),
            final=final,
        )


@dataclass(frozen=True)
class Contributions:
    """What the addends of n places add along their directions; by layer where there are layers.

    Attributes:
        embedding: [n] the stream as the first layer gets it.
        heads: [n, H].
        attention_bias: [n] an output projection's bias, and that of a norm after it.
        feed_forward: [n].
    """

    embedding: Float[Tensor, " n"]
    heads: Mapping[int, Float[Tensor, "n H"]]
    attention_bias: Mapping[int, Float[Tensor, " n"]]
    feed_forward: Mapping[int, Float[Tensor, " n"]]

    def total(self) -> Float[Tensor, " n"]:
        """All of them together."""
        summed = self.embedding
        for layer, heads in self.heads.items():
            summed = summed + heads.sum(-1) + self.attention_bias[layer] + self.feed_forward.get(layer, 0.0)
        return summed


class FrozenNorms:
    """The norms of a pass at ``places``, indices into the places of ``states``, at the scales that they had there.

    Attributes:
        scale: [n, 1] of the final norm.
        error: how far what the norms gave is from a norm's form, relative, of those that were asked so far.
    """

    def __init__(
        self, model: HeadModel, residual: Residual, states: StatesAt, places: Tensor, device: torch.device
    ) -> None:
        self._model, self._residual, self._states, self._places = model, residual, states, places
        scale, self.error = residual.norm.scale(states.x[places].cpu(), states.y[places].cpu())
        self.scale = scale.to(device)

    def through_final(self, weights: Float[Tensor, "words D"]) -> Float[Tensor, "words D"]:
        """Directions of the final norm's output, seen from the stream, without its scale: W_U w, centered as it does.

        The map is symmetric.
        """
        norm = self._residual.norm
        return norm.center(weights * norm.weight.to(weights))

    # A norm after the output projection, where a layer has one, is linear too at the scale it had in this pass.

    def through(self, layer: int, directions: Float[Tensor, "*some D"]) -> Float[Tensor, "*some D"]:
        """Directions of the stream, seen from before the norm after attention, its scale left out."""
        norm = self._residual.attention_norms[layer]
        return directions if norm is None else norm.center(directions * norm.weight.to(directions))

    def scale_after(self, layer: int) -> Float[Tensor, "n 1"]:
        """The scale of the norm after attention; 1 where there is none."""
        norm = self._residual.attention_norms[layer]
        if norm is None:
            return torch.ones_like(self.scale)
        scale, error = norm.scale(*(one[self._places].cpu() for one in self._states.attention_norm[layer]))
        self.error = max(self.error, error)
        return scale.to(self.scale)

    def contributions(self, direction: Float[Tensor, "n D"]) -> Contributions:
        """What the addends of each place add along its direction of the stream, the final norm's scale in it."""
        states, m, at = self._states, self._residual.multiplier, self._places
        heads: dict[int, Tensor] = {}
        biased: dict[int, Tensor] = {}
        forward: dict[int, Tensor] = {}
        for layer in range(len(self._model.anatomy)):
            weights, bias = attention_writes(self._model, layer)
            to_stream = self.through(layer, direction) * self.scale_after(layer)
            along = torch.einsum("hdm,nm->nhd", weights.to(direction.device), to_stream)
            heads[layer] = m * (states.z[layer][at].to(direction.device) * along).sum(-1)
            biased[layer] = m * (to_stream @ bias.to(direction.device) + self._offset_after(layer, direction))
            if layer in states.feed_forward:
                forward[layer] = m * (states.feed_forward[layer][at].to(direction.device) * direction).sum(-1)
        embedding = (states.embedding[at].to(direction.device) * direction).sum(-1)
        return Contributions(embedding, heads, biased, forward)

    def _offset_after(self, layer: int, direction: Tensor) -> Tensor | float:
        """[n] what the norm's own bias adds along a direction."""
        norm = self._residual.attention_norms[layer]
        return 0.0 if norm is None else direction @ norm.bias.to(direction)
