"""How far back a model's attention sees, by what its layers do and never by the name of a setting.

A model that routes builds its masks by transformers' mask functions, which say over how many tokens a mask reaches: a
dry run notes, for each attention layer, the reach of the mask it is given. Where a layer's mask does not come from
there, sizes that the configuration names as windows or chunks are candidates, and each small one is tried: it is a
window if the token that far from the first one gives the first one no weight. A large candidate is taken as it is; rows
of several prompts are shorter anyway.
"""

from __future__ import annotations

import torch
from torch import Tensor

from headscope.models.anatomy import probe_ids
from headscope.models.attention import Attention
from headscope.models.head_model import HeadModel
from headscope.models.interface import interface_reaches
from headscope.models.reading import watching_attention

_TRIED = 512
"""Longest row, in tokens, that is run to see whether a setting is a window."""

_NAMES = ("window", "chunk", "local")


@torch.inference_mode()
def smallest_window(model: HeadModel) -> int | None:
    """Tokens that the most short-sighted attention layer sees, itself among them; None where all see every token."""
    reaches = _reaches(model)
    if reaches is None:
        reaches = [size for size in _candidates(model) if size > _TRIED or _is_window(model, size)]
    return min(reaches, default=None)


def _reaches(model: HeadModel) -> list[int] | None:
    """The finite reach of each layer's mask; None where a layer was not seen with a mask whose reach is known."""
    if not model.anatomy.routed:
        return None
    with interface_reaches(model.hf) as found:
        ids = probe_ids(model.hf)
        model.hf.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    if any(layer.attention not in found for layer in model.anatomy.layers.values()):
        return None
    return [reach for layer in model.anatomy.layers.values() if (reach := found[layer.attention]) is not None]


def _candidates(model: HeadModel) -> list[int]:
    """Sizes in the configuration that may be windows, shorter than the context."""
    longest = model.context_length
    values = {
        value
        for name, value in vars(model.hf.config.get_text_config()).items()
        if any(part in name for part in _NAMES) and type(value) is int and value > 0
    }
    return sorted(value for value in values if longest is None or value < longest)


def _is_window(model: HeadModel, size: int) -> bool:
    """Whether some layer's token ``size`` gives token 0 no weight in any head."""
    blind: list[bool] = []

    def saw(_: int, attention: Attention, __: Tensor) -> None:
        last = torch.tensor([[size]], device=model.device)
        blind.append(not bool(attention.rows(last)[..., 0].any()))

    with watching_attention(model, saw, (1, size + 1)):
        ids = probe_ids(model.hf, (1, size + 1))
        model.hf.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    return any(blind)
