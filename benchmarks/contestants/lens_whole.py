"""The whole job in TransformerLens: ``run_with_cache``, hooks on ``hook_z``, its own ``generate``."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from lens import patterns
from serving import by_length, log_odds, of_equal_length, padded
from whole import Library

BATCH = 32


def library(model: Any) -> Library:
    """What the bridge, or a hooked model, is asked for."""
    return Library(
        partial(patterns, model, size=BATCH, only_patterns=True),
        partial(_sums, model),
        partial(_sweep, model),
        partial(_texts, model),
    )


def _sums(model: Any, sequences: list[list[int]]) -> np.ndarray:
    found = [np.empty(0)] * len(sequences)
    for members in by_length(sequences, BATCH):
        ids, mask = padded([sequences[index] for index in members], "right")
        _, cache = model.run_with_cache(ids, names_filter=lambda name: name.endswith("hook_z"), return_type=None)
        z = torch.stack([cache["z", layer] for layer in range(model.cfg.n_layers)], dim=1)  # [B, L, T, H, d]
        z = z.reshape(*z.shape[:3], model.cfg.n_heads, -1)
        for index, of_row in zip(members, (z * mask[:, None, :, None, None]).sum(2).numpy(), strict=True):
            found[index] = of_row
    return np.stack(found)


def _replacing(heads: list[list[int]], values: torch.Tensor) -> list[tuple[str, Any]]:
    """Hooks by which heads' output is ``values`` [B, L, H, d] of its row."""

    def hook(layer: int, head: int) -> Any:
        def replace(z: torch.Tensor, hook: Any) -> torch.Tensor:
            by_head = z.unflatten(-1, (values.shape[2], -1)) if z.dim() == 3 else z
            by_head[:, :, head] = values[:, layer, head, None]
            return z

        return replace

    return [(f"blocks.{layer}.attn.hook_z", hook(layer, head)) for layer, head in heads]


def _sweep(model: Any, task: dict[str, Any], means: torch.Tensor) -> np.ndarray:
    sequences = task["sequences"]
    values = np.empty((len(task["heads"]), len(sequences)))
    for row, head in enumerate(task["heads"]):
        for members in by_length(sequences, BATCH):
            rows = [sequences[index] for index in members]
            hooks = _replacing([head], means[[index // task["n_readouts"] for index in members]])
            logits = model.run_with_hooks(padded(rows, "right")[0], fwd_hooks=hooks)
            ends = torch.tensor([len(one) - 1 for one in rows])
            values[row, members] = log_odds(logits[range(len(rows)), ends], task["words"], task["controls"])
    return values


def _texts(model: Any, task: dict[str, Any], prompts: list[list[int]], means: torch.Tensor) -> list[Any]:
    written: list[list[Any]] = []
    for heads in ([], task["written"]):
        texts: list[Any] = [[]] * len(prompts)
        for members in of_equal_length(prompts):
            ids = torch.tensor([prompts[index] for index in members])
            with model.hooks(fwd_hooks=_replacing(heads, means[members])):
                out = model.generate(
                    ids, max_new_tokens=task["max_tokens"], do_sample=False, stop_at_eos=False, verbose=False,
                    return_type="tokens",
                )  # fmt: skip
            for index, text in zip(members, out[:, ids.shape[1] :].tolist(), strict=True):
                texts[index] = text
        written.append(texts)
    return written
