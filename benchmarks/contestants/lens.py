"""The jobs in TransformerLens' own interface, which its versions 2 and 4 share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from serving import by_length, last_to_keys, log_odds, of_equal_length, padded


def patterns(model: Any, task: dict[str, Any], *, size: int, only_patterns: bool) -> np.ndarray:
    """[N, L, H] attention of the last token, from ``run_with_cache``."""
    values: list[np.ndarray] = [np.empty(0)] * len(task["sequences"])
    options: dict[str, Any] = {}
    if only_patterns:
        options = {"names_filter": lambda name: name.endswith("hook_pattern"), "return_type": None}
    for members in by_length(task["sequences"], size):
        rows = [task["sequences"][index] for index in members]
        ids, _ = padded(rows, "right")  # later tokens change nothing, so right padding needs no mask
        _, cache = model.run_with_cache(ids, **options)
        found = last_to_keys(
            [cache["pattern", layer] for layer in range(model.cfg.n_layers)],
            [len(row) for row in rows],
            [task["keys"][index] for index in members],
        )
        for index, value in zip(members, found, strict=True):
            values[index] = value
    return np.stack(values)


def without(head: list[int]) -> list[tuple[str, Any]]:
    """Hooks that switch a head off."""

    def zero(z: torch.Tensor, hook: Any) -> torch.Tensor:
        z[:, :, head[1]] = 0.0
        return z

    return [(f"blocks.{head[0]}.attn.hook_z", zero)]


def sweep(model: Any, task: dict[str, Any]) -> np.ndarray:
    """[heads, N] log-odds at the last token, one batched pass a head."""
    values = np.empty((len(task["heads"]), len(task["sequences"])))
    for row, head in enumerate(task["heads"]):
        for members in by_length(task["sequences"], 32):
            rows = [task["sequences"][index] for index in members]
            logits = model.run_with_hooks(padded(rows, "right")[0], fwd_hooks=without(head))
            ends = torch.tensor([len(one) - 1 for one in rows])
            values[row, members] = log_odds(logits[range(len(rows)), ends], task["words"], task["controls"])
    return values


def written_together(model: Any, task: dict[str, Any]) -> list[Any]:
    """[arms, N, tokens] by its own ``generate`` with its cache, in batches of one length."""
    texts: list[list[Any]] = [[[]] * len(task["sequences"]) for _ in range(2)]
    for arm in range(2):
        with model.hooks(fwd_hooks=without(task["head"]) if arm else []):
            for members in of_equal_length(task["sequences"]):
                ids = torch.tensor([task["sequences"][index] for index in members])
                out = model.generate(
                    ids,
                    max_new_tokens=task["max_tokens"],
                    do_sample=False,
                    stop_at_eos=False,
                    verbose=False,
                    return_type="tokens",
                )
                for index, text in zip(members, out[:, ids.shape[1] :].tolist(), strict=True):
                    texts[arm][index] = text
    return texts


def written_one_by_one(model: Any, task: dict[str, Any]) -> list[Any]:
    """[arms, N, tokens], each text alone and run again for each token."""
    texts: list[list[Any]] = [[], []]
    for arm in range(2):
        for sequence in task["sequences"]:
            ids = torch.tensor([sequence])
            for _ in range(task["max_tokens"]):
                logits = model.run_with_hooks(ids, fwd_hooks=without(task["head"]) if arm else [])
                ids = torch.cat([ids, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
            texts[arm].append(ids[0, len(sequence) :].tolist())
    return texts


def studied(model: Any, task: dict[str, Any]) -> list[int]:
    """The study's screening and ablation, prompts one by one; its plots and its report are left out."""
    patterns(model, task, size=1, only_patterns=False)
    written = [ids for ids, is_written in zip(task["sequences"], task["written"], strict=True) if is_written]
    written_one_by_one(model, task | {"sequences": written})
    return []
