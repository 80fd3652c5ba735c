"""transformers alone: whole patterns by ``output_attentions``, ``generate``, one batched pass a head."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from plain_whole import library
from serving import Way, by_length, last_to_keys, log_odds, padded, serve
from transformers import AutoModelForCausalLM
from whole import whole

BATCH = 32


def load(folder: str) -> dict[str, Way]:
    """What it can do with the checkpoint."""
    eager = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    fused = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32).eval()

    def patterns(task: dict[str, Any], size: int) -> np.ndarray:
        values: list[np.ndarray] = [np.empty(0)] * len(task["sequences"])
        for members in by_length(task["sequences"], size):
            rows = [task["sequences"][index] for index in members]
            ids, mask = padded(rows, "right")
            attentions = eager(ids, attention_mask=mask, output_attentions=True, logits_to_keep=1).attentions
            found = last_to_keys(attentions, [len(row) for row in rows], [task["keys"][index] for index in members])
            for index, value in zip(members, found, strict=True):
                values[index] = value
        return np.stack(values)

    def forward(task: dict[str, Any]) -> list[int]:
        for members in by_length(task["sequences"], 8):
            ids, mask = padded([task["sequences"][index] for index in members], "right")
            fused.transformer(ids, attention_mask=mask, use_cache=False)
        return []

    def generate(task: dict[str, Any]) -> list[list[list[int]]]:
        ids, mask = padded(task["sequences"], "left")
        texts = []
        for heads in ([], [task["head"]]):
            with without(fused, heads):
                out = fused.generate(
                    ids, attention_mask=mask, do_sample=False, eos_token_id=None, pad_token_id=0,
                    max_new_tokens=task["max_tokens"], min_new_tokens=task["max_tokens"],
                )  # fmt: skip
            texts.append(out[:, ids.shape[1] :].tolist())
        return texts

    def sweep(task: dict[str, Any]) -> np.ndarray:
        values = np.empty((len(task["heads"]), len(task["sequences"])))
        for row, head in enumerate(task["heads"]):
            with without(fused, [head]):
                for members in by_length(task["sequences"], 4 * BATCH):
                    ids, mask = padded([task["sequences"][index] for index in members], "left")
                    positions = (mask.cumsum(-1) - 1).clamp(min=0)
                    arguments = {"attention_mask": mask, "position_ids": positions, "use_cache": False}
                    logits = fused(ids, logits_to_keep=1, **arguments).logits[:, -1]
                    values[row, members] = log_odds(logits, task["words"], task["controls"])
        return values

    return {
        "screen/recommended": lambda task: patterns(task, BATCH),
        "screen/study": lambda task: patterns(task, 1),
        "long/recommended": lambda task: patterns(task, 4),
        "long/forward": forward,
        "generate/recommended": generate,
        "sweep/recommended": sweep,
        "whole/recommended": partial(whole, library(fused, partial(patterns, size=BATCH))),
    }


@contextmanager
def without(model: Any, heads: Sequence[Sequence[int]]) -> Any:
    """Heads off, by a hook on the output projection."""
    width = model.config.n_embd // model.config.n_head

    def hook(head: int) -> Any:
        def zero(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            z = args[0].clone()
            z[..., head * width : (head + 1) * width] = 0.0
            return (z,)

        return zero

    handles = [model.transformer.h[at].attn.c_proj.register_forward_pre_hook(hook(head)) for at, head in heads]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


serve(["torch", "transformers"], load)
