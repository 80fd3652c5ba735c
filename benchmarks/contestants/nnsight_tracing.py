"""nnsight: batched traces that save attention weights, or zero a head's slice of the output projection's input."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from nnsight import LanguageModel
from serving import Way, by_length, last_to_keys, log_odds, padded, serve
from transformers import AutoModelForCausalLM, AutoTokenizer


def patterns(model: Any, task: dict[str, Any], *, size: int) -> np.ndarray:
    """[N, L, H] attention of the last token, from saved attention weights."""
    values: list[np.ndarray] = [np.empty(0)] * len(task["sequences"])
    for members in by_length(task["sequences"], size):
        rows = [task["sequences"][index] for index in members]
        ids, mask = padded(rows, "right")
        with model.trace({"input_ids": ids, "attention_mask": mask}):
            saved = list().save()  # noqa: C408 - nnsight's own way to save several
            for block in model.transformer.h:
                saved.append(block.attn.output[1])
        found = last_to_keys(saved, [len(row) for row in rows], [task["keys"][index] for index in members])
        for index, value in zip(members, found, strict=True):
            values[index] = value
    return np.stack(values)


def sweep(model: Any, task: dict[str, Any]) -> np.ndarray:
    """[heads, N] log-odds at the last token, one batched trace a head."""
    values = np.empty((len(task["heads"]), len(task["sequences"])))
    width = model.config.n_embd // model.config.n_head
    for row, (layer, head) in enumerate(task["heads"]):
        for members in by_length(task["sequences"], 32):
            rows = [task["sequences"][index] for index in members]
            ids, mask = padded(rows, "right")
            with model.trace({"input_ids": ids, "attention_mask": mask}):
                model.transformer.h[layer].attn.c_proj.input[..., head * width : (head + 1) * width] = 0.0
                logits = model.lm_head.output.save()
            ends = torch.tensor([len(one) - 1 for one in rows])
            values[row, members] = log_odds(logits[range(len(rows)), ends], task["words"], task["controls"])
    return values


def load(folder: str) -> dict[str, Way]:
    """What this rival can do with the checkpoint."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    eager, own = (
        LanguageModel(
            AutoModelForCausalLM.from_pretrained(folder, attn_implementation=kind, dtype=torch.float32).eval(),
            tokenizer=tokenizer,
        )
        for kind in ("eager", "sdpa")
    )
    return {
        "screen/recommended": partial(patterns, eager, size=32),
        "long/recommended": partial(patterns, eager, size=4),
        "sweep/recommended": partial(sweep, own),
    }


serve(["torch", "transformers", "nnsight"], load)
