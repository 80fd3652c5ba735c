"""Bounds of rounding: what floats do stays below them, and not by so much that they would hold for anything."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headscope.rounding import EPSILON, LARGEST_SHARE, pass_bound, sum_bound


@pytest.mark.parametrize("n_terms", [16, 256, 4096])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_sums_one_term_at_a_time_and_in_blocks_differ_by_less_than_the_bound(n_terms: int, dtype: str) -> None:
    """Term by term is the worst order a library could take, and rounding after every term the worst it could do."""
    terms = np.random.default_rng(0).normal(size=(500, n_terms)).astype(dtype)
    partial = np.zeros(500, dtype=dtype)
    largest = 0.0
    for j in range(n_terms):
        partial = partial + terms[:, j]
        largest = max(largest, float(np.abs(partial).max()))
    blocks = terms.reshape(500, -1, 16).sum(axis=1, dtype=dtype).sum(axis=1, dtype=dtype)
    apart = float(np.abs(partial.astype(float) - blocks.astype(float)).max())
    bound = sum_bound(n_terms, largest, dtype)
    assert bound / 500 < apart < bound


@pytest.mark.parametrize("dtype", EPSILON)
def test_epsilon_is_that_of_the_type(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    assert EPSILON[dtype] == torch.finfo(getattr(torch, dtype)).eps


def test_a_pass_in_half_precision_is_bounded_by_what_it_stores_and_never_beyond_a_tenth() -> None:
    narrow, wide = (pass_bound(3, n, "float16") for n in (300, 30_000))
    # What is stored, within the hundredth that the sums add to it.
    assert narrow == pytest.approx(wide, rel=0.01), "sums run in float32"
    assert narrow == pytest.approx(8 * 2**-10 * math.sqrt(10 + 2 * 3 + 2), rel=0.01)
    assert pass_bound(12, 10_000, "bfloat16") == LARGEST_SHARE
    assert pass_bound(12, 10_000, "float32") == pytest.approx(8 * 2**-23 * math.sqrt(10_024))
