"""Rows computed from query, key, value and mask equal the whole pattern computed the long way."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from headscope.models.attention import ScoredAttention, WeighedAttention
from tests.tolerances import TINY, close

B, H, H_KV, T, D = 2, 4, 2, 7, 3


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return {"query": draw(B, H, T, D), "key": draw(B, H_KV, T, D), "value": draw(B, H_KV, T, D + 1)}


def long_way(given: dict[str, Any], allowed: Tensor) -> Tensor:
    """[B, H, T, T], one number at a time."""
    pattern = torch.zeros(B, H, T, T)
    for b in range(B):
        for h in range(H):
            for i in range(T):
                scores = []
                for j in range(T):
                    score = float(given["query"][b, h, i] @ given["key"][b, h // (H // H_KV), j]) * given["scaling"]
                    if given.get("softcap"):
                        score = math.tanh(score / given["softcap"]) * given["softcap"]
                    if given.get("position_bias") is not None:
                        score += float(given["position_bias"][0, h, i, j])
                    scores.append(score if bool(allowed[b, i, j]) else -math.inf)
                sink = math.exp(float(given["sinks"][h])) if given.get("sinks") is not None else 0.0
                weights = [math.exp(score) for score in scores]
                pattern[b, h, i] = torch.tensor([weight / (sum(weights) + sink) for weight in weights])
    return pattern


CAUSAL = torch.ones(T, T, dtype=torch.bool).tril().expand(B, T, T)
PADDING = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]], dtype=torch.bool)
WINDOW = CAUSAL & torch.ones(T, T, dtype=torch.bool).triu(-2)

CASES: dict[str, tuple[dict[str, Any], Tensor]] = {
    "causal without mask": ({"mask": None}, CAUSAL),
    "not causal without mask": ({"mask": None, "causal": False}, torch.ones(B, T, T, dtype=torch.bool)),
    "window without mask": ({"mask": None, "window": 3}, WINDOW),
    "padding mask": ({"mask": PADDING}, CAUSAL & PADDING[:, None]),
    "padding mask and window": ({"mask": PADDING, "window": 3}, WINDOW & PADDING[:, None]),
    "bool mask": ({"mask": WINDOW[:, None]}, WINDOW),
    "bool mask outranks the window": ({"mask": CAUSAL[:, None], "window": 2}, CAUSAL),
    "additive mask": ({"mask": torch.zeros(B, 1, T, T).masked_fill(~WINDOW[:, None], -1e30)}, WINDOW),
    "soft cap": ({"mask": None, "softcap": 0.7}, CAUSAL),
    "sinks": ({"mask": None, "sinks": torch.tensor([0.3, -1.0, 2.0, 0.0])}, CAUSAL),
    "position bias": ({"mask": None, "position_bias": torch.linspace(-1, 1, H * T * T).reshape(1, H, T, T)}, CAUSAL),
    "another scale": ({"mask": None, "scaling": 1.7}, CAUSAL),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_equal_the_long_way(name: str) -> None:
    options, allowed = CASES[name]
    given = tensors() | {"scaling": 0.5} | options
    tokens = torch.tensor([[3, 0, 4], [4, 1, 1]])
    rows = ScoredAttention(**given).rows(tokens)
    expected = long_way(given, allowed)
    for b in range(B):
        for q, token in enumerate(tokens[b].tolist()):
            assert close(rows[b, :, q], expected[b, :, token], TINY)


def test_half_precision_rows_are_computed_in_float32() -> None:
    given = {name: value.to(torch.bfloat16) for name, value in tensors().items()}
    tokens = torch.arange(T).expand(B, T)
    rows = ScoredAttention(**given, mask=None, scaling=0.5).rows(tokens)
    expected = long_way({name: value.float() for name, value in given.items()} | {"scaling": 0.5}, CAUSAL)
    assert rows.dtype == torch.float32
    assert close(rows, expected, TINY)


def test_weights_the_model_computed_are_taken_as_they_are() -> None:
    weights = torch.rand(B, H, T, T)
    rows = WeighedAttention(weights, torch.rand(B, H, T, D)).rows(torch.tensor([[6], [2]]))
    assert torch.equal(rows[0, :, 0], weights[0, :, 6])
    assert torch.equal(rows[1, :, 0], weights[1, :, 2])
