"""What the load check runs, and how it compares: made-up rows, their edits, and relative differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headscope.models.anatomy import embedding_weight, matrix_shapes, vocabulary_size
from headscope.models.batches import Batch
from headscope.models.editing import LayerEdit
from headscope.models.head_model import HeadModel
from headscope.models.law_report import Law
from headscope.models.running import logits_at, step
from headscope.random_streams import generator
from headscope.rounding import pass_bound

LONGEST = 9  # tokens of a made-up row, where no window asks for more
N_STEPS = 2  # tokens gone on with, cached
_AT_ONCE = 4096  # words whose embeddings are squared at once


def tolerance_of(model: HeadModel, dtype: torch.dtype | None = None, n_tokens: int = LONGEST) -> float:
    """Largest difference that passes, in units of the largest number compared: the rounding of two passes.

    It is the smallest error that is caught. In float32 it is 1e-5 of the largest logit for layers of width 32, 1e-4 for
    GPT-2 small, 2e-4 for 32 layers of width 4096; in float16 3e-2, 5e-2 and 7e-2; in bfloat16 always 1e-1. A wrong
    head, position, scale or mask moves logits by hundredths or more, so float32 catches it with room to spare, half
    precision only where it is not small. ``dtype`` is that of the pass, where not the model's own.
    """
    n_layers = len(model.anatomy)
    # A matrix sums no more terms than its longer side has; scores and rows sum a head's size and the tokens.
    by_matrix = sum(map(max, matrix_shapes(model.hf))) / n_layers
    by_attention = max(layer.head_size for layer in model.anatomy.layers.values()) + n_tokens
    n_terms = math.ceil(by_matrix) + by_attention + embedding_weight(model.hf).shape[1]
    kind = model.dtype if dtype is None else dtype
    if kind == torch.float64:
        kind = torch.float32  # attention and values are read in float32
    return pass_bound(n_layers, n_terms, str(kind).removeprefix("torch."))


@torch.inference_mode()
def rows_alone(model: HeadModel, sequences: list[list[int]]) -> tuple[list[Float[Tensor, "_ V"]], float]:
    """Logits [T, V] of each sequence, run by itself, and the condition of the language-model head there.

    The condition is the size of a logit's partial sums over the largest logit, at least 1: for terms of either sign
    that is the root of sum_i (h_i W_ij)^2. Where terms cancel, as with a direction of the stream that no logit reads,
    rounding stays in the size of the terms and not of the logit, and a tolerance in units of the largest logit is that
    much wider: 1 for the bundled model, 1.4 for SmolLM2-135M, 6 for the hand-set worlds. 1 where the head is no plain
    matrix.
    """
    head: Any = model.hf.get_output_embeddings()
    weight = getattr(head, "weight", None)
    if not (isinstance(weight, Tensor) and weight.dim() == 2 and weight.is_floating_point() and not weight.is_meta):
        weight = None
    largest_square, largest = 0.0, 0.0
    squares: list[Tensor] = []

    def saw(_: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal largest
        squares.append(args[0].float().square().flatten(0, -2))
        largest = max(largest, float(output.abs().max()))

    with model.thread.hooks() as hooks:
        hooks.after(head, saw)
        alone = [all_logits(model, Batch.of_chains([ids], device=model.device))[0] for ids in sequences]
    if not largest:
        return alone, 1.0
    together = torch.cat(squares)  # so that the words' embeddings, the largest matrix, are squared once
    for some in () if weight is None else weight.split(_AT_ONCE):
        largest_square = max(largest_square, float((together @ some.to(together).square().T).max()))
    return alone, max(1.0, math.sqrt(largest_square) / largest)


@dataclass(frozen=True)
class Rows:
    """Made-up rows, their unpadded logits, and the edit under test.

    Attributes:
        sequences: three rows of different length; the second shares a prefix with the first.
        alone: [T, V] logits of each, run by itself.
        edits: by layer, gains of the three rows [3, 1, H]: row r loses other heads than row s.
        tolerance: ``tolerance_of`` the model x the condition of its head (``rows_alone``).
        window: tokens that the most short-sighted layer sees (``windows.py``); None where all see every token.
    """

    sequences: list[list[int]]
    alone: list[Float[Tensor, "_ V"]]
    edits: dict[int, LayerEdit]
    tolerance: float
    window: int | None


def made_up_sequences(model: HeadModel, window: int | None) -> list[list[int]]:
    """Three rows, a prefix shared by two, longer than ``window`` where that is short."""
    longest = LONGEST if window is None or window > 24 else max(LONGEST, window + 3)
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


def all_logits(model: HeadModel, batch: Batch) -> list[Float[Tensor, "_ V"]]:
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


def gone_on(
    model: HeadModel, logits: Float[Tensor, "B V"], cache: Any, batch: Batch, sequences: list[list[int]]
) -> list[Float[Tensor, "_ V"]]:
    """[1 + steps, V] for each row of ``batch``, which begins one of ``sequences``: its own and later logits."""
    mask, lengths, steps = batch.attention_mask, batch.attention_mask.sum(dim=1).tolist(), [logits]
    for index in range(N_STEPS):
        at = [length + index for length in lengths]
        ids = torch.tensor([[ids[i]] for ids, i in zip(sequences, at, strict=True)], device=model.device)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        logits, cache = step(model, cache, ids, torch.tensor(at, device=model.device)[:, None], mask)
        steps.append(logits)
    return list(torch.stack(steps, dim=1))
