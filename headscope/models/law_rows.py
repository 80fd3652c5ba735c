"""What the load check runs, and how it compares: made-up rows, their edits, and relative differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from headscope.models.anatomy import vocabulary_size
from headscope.models.batches import Batch
from headscope.models.editing import LayerEdit
from headscope.models.head_model import HeadModel
from headscope.models.law_report import Law
from headscope.models.running import logits_at, step
from headscope.random_streams import generator

# Largest relative difference that passes: a few hundred roundings of each type.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}
N_STEPS = 2  # tokens gone on with, cached


@dataclass(frozen=True)
class Rows:
    """Made-up rows, their unpadded logits, and the edit under test.

    Attributes:
        sequences: three rows of different length; the second shares a prefix with the first.
        alone: [T, V] logits of each, run by itself.
        edits: by layer, gains of the three rows [3, 1, H]: row r loses other heads than row s.
        tolerance: of the model's dtype.
        window: tokens that the most short-sighted layer sees (``windows.py``); None where all see every token.
    """

    sequences: list[list[int]]
    alone: list[Tensor]
    edits: dict[int, LayerEdit]
    tolerance: float
    window: int | None


def made_up_sequences(model: HeadModel, window: int | None) -> list[list[int]]:
    """Three rows, a prefix shared by two, longer than ``window`` where that is short."""
    longest = 9 if window is None or window > 24 else max(9, window + 3)
    longest = min(longest, model.context_length or longest)
    if model.mixed_row_limit is not None:  # rows beyond it are the business of ``lengths``; two tokens for padding
        longest = min(longest, max(2, model.mixed_row_limit - 2))
    vocabulary = vocabulary_size(model.hf)
    draws = generator(0, "load check").integers(0, vocabulary, size=(3, longest)).tolist()
    shared = max(1, longest // 3)
    first, second, third = draws
    second = (first[:shared] + second[shared:])[: max(2, longest - 2)]
    return [first, second, third[: max(2, longest - 4)]]


def made_up_edits(model: HeadModel, n_rows: int) -> dict[int, LayerEdit]:
    """By layer, gains [n_rows, 1, H]: each row loses one head, another in each layer; the last row loses head 0 too."""
    edits: dict[int, LayerEdit] = {}
    for index, layer in model.anatomy.layers.items():
        gain = torch.ones(n_rows, 1, layer.n_heads, device=model.device)
        for row in range(n_rows):
            gain[row, 0, (row + index) % layer.n_heads] = 0.0
        gain[-1, 0, 0] = 0.0
        edits[index] = LayerEdit(gain)
    return edits


def all_logits(model: HeadModel, batch: Batch) -> list[Tensor]:
    """[T, V] logits of the real tokens of each row."""
    places = batch.attention_mask.bool().nonzero()
    logits = logits_at(model, batch, places[:, 0], places[:, 1])
    return [logits[places[:, 0] == row] for row in range(len(batch))]


def difference_of(got: Tensor, expected: Tensor) -> float:
    """Largest absolute difference, relative to the largest expected value where that is above 1; inf for NaN."""
    if got.shape != expected.shape:
        return math.inf
    gap = (got.float() - expected.float()).abs().max() / max(1.0, float(expected.abs().max()))
    return float(gap) if bool(torch.isfinite(gap)) else math.inf


def compare(name: str, got: list[Tensor], expected: list[Tensor], tolerance: float, note: str = "") -> Law:
    """The law that each of ``got`` equals its partner in ``expected``."""
    difference = max(difference_of(one, other) for one, other in zip(got, expected, strict=True))
    return Law(name, difference, tolerance, difference <= tolerance, note)


def gone_on(model: HeadModel, logits: Tensor, cache: Any, batch: Batch, sequences: list[list[int]]) -> list[Tensor]:
    """[1 + steps, V] for each row of ``batch``, which begins one of ``sequences``: its own and later logits."""
    mask, lengths, steps = batch.attention_mask, batch.attention_mask.sum(dim=1).tolist(), [logits]
    for index in range(N_STEPS):
        at = [length + index for length in lengths]
        ids = torch.tensor([[ids[i]] for ids, i in zip(sequences, at, strict=True)], device=model.device)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        logits, cache = step(model, cache, ids, torch.tensor(at, device=model.device)[:, None], mask)
        steps.append(logits)
    return list(torch.stack(steps, dim=1))
