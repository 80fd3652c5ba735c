"""Sign-flip permutation of template means, for one test or a whole family, with Westfall-Young step-down max-T.

1. Under the null a template's mean effect is symmetric about 0, so its sign may be flipped. A template flips once for
   every test that uses it, which keeps the dependence between heads and between concepts that share templates.
2. The statistic is the self-normalised sum T = |sum y| / sqrt(sum y^2) over templates. Flips leave sum y^2 unchanged,
   so T is a monotone function of Student's t, T^2 = n t^2 / (n - 1 + t^2): studentised, and with a variance of
   exactly 1 under flipping for any number of templates, so tests with few templates cannot swamp the maximum.
3. All distinct flips are used where that is affordable, else seeded random ones; p = (b + 1) / (m + 1), never 0.
4. Step-down: tests in descending order of T; the k-th is compared with the maximum over itself and all tests after
   it; p-values are made monotone (Westfall & Young 1993, algorithm 4.1).
5. The critical value of simultaneous intervals is a quantile of the same maximum over flips of the *centred* template
   means, a Rademacher wild bootstrap of the studentised means (Chernozhukov, Chetverikov & Kato 2013), because an
   interval is about the true effect, not about 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from headscope.stats.clusters import FloatArray, IntArray, equal_weight_mean

MAX_EXACT_FLIPS = 2**15
MIN_FLIPS = 9_999
_DRAWN_AT_ONCE = 4_096  # fixed, so that the stream of signs does not depend on the size of the family
_VALUES_AT_ONCE = 2**19  # 4 MiB of float64: stays in the processor's cache
_FLIPS_BEYOND_QUANTILE = 1_000  # the quantile of the maximum then has a standard error of 3 % of its own tail
_MOST_FLIPS_OF_A_QUANTILE = 2**17
"""A group of a few of many tests (heads whose values are missing on some templates) would ask for millions of flips.
With fewer its quantile is coarser, and the interval is the whole line where not even the largest maximum reaches it:
too wide, never too narrow, since the observed signs are counted among the flips."""
_TIE = 1e-9  # relative; statistics this close count as equal, which errs on the large side of p


@dataclass(frozen=True)
class FlipTest:
    """What flipping the signs of a family's template means gives.

    Attributes:
        p_value: each test alone, two-sided.
        p_max_t: step-down max-T adjusted over the family; NaN where not asked for.
        critical_t: multiples of the standard error that make intervals simultaneous; NaN where not asked
            for, inf where a test has too few templates to be bounded at this level.
        n_flips: flips compared with, the observed signs counted among them where exact.
        exact: True where every distinct flip was used.
    """

    p_value: Float[FloatArray, " tests"]
    p_max_t: Float[FloatArray, " tests"]
    critical_t: Float[FloatArray, " tests"]
    n_flips: int
    exact: bool


def flips_needed(n_tests: int, alpha: float = 0.05) -> int:
    """Random flips for a family of ``n_tests``: at least 20 n_tests / .05, so that one p can survive Bonferroni."""
    return max(MIN_FLIPS, math.ceil(20 * n_tests / alpha))


def flip_test(
    means: Float[FloatArray, "templates tests"],
    rng: np.random.Generator,
    *,
    alpha: float = 0.05,
    simultaneous: bool = True,
    step_down: bool = True,
    n_flips: int | None = None,
) -> FlipTest:
    """Test every column of template means against 0 by flipping the signs of whole templates.

    Args:
        means: NaN where a template does not take part in a test.
        rng: source of the random flips; not used where the test is exact.
        alpha: level of the simultaneous intervals.
        simultaneous: also give ``critical_t`` and, with ``step_down``, ``p_max_t``.
        step_down: False leaves out ``p_max_t``, most of the work of a large family, where only intervals are read.
        n_flips: number of random flips; default ``flips_needed`` for p, 1,000 / alpha for the critical value.

    Returns:
        FlipTest. A column of zeros has p = 1.

    Source: Westfall & Young 1993; Winkler et al. 2014 (NeuroImage 92) for sign-flips of whole exchangeable units.
    """
    n_tests = means.shape[1]
    m = flips_needed(n_tests, alpha) if n_flips is None else n_flips
    values = np.where(np.isnan(means), 0.0, means)
    values = values[np.any(values != 0.0, axis=1)]  # a template without any effect has no sign to flip
    n_rows = values.shape[0]
    exact = n_rows <= 1 or 2 ** (n_rows - 1) <= max(MAX_EXACT_FLIPS // 2, m)
    if n_rows == 0:
        ones = np.ones(n_tests)
        nothing = np.full(n_tests, np.nan)
        return FlipTest(ones, ones.copy() if simultaneous else nothing, nothing, 1, exact=True)
    unit = _unit_columns(values)
    observed = np.abs(unit.sum(axis=0))
    order = np.argsort(observed, kind="stable")  # ascending: the running maximum then starts at the smallest
    threshold = observed[order] * (1.0 - _TIE)
    weights = np.ascontiguousarray(unit[:, order].T)
    single = np.zeros(n_tests, dtype=np.int64)
    stepwise = np.zeros(n_tests, dtype=np.int64)
    total = 0
    for signs in _sign_blocks(n_rows, m, exact, rng):
        for statistics in _products(weights, signs):
            np.abs(statistics, out=statistics)
            single += _count_reaching(statistics, threshold)
            if simultaneous and step_down:
                np.maximum.accumulate(statistics, axis=0, out=statistics)
                stepwise += _count_reaching(statistics, threshold)
        total += signs.shape[1]
    extra = 0 if exact else 1  # the observed signs are one of the exact flips, and are added to the random ones
    p_value, p_max_t = np.empty(n_tests), np.full(n_tests, np.nan)
    p_value[order] = (single + extra) / (total + extra)
    critical = np.full(n_tests, np.nan)
    if simultaneous and step_down:
        adjusted = (stepwise + extra) / (total + extra)
        p_max_t[order] = np.maximum.accumulate(adjusted[::-1])[::-1]
    if simultaneous:
        critical = _critical_t(means, rng, alpha, n_flips)
    return FlipTest(p_value, p_max_t, critical, total + extra, exact)


def _critical_t(
    means: Float[FloatArray, "templates tests"], rng: np.random.Generator, alpha: float, n_flips: int | None
) -> Float[FloatArray, " tests"]:
    """Simultaneous critical values on the scale of t.

    Tests with the same number of templates share one maximum; where a family has several such groups, each gets its
    share of alpha (Bonferroni between groups, max-T within), because a maximum over statistics with different
    degrees of freedom would be ruled by the smallest.
    """
    count = np.sum(~np.isnan(means), axis=0)
    centred = np.where(np.isnan(means), 0.0, means - equal_weight_mean(means))
    unit = _unit_columns(centred, reference=np.where(np.isnan(means), 0.0, means))
    n_rows = means.shape[0]
    sizes, group = np.unique(count, return_inverse=True)
    share = np.bincount(group) / len(group)
    wanted = min(_FLIPS_BEYOND_QUANTILE / (alpha * share.min()), _MOST_FLIPS_OF_A_QUANTILE)
    m = math.ceil(wanted) if n_flips is None else n_flips
    exact = 2 ** (n_rows - 1) <= max(MAX_EXACT_FLIPS // 2, m)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(sizes)))
    weights = np.ascontiguousarray(unit[:, order].T)
    maxima: list[FloatArray] = []
    for signs in _sign_blocks(n_rows, m, exact, rng):
        for statistics in _products(weights, signs):
            np.abs(statistics, out=statistics)
            maxima.append(np.maximum.reduceat(statistics, starts, axis=0))
    pooled = np.sort(np.concatenate(maxima, axis=1), axis=1)
    critical = np.empty(means.shape[1])
    for g, size in enumerate(sizes):
        level = alpha * float(share[g])
        total = pooled.shape[1]
        rank = math.ceil((1.0 - level) * (total if exact else total + 1))
        largest = pooled[g, rank - 1] if rank <= total else math.inf
        critical[group == g] = _t_from_statistic(float(largest), int(size))
    return critical


def _t_from_statistic(statistic: float, n_templates: int) -> float:
    """Student's t of the self-normalised sum ``statistic`` of ``n_templates`` values; inf at its upper bound."""
    room = n_templates - statistic**2
    if room <= _TIE * n_templates:
        return math.inf
    return math.sqrt((n_templates - 1) * statistic**2 / room)


