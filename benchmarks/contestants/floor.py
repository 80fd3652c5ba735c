"""The floor: the matrix products that a job cannot do without, at its sizes, and nothing else.

Per token and layer of a GPT-2: query-key-value, output, and the two of the feed-forward. No embedding, norm, softmax or
attention product is counted, so nothing that computes every token once can reach it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from serving import Way, serve
from transformers import AutoConfig

ROWS = 2048  # tokens multiplied at once


class Products:
    """Matrix products of a GPT-2's sizes."""

    def __init__(self, folder: str) -> None:
        config = AutoConfig.from_pretrained(folder)
        D = config.n_embd
        self.n_layers: int = config.n_layer
        draw = torch.Generator().manual_seed(0)
        self._weights = [torch.randn(n, m, generator=draw) for n, m in ((D, 3 * D), (D, D), (D, 4 * D), (4 * D, D))]
        self._head = torch.randn(config.vocab_size, D, generator=draw).T
        self._inputs = [torch.randn(ROWS, len(weight), generator=draw) for weight in self._weights]

    def layers(self, n_vectors: int, n_layers: int) -> None:
        """Those of some layers, for so many tokens."""
        for rows in _chunks(n_vectors):
            for _ in range(n_layers):
                for given, weight in zip(self._inputs, self._weights, strict=True):
                    torch.mm(given[:rows], weight)

    def head(self, n_vectors: int) -> None:
        """The language-model head's."""
        for rows in _chunks(n_vectors):
            torch.mm(self._inputs[0][:rows], self._head)

    def screen(self, task: dict[str, Any]) -> list[int]:
        """One pass a prompt, without sharing of prefixes."""
        self.layers(sum(map(len, task["sequences"])), self.n_layers)
        return []

    def generate(self, task: dict[str, Any]) -> list[int]:
        """Both arms in one batch, cached."""
        n_rows = 2 * len(task["sequences"])
        self.layers(2 * sum(map(len, task["sequences"])), self.n_layers)
        self.head(n_rows)
        for _ in range(task["max_tokens"] - 1):
            self.layers(n_rows, self.n_layers)
            self.head(n_rows)
        return []

    def sweep(self, task: dict[str, Any]) -> list[int]:
        """One pass a head and sequence from the head's layer up: the layers below are the same for every head."""
        for layer, _ in task["heads"]:
            self.layers(sum(map(len, task["sequences"])), self.n_layers - layer)
            self.head(len(task["sequences"]))
        return []


def _chunks(n_vectors: int) -> list[int]:
    """At most ``ROWS`` each, as equal as can be: a small rest would be slow."""
    return [len(part) for part in np.array_split(np.arange(n_vectors), math.ceil(n_vectors / ROWS))]


def load(folder: str) -> dict[str, Way]:
    """The floor of each kind of job."""
    products = Products(folder)
    return {
        "screen/floor": products.screen,
        "long/floor": products.screen,
        "growth/floor": products.screen,
        "generate/floor": products.generate,
        "sweep/floor": products.sweep,
    }


serve(["torch"], load)
