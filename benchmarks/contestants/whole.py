"""The whole job as a rival's user would write it: what is the same in every library."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from serving import InParts


@dataclass(frozen=True)
class Library:
    """What a library is asked for.

    Attributes:
        attention: task with ``sequences`` and ``keys`` -> [N, L, H] attention of last tokens.
        sums: sequences -> [N, L, H, d] what heads put out, summed over tokens.
        sweep: task, values [N, L, H, d] of each prompt -> [heads, N x readouts] log-odds with each head off.
        texts: task, sequences, values -> new tokens of both arms.
    """

    attention: Callable[[dict[str, Any]], np.ndarray]
    sums: Callable[[list[list[int]]], np.ndarray]
    sweep: Callable[[dict[str, Any], torch.Tensor], np.ndarray]
    texts: Callable[[dict[str, Any], list[list[int]], torch.Tensor], Any]


def whole(library: Library, task: dict[str, Any]) -> InParts:
    """Everything, timed in parts; values [heads, 2 N]: log-odds with the head off, its attention."""
    once: dict[str, float] = {}
    n_prompts = len(task["templates"])
    with timed(once, "attention"):
        attention = library.attention({"sequences": task["texts"], "keys": task["keys"]})
    with timed(once, "means over control prompts"):
        means = of_other_templates(task, library.sums(task["control_sequences"]))
    with timed(once, "texts of both arms"):
        library.texts(task, task["texts"][:n_prompts], means)
    log_odds = library.sweep(task, means).reshape(len(task["heads"]), n_prompts, -1).mean(-1)
    looks = np.stack([attention[:n_prompts, layer, head] for layer, head in task["heads"]])
    return InParts(np.concatenate([log_odds, looks], axis=1), once)


def of_other_templates(task: dict[str, Any], sums: np.ndarray) -> torch.Tensor:
    """[N, L, H, d] for each prompt the mean over the tokens of controls of other templates than its own."""
    lengths, templates = np.array([len(ids) for ids in task["control_sequences"]]), np.array(task["control_templates"])
    others = {name: templates != name for name in set(task["templates"])}
    means = {name: sums[at].sum(axis=0) / lengths[at].sum() for name, at in others.items()}
    return torch.from_numpy(np.stack([means[name] for name in task["templates"]])).float()


@contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Note how long the block took."""
    started = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - started