def _unit_columns(values: FloatArray, reference: FloatArray | None = None) -> FloatArray:
    """Columns scaled to length 1; a column that is 0 (within rounding of ``reference``) becomes exactly 0."""
    length = np.sqrt(np.sum(values**2, axis=0))
    floor = 0.0 if reference is None else 1e-12 * np.sqrt(np.sum(reference**2, axis=0))
    return np.where(length > floor, values / np.where(length > floor, length, 1.0), 0.0)


def _sign_blocks(n_rows: int, m: int, exact: bool, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Blocks [n_rows, n_flips] of signs. Exact: the first sign stays, because T is the same for -signs."""
    total = 2 ** (n_rows - 1) if exact else m
    for start in range(0, total, _DRAWN_AT_ONCE):
        width = min(_DRAWN_AT_ONCE, total - start)
        if exact:
            bits: NDArray[np.integer] = (np.arange(start, start + width)[None, :] >> np.arange(n_rows)[:, None]) & 1
        else:
            bits = rng.integers(0, 2, size=(_DRAWN_AT_ONCE, n_rows), dtype=np.int8)[:width].T
        yield np.ascontiguousarray(1.0 - 2.0 * bits, dtype=np.float64)


def _products(weights: FloatArray, signs: FloatArray) -> Iterator[FloatArray]:
    """Signed sums [n_tests, some flips] of ``weights`` [n_tests, n_rows], a cache-sized piece at a time.

    Each piece is new and may be written into.
    """
    step = max(64, _VALUES_AT_ONCE // max(1, weights.shape[0]))
    for start in range(0, signs.shape[1], step):
        yield weights @ signs[:, start : start + step]


def _count_reaching(statistics: FloatArray, threshold: FloatArray) -> IntArray:
    return np.asarray(np.sum(statistics >= threshold[:, None], axis=1), dtype=np.int64)
