"""The whole job in plain transformers: attention asked for, hooks on the output projections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from serving import by_length, log_odds, padded
from whole import Library

BATCH = 128


def library(model: Any, attention: Callable[[dict[str, Any]], np.ndarray]) -> Library:
    """``model`` with fused attention, for all but the attention itself."""
    return Library(attention, partial(_sums, model), partial(_sweep, model), partial(_texts, model))


def _projections(model: Any) -> list[torch.nn.Module]:
    """Each layer's output projection, of a GPT-2 or a Llama."""
    if model.config.model_type == "gpt2":
        return [block.attn.c_proj for block in model.transformer.h]
    return [layer.self_attn.o_proj for layer in model.model.layers]


def _by_head(model: Any, z: torch.Tensor) -> torch.Tensor:
    return z.unflatten(-1, (model.config.num_attention_heads, -1))


@contextmanager
def _hooked(hooks: Sequence[tuple[torch.nn.Module, Any]]) -> Iterator[None]:
    handles = [module.register_forward_pre_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _replacing(model: Any, heads: Sequence[Sequence[int]], values: torch.Tensor) -> list[tuple[torch.nn.Module, Any]]:
    """Hooks by which heads' output is ``values`` [B, L, H, d] of its row."""

    def hook(layer: int, head: int) -> Any:
        def replace(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            z = _by_head(model, args[0]).clone()
            z[:, :, head] = values[:, layer, head, None]
            return (z.flatten(-2),)

        return replace

    places = _projections(model)
    return [(places[layer], hook(layer, head)) for layer, head in heads]


def _sums(model: Any, sequences: list[list[int]]) -> np.ndarray:
    seen: list[torch.Tensor] = []
    found = [np.empty(0)] * len(sequences)
    with _hooked([(place, lambda _, args: seen.append(_by_head(model, args[0]))) for place in _projections(model)]):
        for members in by_length(sequences, BATCH):
            ids, mask = padded([sequences[index] for index in members], "right")
            model.base_model(ids, attention_mask=mask, use_cache=False)
            sums = torch.stack([(z * mask[:, :, None, None]).sum(1) for z in seen], dim=1).numpy()
            seen.clear()
            for index, of_row in zip(members, sums, strict=True):
                found[index] = of_row
    return np.stack(found)


def _sweep(model: Any, task: dict[str, Any], means: torch.Tensor) -> np.ndarray:
    sequences = task["sequences"]
    values = np.empty((len(task["heads"]), len(sequences)))
    for row, head in enumerate(task["heads"]):
        for members in by_length(sequences, BATCH):
            ids, mask = padded([sequences[index] for index in members], "left")
            arguments = {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
            of_prompts = means[[index // task["n_readouts"] for index in members]]
            with _hooked(_replacing(model, [head], of_prompts)):
                logits = model(ids, logits_to_keep=1, use_cache=False, **arguments).logits[:, -1]
            values[row, members] = log_odds(logits, task["words"], task["controls"])
    return values


def _texts(model: Any, task: dict[str, Any], prompts: list[list[int]], means: torch.Tensor) -> list[list[list[int]]]:
    ids, mask = padded(prompts, "left")
    written = []
    for heads in ([], task["written"]):
        with _hooked(_replacing(model, heads, means)):
            out = model.generate(
                ids, attention_mask=mask, do_sample=False, eos_token_id=None, pad_token_id=0,
                max_new_tokens=task["max_tokens"], min_new_tokens=task["max_tokens"],
            )  # fmt: skip
        written.append(out[:, ids.shape[1] :].tolist())
    return written
