"""Would other prompts have given the same ranking and the same verdicts?

1. ``split_half``: correlate the heads' effects between random halves of the templates; Spearman-Brown steps the
   correlation of halves up to all templates, 2r / (1 + r).
2. ``top_k_jaccard``: resample templates with replacement; how much of the top k stays.
3. ``leave_one_template_out``: drop each template in turn; does the simultaneous interval still give the same answer
   (causal, no effect, undecided)?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from headscope.errors import RequestError
from headscope.random_streams import generator
from headscope.stats.clusters import (
    MIN_TEMPLATES,
    FamilyBlock,
    FloatArray,
    equal_weight_mean,
    stack,
    standard_deviation,
    template_means,
)
from headscope.stats.resampling import flip_test
from headscope.tables import TABLES


@dataclass(frozen=True)
class Reliability:
    """A mean over random splits or resamples, with the range that holds 95 % of them (not a confidence interval)."""

    value: float
    low: float
    high: float


def spearman_brown(r: Float[FloatArray, "*tests"] | float) -> Float[FloatArray, ...]:
    """Reliability of the whole from the correlation of its halves, 2r / (1 + r) (Spearman 1910; Brown 1910)."""
    half = np.asarray(r, dtype=np.float64)
    return np.where(half > -1.0, 2 * half / np.where(half > -1.0, 1 + half, 1.0), -np.inf)


def split_half(
    means: Float[FloatArray, "templates heads"], *, seed: int, name: str = "", n_splits: int = 1_000
) -> tuple[float, Reliability]:
    """Correlation of the heads' effects between halves of the templates.

    Heads with a missing template are left out; ``name`` distinguishes several rankings.

    Returns:
        The mean Pearson correlation of halves, and its Spearman-Brown correction with the range over splits. NaN
        below six templates or three heads, or where effects do not vary.
    """
    values = means[:, ~np.isnan(means).any(axis=0)]
    n_templates, n_heads = values.shape
    nothing = Reliability(np.nan, np.nan, np.nan)
    if n_templates < MIN_TEMPLATES or n_heads < 3 or np.ptp(values.mean(axis=0)) == 0.0:
        return np.nan, nothing
    rng = generator(seed, "split_half", name)
    first = np.argsort(rng.random((n_splits, n_templates)), axis=1) < n_templates // 2
    halves = [_centred(mask @ values / mask.sum(axis=1, keepdims=True)) for mask in (first * 1.0, ~first * 1.0)]
    lengths = [np.sqrt(np.sum(half**2, axis=1)) for half in halves]
    proper = (lengths[0] > 0.0) & (lengths[1] > 0.0)
    if not proper.any():
        return np.nan, nothing
    r = np.sum(halves[0] * halves[1], axis=1)[proper] / (lengths[0] * lengths[1])[proper]
    average = float(np.mean(r))
    whole = np.quantile(r, [0.025, 0.975])
    # The correction is applied to the mean correlation: corrected single splits are unbounded below.
    return average, Reliability(*(float(spearman_brown(value)) for value in (average, *whole)))


def _centred(rows: FloatArray) -> FloatArray:
    return rows - rows.mean(axis=1, keepdims=True)


def top_k_jaccard(
    means: Float[FloatArray, "templates heads"], k: int, *, seed: int, name: str = "", n_resamples: int = 1_000
) -> Reliability:
    """How much of the top k by |mean effect| returns when templates are resampled with replacement.

    A missing template is left out of a head's mean; ``name`` distinguishes several rankings.

    Returns:
        Jaccard index with the top k of all templates: mean and range over resamples. NaN below six templates.

    Raises:
        RequestError: ``k`` is not between 1 and the number of heads.
    """
    n_templates, n_heads = means.shape
    if not 1 <= k <= n_heads:
        raise RequestError("the top k is larger than the number of heads", expected=f"1 to {n_heads}", got=f"{k}")
    if n_templates < MIN_TEMPLATES:
        return Reliability(np.nan, np.nan, np.nan)
    rng = generator(seed, "top_k_jaccard", name)
    weights = rng.multinomial(n_templates, np.full(n_templates, 1 / n_templates), size=n_resamples).astype(np.float64)
    present = ~np.isnan(means)
    count = weights @ present
    resampled = np.where(count > 0, weights @ np.where(present, means, 0.0) / np.maximum(count, 1.0), 0.0)
    chosen = np.zeros(n_heads, dtype=bool)
    chosen[_top(np.nan_to_num(equal_weight_mean(means))[None, :], k)[0]] = True
    shared = chosen[_top(resampled, k)].sum(axis=1)
    jaccard = shared / (2 * k - shared)
    low, high = np.quantile(jaccard, [0.025, 0.975])
    return Reliability(float(jaccard.mean()), float(low), float(high))


def _top(rows: FloatArray, k: int) -> np.ndarray:
    return np.argsort(-np.abs(rows), axis=1, kind="stable")[:, :k]


def reliability_table(
    blocks: Mapping[str, FamilyBlock], by: str, *, seed: int, k: int = 10, n_resamples: int = 1_000
) -> pd.DataFrame:
    """One row a concept: split-half reliability of its ranking and stability of its top k.

    ``blocks``: concept -> the single-head effects (``by`` "effect") or screening differences ("screen") of its prompts.
    """
    rows: list[tuple[object, ...]] = []
    for concept, block in blocks.items():
        means = template_means(block.deltas, block.templates).means
        size = min(k, means.shape[1])
        r, whole = split_half(means, seed=seed, name=concept, n_splits=n_resamples)
        overlap = top_k_jaccard(means, size, seed=seed, name=concept, n_resamples=n_resamples)
        values = (concept, by, means.shape[1], means.shape[0], r, whole.value, whole.low, whole.high)
        rows.append((*values, size, overlap.value, overlap.low, overlap.high))
    return pd.DataFrame(rows, columns=TABLES["reliability"].columns)


def leave_one_template_out(
    blocks: Sequence[FamilyBlock], thresholds: Sequence[float], *, seed: int, alpha: float = 0.05, family: str
) -> pd.DataFrame:
    """Does any single template decide what the simultaneous intervals say?

    The level that max-T leaves to one test is estimated on all templates and kept for each subset.

    ``thresholds``: for each block, the smallest effect that matters, in the unit of its deltas.

    Returns:
        Key columns, ``answer`` (causal, no effect, undecided), ``stable_share`` of the templates without which the
        answer stays, ``changes_without`` (comma-joined). Tests below seven templates: NaN and an empty string.
    """
    if len(thresholds) != len(blocks):
        raise RequestError("not every block has a threshold", expected=f"{len(blocks)}", got=f"{len(thresholds)}")
    table = stack(blocks)
    limit = np.concatenate([np.full(len(b.keys), t) for b, t in zip(blocks, thresholds, strict=True)])
    n = table.n_templates
    level = np.full(len(n), np.nan)
    tested = n >= MIN_TEMPLATES
    if tested.any():
        flips = flip_test(table.means[:, tested], generator(seed, "sign_flips", family), alpha=alpha)
        level[tested] = stats.t.sf(flips.critical_t, n[tested] - 1)
    answer = _answers(table.means, level, limit)
    same = np.zeros(len(n))
    differs: list[list[str]] = [[] for _ in range(len(n))]
    for row, label in enumerate(table.labels):
        takes_part = ~np.isnan(table.means[row])
        without = _answers(np.delete(table.means, row, axis=0), level, limit)
        equal = without == answer
        same += takes_part & equal
        for test in np.flatnonzero(takes_part & ~equal):
            differs[test].append(label)
    usable = n > MIN_TEMPLATES
    rows = pd.DataFrame([dict(key) for block in blocks for key in block.keys])
    rows["answer"] = np.where(tested, answer, "")
    rows["stable_share"] = np.where(usable, same / np.maximum(n, 1), np.nan)
    rows["changes_without"] = [",".join(labels) if ok else "" for labels, ok in zip(differs, usable, strict=True)]
    return rows


def _answers(means: Float[FloatArray, "templates tests"], level: FloatArray, limit: FloatArray) -> np.ndarray:
    n = np.sum(~np.isnan(means), axis=0)
    estimate = equal_weight_mean(means)
    half = stats.t.isf(level, np.maximum(n - 1, 1)) * standard_deviation(means) / np.sqrt(np.maximum(n, 1))
    beyond = (estimate - half > limit) | (estimate + half < -limit)
    inside = (estimate - half > -limit) & (estimate + half < limit)
    return np.where(beyond, "causal", np.where(inside, "no effect", "undecided"))
