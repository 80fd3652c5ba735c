"""What these templates can show: smallest detectable effects, smallest reachable p, and how many more would decide.

Power is that of the two-sided t-test on template means with n - 1 degrees of freedom, from the noncentral t, at the
level that is left to one test after the family's correction: alpha / n_tests before a run (Bonferroni, because the
correlation of the heads is not known yet), the max-T critical value after one. Effects are in d, standard deviations
over templates, before a run, and in the outcome's own unit once a standard deviation is known. The unit of every
sample size is the template.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, special, stats

from headscope.errors import RequestError
from headscope.stats.clusters import MIN_TEMPLATES, FloatArray, IntArray

POWER = 0.8
_MOST_TEMPLATES = 10_000_000


def corrected_critical_t(n_templates: int, *, n_tests: float = 1, alpha: float = 0.05) -> float:
    """Two-sided critical t for one of ``n_tests`` tests, Bonferroni; inf below two templates."""
    if n_templates < 2:
        return math.inf
    return -float(special.stdtrit(n_templates - 1, alpha / (2 * n_tests)))


@lru_cache(maxsize=65_536)
def power_of_t(d: float, n_templates: int, critical_t: float) -> float:
    """Chance that |t| exceeds ``critical_t`` where the true mean is ``d`` standard deviations.

    Source: Cohen 1988; the noncentral t distribution with n - 1 degrees of freedom and noncentrality d sqrt(n).
    """
    if n_templates < 2 or math.isinf(critical_t):
        return 0.0
    df, shift = n_templates - 1, abs(d) * math.sqrt(n_templates)
    if shift == 0.0:
        return float(2 * stats.t.sf(critical_t, df))
    upper, lower = float(stats.nct.sf(critical_t, df, shift)), float(stats.nct.cdf(-critical_t, df, shift))
    return min(1.0, upper + (lower if math.isfinite(lower) else 0.0))


@lru_cache(maxsize=4_096)
def smallest_detectable_d(
    n_templates: int,
    *,
    n_tests: float = 1,
    alpha: float = 0.05,
    power: float = POWER,
    critical_t: float | None = None,
) -> float:
    """Smallest effect, in standard deviations over templates, that is found with the given power.

    ``critical_t`` (from max-T) takes the place of Bonferroni's for ``n_tests`` at the family-wise level ``alpha``.

    Returns:
        d > 0; NaN below 6 templates or where the critical value is infinite.
    """
    if not 0.0 < power < 1.0 or not 0.0 < alpha < 1.0 or n_tests < 1:
        raise RequestError(
            "power cannot be computed",
            expected="0 < power < 1, 0 < alpha < 1, n_tests >= 1",
            got=f"power {power}, alpha {alpha}, n_tests {n_tests}",
        )
    critical = corrected_critical_t(n_templates, n_tests=n_tests, alpha=alpha) if critical_t is None else critical_t
    if n_templates < MIN_TEMPLATES or not math.isfinite(critical):
        return math.nan
    if power_of_t(0.0, n_templates, critical) >= power:
        return 0.0
    top = 2.0 * (critical + 5.0) / math.sqrt(n_templates)
    while power_of_t(top, n_templates, critical) < power:
        top *= 2.0
    return float(optimize.brentq(lambda d: power_of_t(d, n_templates, critical) - power, 0.0, top, xtol=1e-10))


def smallest_detectable(
    deviations: Float[FloatArray, " tests"],
    n_templates: Int[IntArray, " tests"],
    critical_t: Float[FloatArray, " tests"],
    *,
    power: float = POWER,
) -> Float[FloatArray, " tests"]:
    """Smallest detectable effect in the outcome's unit, d times the standard deviation over templates.

    NaN where no template varied: that the templates measured agree does not say that any effect would be found.
    """
    pairs = np.stack([n_templates.astype(np.float64), np.round(critical_t, 9)], axis=1)
    distinct, index = np.unique(pairs, axis=0, return_inverse=True)
    d = np.array([_d_or_nan(int(n), float(critical), power) for n, critical in distinct])
    return np.where(deviations > 0.0, d[index.ravel()] * deviations, np.nan)


def _d_or_nan(n_templates: int, critical_t: float, power: float) -> float:
    if not math.isfinite(critical_t):
        return math.nan
    return smallest_detectable_d(n_templates, power=power, critical_t=critical_t)


def templates_for_power(d: float, *, n_tests: float = 1, alpha: float = 0.05, power: float = POWER) -> float:
    """Fewest templates that find an effect of ``d`` standard deviations with the given power at the family's level.

    Never fewer than a sign-flip test needs to reach the level at all. NaN where d is 0 or NaN; inf beyond ten million.
    """
    if math.isnan(d) or d == 0.0:
        return math.nan
    start = max(MIN_TEMPLATES, templates_to_reach(n_tests, alpha))

    def enough(n: int) -> bool:
        return power_of_t(d, n, corrected_critical_t(n, n_tests=n_tests, alpha=alpha)) >= power

    return fewest(enough, start)


def templates_for_interval(
    margin_low: float, margin_high: float, *, n_tests: float = 1, alpha: float = 0.05, power: float = POWER
) -> float:
    """Fewest templates after which a simultaneous interval lies within its margins with the given power.

    Margins are distances from the true effect to the nearer limit, in standard deviations over templates; inf where
    there is no limit on that side.

    Returns:
        A number of templates; NaN where a margin is 0 or less (no number would do), inf beyond ten million.
    """
    if math.isnan(margin_low) or math.isnan(margin_high) or min(margin_low, margin_high) <= 0.0:
        return math.nan
    if math.isinf(margin_low) and math.isinf(margin_high):
        return math.nan

    def enough(n: int) -> bool:
        root, half = math.sqrt(n), corrected_critical_t(n, n_tests=n_tests, alpha=alpha)
        miss = sum(float(special.ndtr(half - margin * root)) for margin in (margin_low, margin_high))
        return 1.0 - miss >= power

    return fewest(enough, max(MIN_TEMPLATES, templates_to_reach(n_tests, alpha)))


def fewest(enough: Callable[[int], bool], start: int) -> float:
    """Smallest n >= start with ``enough(n)``, which must be monotone; inf beyond ten million."""
    low, high = start - 1, start
    while not enough(high):
        low, high = high, high * 2
        if high > _MOST_TEMPLATES:
            return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)


def smallest_reachable_p(n_templates: int) -> float:
    """Smallest two-sided p a sign-flip test of n templates can give: 2 / 2^n. NaN below 6 (no test is made)."""
    return 2.0 ** (1 - n_templates) if n_templates >= MIN_TEMPLATES else math.nan


def smallest_reachable_q(n_templates: int, n_tests: int, n_true: int = 1) -> float:
    """Smallest Benjamini-Hochberg q where ``n_true`` of ``n_tests`` tests reach the smallest p. NaN below 6."""
    smallest = smallest_reachable_p(n_templates)
    return smallest if math.isnan(smallest) else min(1.0, smallest * n_tests / n_true)


def templates_to_reach(n_tests: float = 1, alpha: float = 0.05) -> int:
    """Fewest templates with which one of ``n_tests`` tests can be significant: 2 / 2^n <= alpha / n_tests."""
    return max(MIN_TEMPLATES, math.ceil(1 + math.log2(n_tests / alpha)))


@dataclass(frozen=True)
class Reach:
    """What a design can show before anything is measured; see ``reach``.

    Attributes:
        n_templates: templates of each test.
        n_tests: size of the family.
        smallest_p: of one sign-flip test.
        smallest_q: Benjamini-Hochberg, where one test of the family reaches ``smallest_p``.
        smallest_d: effect found with 80 % power at the family's level, in standard deviations over templates.
        templates_to_reach: fewest templates with which one test can be significant at all.
        templates_for_half_d: fewest templates that find d = .5 with 80 % power.
    """

    n_templates: int
    n_tests: int
    smallest_p: float
    smallest_q: float
    smallest_d: float
    templates_to_reach: int
    templates_for_half_d: float


def reach(n_templates: int, n_tests: int = 1, *, alpha: float = 0.05) -> Reach:
    """Smallest p, q and effect that ``n_templates`` templates can show in a family of ``n_tests``."""
    return Reach(
        n_templates=n_templates,
        n_tests=n_tests,
        smallest_p=smallest_reachable_p(n_templates),
        smallest_q=smallest_reachable_q(n_templates, n_tests),
        smallest_d=smallest_detectable_d(n_templates, n_tests=n_tests, alpha=alpha),
        templates_to_reach=templates_to_reach(n_tests, alpha),
        templates_for_half_d=templates_for_power(0.5, n_tests=n_tests, alpha=alpha),
    )
