"""What a layer's output projection does to each head: W_O by head, its norm factor, and the value bias.

The projection is asked what it does where it is not a plain Linear or Conv1D (quantized, LoRA-wrapped, offloaded):
the image of the identity minus the image of zero is its matrix, whatever holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from headscope.errors import ModelError
from headscope.models.anatomy import LayerAnatomy, has_weight_matrix, probe_ids

if TYPE_CHECKING:
    from headscope.models.head_model import HeadModel


@torch.no_grad()
def head_weights(layer: LayerAnatomy) -> tuple[Tensor, Tensor]:
    """W_O by head, [H, d_v, D] float32, and the projection's bias, [D] float32 (zeros where it has none)."""
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
def norm_factors(layer: LayerAnatomy) -> Tensor:
    """R [H, d_v, d_v] float32 with ‖u W_O,h‖ = ‖u R_hᵀ‖ for every u: the triangular factor of W_O,hᵀ = Q R.

    So the norm of what a head writes costs d_v dimensions, not D.
    """
    weights, _ = head_weights(layer)
    _, factor = torch.linalg.qr(weights.transpose(1, 2))
    return factor


def value_bias(model: HeadModel, layer: int) -> Tensor:
    """[H, d_v] what z is when every value vector is 0 before its bias; zeros where the model has no value bias.

    TransformerLens' zero edit: it folds the value bias into the output bias, so a head whose values it zeroes still
    leaves b_V in z. Found by running the model with zeros in place of the input of every weight matrix inside its
    attention modules: what arrives as values is the bias.

    Raises:
        ModelError: the values then differ between tokens, so the model has no such constant.
    """
    if model.value_biases is None:
        model.value_biases = _all_value_biases(model)
    return model.value_biases[layer]


@torch.no_grad()
def _all_value_biases(model: HeadModel) -> dict[int, Tensor]:
    from headscope.models.reading import watching_attention

    found: dict[int, Tensor] = {}

    def saw(layer: int, attention: object, _: Tensor) -> None:
        value: Tensor = attention.value  # type: ignore[attr-defined]
        first = value[0, :, 0]
        if not torch.equal(value, first[None, :, None].expand_as(value)):
            raise ModelError(
                "the model's values depend on the token even without input, so it has no value bias to keep",
                where=model.anatomy.layers[layer].name,
                fix='use value_bias="zero"',
            )
        n_heads = model.anatomy.layers[layer].n_heads
        found[layer] = first.repeat_interleave(n_heads // first.shape[0], dim=0).detach().clone()

    def zero_input(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (torch.zeros_like(args[0]), *args[1:])

    ids = probe_ids(model.hf)
    with watching_attention(model, saw, (ids.shape[0], ids.shape[1])):
        handles = [
            module.register_forward_pre_hook(model.thread.own(zero_input))
            for layer in model.anatomy.layers.values()
            for module in layer.attention.modules()
            if module is not layer.projection and has_weight_matrix(module)
        ]
        try:
            model.hf.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
    return found
