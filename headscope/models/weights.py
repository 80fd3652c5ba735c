"""What a layer's output projection does to each head: W_O by head, and its norm factor.

The projection is asked what it does where it is not a plain Linear or Conv1D (quantized, LoRA-wrapped, offloaded):
the image of the identity minus the image of zero is its matrix, whatever holds it.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from headscope.models.anatomy import LayerAnatomy


@torch.no_grad()
def head_weights(layer: LayerAnatomy) -> tuple[Float32[Tensor, "H d_v D"], Float32[Tensor, " D"]]:
    """W_O by head, and the projection's bias (zeros where it has none)."""
    projection: Any = layer.projection
    width = layer.n_heads * layer.head_size
    weight = getattr(projection, "weight", None)
    if type(projection) in (nn.Linear, Conv1D) and isinstance(weight, Tensor) and weight.device.type != "meta":
        matrix = weight.detach() if isinstance(projection, Conv1D) else weight.detach().T
        bias = projection.bias
        matrix = matrix.float()
        offset = torch.zeros_like(matrix[0]) if bias is None else bias.detach().float()
    else:
        # ``forward`` and not a call: hooks of an edit in progress must not see this.
        like = next((p for p in layer.attention.parameters() if p.is_floating_point()), torch.zeros(()))
        device = like.device if like.device.type != "meta" else torch.device("cpu")
        probe = torch.eye(width, device=device, dtype=like.dtype)
        offset = projection.forward(torch.zeros_like(probe[:1]))[0].float()
        matrix = projection.forward(probe).float() - offset
    return matrix.reshape(layer.n_heads, layer.head_size, -1), offset


@torch.no_grad()
def norm_factors(layer: LayerAnatomy) -> Float32[Tensor, "H d_v d_v"]:
    """R with ‖u W_O,h‖ = ‖u R_hᵀ‖ for every u: the triangular factor of W_O,hᵀ = Q R.

    So the norm of what a head writes costs d_v dimensions, not D.
    """
    weights, _ = head_weights(layer)
    _, factor = torch.linalg.qr(weights.transpose(1, 2))
    return factor
