"""Slow, obvious ways to what headscope's models room computes: one prompt at a time, plain transformers, no hooks.

They know the families' output projections by name, which headscope itself never does.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

_PROJECTIONS = {
    "gpt2": "transformer.h.{}.attn.c_proj",
    "gpt_neo": "transformer.h.{}.attn.attention.out_proj",
    "gptj": "transformer.h.{}.attn.out_proj",
    "codegen": "transformer.h.{}.attn.out_proj",
    "gpt_neox": "gpt_neox.layers.{}.attention.dense",
    "opt": "model.decoder.layers.{}.self_attn.out_proj",
    "bloom": "transformer.h.{}.self_attention.dense",
    "falcon": "transformer.h.{}.self_attention.dense",
    "mpt": "transformer.blocks.{}.attn.out_proj",
    "phi": "model.layers.{}.self_attn.dense",
    "lfm2": "model.layers.{}.self_attn.out_proj",
    "nemotron_h": "model.layers.{}.mixer.o_proj",
}
_USUAL = "model.layers.{}.self_attn.o_proj"


def projection(hf: PreTrainedModel, layer: int) -> nn.Module:
    """The output projection of a layer, by the family's own name for it."""
    return hf.get_submodule(_PROJECTIONS.get(hf.config.model_type, _USUAL).format(layer))


def without_heads(
    hf: PreTrainedModel, heads: Sequence[tuple[int, int]], head_size: int | Mapping[int, int]
) -> PreTrainedModel:
    """A copy whose output projections have the rows of ``heads`` set to zero; ``head_size`` is one, or one a layer."""
    changed = copy.deepcopy(hf)
    with torch.no_grad():
        for layer, head in heads:
            module: Any = projection(changed, layer)
            size = head_size if isinstance(head_size, int) else head_size[layer]
            place = slice(head * size, (head + 1) * size)
            if isinstance(module, Conv1D):
                module.weight[place] = 0.0
            else:
                module.weight[:, place] = 0.0
    return changed


@torch.no_grad()
def logits(hf: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    """[T, V] logits of one unpadded prompt."""
    return hf(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].float()


@torch.no_grad()
def attentions(eager: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    """[layers with heads, H, T, T] of one unpadded prompt, from a model whose attention is eager."""
    output = eager(input_ids=torch.tensor([list(ids)]), use_cache=False, output_attentions=True)
    return torch.stack([layer[0] for layer in output.attentions if layer is not None]).float()


@torch.no_grad()
def head_outputs(hf: PreTrainedModel, ids: Sequence[int], layer: int, n_heads: int) -> Tensor:
    """[T, H, D] what each head of a layer writes: its slice of z times its rows of W_O."""
    module: Any = projection(hf, layer)
    caught: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: caught.append(args[0][0].clone()))
    logits(hf, ids)
    handle.remove()
    matrix = module.weight if isinstance(module, Conv1D) else module.weight.T
    z = caught[0].unflatten(-1, (n_heads, -1))
    return torch.stack([z[:, h] @ matrix[h * z.shape[-1] : (h + 1) * z.shape[-1]] for h in range(n_heads)], dim=1)


def greedy(hf: PreTrainedModel, ids: Sequence[int], n_tokens: int) -> list[int]:
    """Greedy continuation without any cache."""
    sequence = list(ids)
    for _ in range(n_tokens):
        sequence.append(int(logits(hf, sequence)[-1].argmax()))
    return sequence[len(ids) :]
