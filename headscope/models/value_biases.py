"""What a head puts out where its values are switched off before their bias: b_V, found by running the model."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headscope.errors import ModelError
from headscope.models.anatomy import has_weight_matrix, probe_ids
from headscope.models.head_model import HeadModel
from headscope.models.reading import watching_attention


def value_bias(model: HeadModel, layer: int) -> Float[Tensor, "H d_v"]:
    """What z is when every value vector is 0 before its bias; zeros where the model has no value bias.

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
def _all_value_biases(model: HeadModel) -> dict[int, Float[Tensor, "_ _"]]:
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
    with watching_attention(model, saw, (ids.shape[0], ids.shape[1])), model.thread.hooks() as hooks:
        for layer in model.anatomy.layers.values():
            for module in layer.attention.modules():
                if module is not layer.projection and has_weight_matrix(module):
                    hooks.before(module, zero_input)
        model.hf.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    return found
