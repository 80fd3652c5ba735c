"""Intervals for the mean over templates.

1. ``t_interval``: mean +- t s / sqrt(n) on template means. For an equal-weight mean the cluster-robust variance with
   the CR2 correction (Bell & McCaffrey 2002; Pustejovsky & Tipton 2018) *is* s^2 / n, whatever the numbers of prompts
   (a template's leverage is 1 / n); what unbalance changes is the degrees of freedom, taken by Satterthwaite's
   formula under independent prompts, v_g proportional to 1 / prompts of g. Balanced: exactly n - 1.
2. ``simultaneous_interval``: the same standard error times the max-T critical value of ``resampling.flip_test``.
3. ``bootstrap_t_interval``: studentised cluster bootstrap, for skewed outcomes and at least 30 templates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from headscope.errors import RequestError
from headscope.stats.clusters import FloatArray, IntArray, TemplateMeans, equal_weight_mean, standard_deviation

MIN_TEMPLATES_BOOTSTRAP = 30


@dataclass(frozen=True)
class Interval:
    """Two-sided intervals; NaN where there are fewer than two templates."""

    low: Float[FloatArray, " tests"]
    high: Float[FloatArray, " tests"]


def standard_error(means: Float[FloatArray, "templates tests"]) -> Float[FloatArray, " tests"]:
    """s / sqrt(n) over templates, the CR2 standard error of the equal-weight mean."""
    count = np.sum(~np.isnan(means), axis=0)
    return standard_deviation(means) / np.sqrt(np.where(count > 0, count, 1))


def satterthwaite_df(counts: Int[IntArray, "templates tests"]) -> Float[FloatArray, " tests"]:
    """Degrees of freedom of the CR2 standard error of an equal-weight mean of template means.

    With M = I - 11'/n and D = diag(1 / prompts of each template), the working covariance of the template means,
    df = tr(MD)^2 / tr(MDMD). Equal numbers of prompts give n - 1.

    ``counts``: prompts of each template; 0 is a template that takes no part.

    Source: Bell & McCaffrey 2002; Pustejovsky & Tipton 2018, equation 10, working model = independent prompts.
    """
    d = np.where(counts > 0, 1.0 / np.where(counts > 0, counts, 1), 0.0)
    n = np.sum(counts > 0, axis=0).astype(np.float64)
    n = np.where(n > 1, n, np.nan)
    first, second = d.sum(axis=0), (d**2).sum(axis=0)
    trace = first * (1 - 1 / n)
    trace_square = second * (1 - 2 / n) + (first / n) ** 2
    return trace**2 / trace_square


def t_interval(table: TemplateMeans, alpha: float = 0.05) -> Interval:
    """Intervals of level 1 - alpha for each test on its own, from Student's t on template means."""
    estimate = equal_weight_mean(table.means)
    half = stats.t.isf(alpha / 2, satterthwaite_df(table.counts)) * standard_error(table.means)
    return Interval(estimate - half, estimate + half)


def simultaneous_interval(
    means: Float[FloatArray, "templates tests"], critical_t: Float[FloatArray, " tests"]
) -> Interval:
    """Intervals that hold for all tests of a family at once.

    Where ``critical_t`` (of ``resampling.flip_test``) is infinite the interval is the whole line, except where the
    template means do not vary at all.
    """
    estimate, error = equal_weight_mean(means), standard_error(means)
    half = np.where(error == 0.0, 0.0, np.where(error == 0.0, 1.0, error) * critical_t)
    return Interval(estimate - half, estimate + half)


def bootstrap_t_interval(
    means: Float[FloatArray, "templates tests"],
    rng: np.random.Generator,
    *,
    alpha: float = 0.05,
    n_resamples: int = 4_999,
) -> Interval:
    """Studentised bootstrap over templates: (mean - q_high se, mean - q_low se), q from (mean* - mean) / se*.

    Unlike t it is not symmetric, so it follows skewed effects (counts, divergences). NaN below 30 templates: there
    its quantiles rest on a handful of distinct values.

    ``means`` is NaN where a template takes no part; all tests share the resamples.

    Source: Hall 1992, section 3.2; Cameron, Gelbach & Miller 2008 for clusters.
    """
    if not 0.0 < alpha < 1.0:
        raise RequestError("the level of an interval is impossible", expected="0 < alpha < 1", got=f"{alpha}")
    n_rows, n_tests = means.shape
    present = ~np.isnan(means)
    estimate, error = equal_weight_mean(means), standard_error(means)
    centred = np.where(present, means - estimate, 0.0)
    low, high = np.full(n_tests, np.nan), np.full(n_tests, np.nan)
    usable = present.sum(axis=0) >= MIN_TEMPLATES_BOOTSTRAP
    flat = usable & (error == 0.0)
    low[flat], high[flat] = estimate[flat], estimate[flat]
    usable &= error > 0.0
    if not usable.any():
        return Interval(low, high)
    weights = rng.multinomial(n_rows, np.full(n_rows, 1.0 / n_rows), size=n_resamples).astype(np.float64)
    step = max(1, 2**22 // n_resamples)
    columns = np.flatnonzero(usable)
    for start in range(0, len(columns), step):
        part = columns[start : start + step]
        count = weights @ present[:, part]
        shift = weights @ centred[:, part] / np.maximum(count, 1.0)
        spread = weights @ centred[:, part] ** 2 / np.maximum(count, 1.0) - shift**2
        squared_error = spread / np.maximum(count - 1.0, 1.0)
        # A resample without spread (up to rounding) says nothing about the shape of t; the others give the quantiles.
        proper = squared_error > 1e-10 * error[part] ** 2
        t = np.where(proper, shift / np.sqrt(np.where(proper, squared_error, 1.0)), np.nan)
        quantiles = np.nanquantile(t, [alpha / 2, 1 - alpha / 2], axis=0)
        low[part] = estimate[part] - quantiles[1] * error[part]
        high[part] = estimate[part] - quantiles[0] * error[part]
    return Interval(low, high)
