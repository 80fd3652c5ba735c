"""How many workers ``auto`` takes: from what can be counted alone, never from what is free or how busy the machine is.

Threads share the matrix products of one pass, workers share the passes. Small products are over before another thread
has begun: two threads take longer than one over a product of 256 x 256, and are 1.7 times as fast at 512 x 512
(docs/benchmarks.md). So workers are taken where layers are narrower than that, one a core.
"""

from __future__ import annotations

import math
import os

from headscope.errors import RequestError
from headscope.models.anatomy import matrix_shapes
from headscope.models.head_model import HeadModel
from headscope.models.memory_budget import LOGIT_BYTES, total_bytes

THREADS_GAIN_WEIGHTS = 12 * 512**2
"""Weights of a layer from which on threads gain much: those of a usual block that is 512 wide."""

_WORKER_BYTES = 4 * LOGIT_BYTES  # what a worker may hold, most of it logits and what is made of them


def parse_workers(asked: str) -> int | None:
    """The number of workers, None for ``auto``; RequestError where it is neither."""
    if asked == "auto":
        return None
    if not (asked.isascii() and asked.isdigit() and int(asked) > 0):
        raise RequestError("--workers is malformed", expected="auto, or a number from 1 on", got=asked)
    return int(asked)


def fitting(model: HeadModel) -> tuple[int, str]:
    """How many workers gain with this model on this machine, 1 where none do, and why, as half a sentence."""
    if model.device.type != "cpu":
        return 1, f"one process, because the model is on {model.device}"
    n_cores = usable_cores()
    if n_cores == 1:
        return 1, "one process, because there is one core"
    weights = sum(map(math.prod, matrix_shapes(model.hf))) / len(model.heads_per_layer)
    millions = f"{weights / 1e6:.1f} million weights a layer"
    if weights >= THREADS_GAIN_WEIGHTS:
        return 1, f"one process, because threads gain much with {millions}"
    n_workers = min(n_cores, total_bytes(model.device) // 2 // _WORKER_BYTES)
    if n_workers < 2:
        return 1, "one process, because memory holds no two workers"
    what = f"{n_cores} cores" if n_workers == n_cores else "the memory of this machine"
    return n_workers, f"{n_workers} workers of one thread, for {what} and {millions}"


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
