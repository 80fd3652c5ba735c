"""How many tokens fit into a batch: from a stated budget of memory and the model's sizes, never from what is free.

The budget is a number of bytes or a share of the device's total, a quarter where nothing is said. What a token holds at
the peak of a pass is estimated from the widths of a block. So the plan of batches, and with it every bit,
is the same whatever else the machine does. Beside it at most ``LOGIT_BYTES`` of logits are held.
"""

from __future__ import annotations

import math
import os
import re

import torch

from headscope.errors import RequestError
from headscope.models.anatomy import embedding_weight, matrix_shapes, vocabulary_size
from headscope.models.head_model import HeadModel

DEFAULT_SHARE = 0.25
MOST_BATCH_TOKENS = 8192
"""Larger batches are no faster."""

LOGIT_BYTES = 2**28
"""Most bytes of float32 logits one pass may give."""

CACHE_BYTES = 2**23
"""On a processor, batches are so small that the widest tensor between two matrix products stays in about this much."""

_UNITS = {"": 1, "B": 1} | {
    f"{prefix}{suffix}": base**power
    for power, prefix in enumerate("KMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(%|[A-Za-z]*)")
_MAPPED_BYTES = 2**25  # glibc maps a block above this anew each time, page by page
_COPIES = 2  # what enters and what leaves a step lie side by side
_ROW_TOKENS = 128  # an attention row is as wide as the prompts are long; most are shorter than this


def parse_budget(budget: str | int, device: torch.device) -> int:
    """Bytes of ``"4GiB"``, ``"500 MB"``, ``4294967296`` or ``"25%"`` of the device's total.

    Raises:
        RequestError: it is none of these, not positive, or more than the device has.
    """
    found = _AMOUNT.fullmatch(str(budget).strip())
    total = total_bytes(device)
    units = {name.lower(): size for name, size in _UNITS.items()} | {"%": total / 100}
    if found is None or found[2].lower() not in units:
        raise RequestError(f'"{budget}" is no amount of memory', expected="such as 4GiB, 500MB or 25%", got=str(budget))
    n_bytes = int(float(found[1]) * units[found[2].lower()])
    if not 0 < n_bytes <= total:
        raise RequestError(
            f"the memory budget {budget} cannot be kept",
            expected=f"above 0, at most what the device {device} has: {total / 2**30:.1f} GiB",
            got=str(budget),
        )
    return n_bytes


def total_bytes(device: torch.device) -> int:
    """All the memory of a device, used or not."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def batch_tokens_within(model: HeadModel) -> int:
    """Most tokens of a batch within the model's memory budget, at most as many as are of use on its device.

    Raises:
        RequestError: not even one token fits.
    """
    budget = _budget(model)
    needed = bytes_per_token(model)
    if budget < needed:
        raise RequestError(
            "the memory budget holds no token",
            expected=f"at least {needed} bytes for this model",
            got=f"{budget} bytes",
            fix="raise --memory-budget",
        )
    return min(most_batch_tokens(model), budget // needed)


def held_tokens(model: HeadModel) -> int:
    """Most tokens whose keys and values fit, twice over because they are gathered, into the model's memory budget."""
    n_bytes = (
        sum(2 * layer.n_kv_heads * layer.head_size for layer in model.anatomy.layers.values()) * model.dtype.itemsize
    )
    return max(1, _budget(model) // (_COPIES * n_bytes))


def most_written_at_once(model: HeadModel) -> int:
    """Texts that are written side by side: beyond this more are no faster, or their logits take too much."""
    a_row = 4 * vocabulary_size(model.hf)
    if model.device.type == "cpu":
        return max(64, min(256, _MAPPED_BYTES // a_row))
    return max(1, min(1024, LOGIT_BYTES // a_row))


def _budget(model: HeadModel) -> int:
    given = model.memory_budget_bytes
    return int(DEFAULT_SHARE * total_bytes(model.device)) if given is None else given


def most_batch_tokens(model: HeadModel) -> int:
    """Beyond this a larger batch is no faster."""
    if model.device.type != "cpu":
        return MOST_BATCH_TOKENS
    widest = max(max(shape) for shape in matrix_shapes(model.hf))
    return max(1, min(MOST_BATCH_TOKENS, CACHE_BYTES // (model.dtype.itemsize * widest)))


def bytes_per_token(model: HeadModel) -> int:
    """About what one token holds at the peak of a pass without gradients.

    In one block: inputs and outputs of its matrices and its rows of attention; beside it, what enters each layer, which
    is kept for edited passes to begin there.
    """
    n_layers, width = len(model.heads_per_layer), embedding_weight(model.hf).shape[1]
    widths = math.ceil(sum(map(sum, matrix_shapes(model.hf))) / n_layers)
    rows = max(model.heads_per_layer) * _ROW_TOKENS
    return model.dtype.itemsize * (_COPIES * (widths + rows) + n_layers * width)
