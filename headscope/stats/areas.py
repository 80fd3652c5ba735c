"""How much of a concept do the first k heads carry, summed up over k? Areas of cumulative curves, with intervals.

With m(.) the primary outcome and N all heads, faithfulness of a circuit C (the heads left on, all others edited) is
f(C) = (m(C) - m(none)) / (m(N) - m(none)); the share that removing a set S takes away is r(S) = (m(N) - m(N without S))
/ (m(N) - m(none)) = 1 - f(N without S). Means are over templates, shares are ratios of means. Over the share of heads
x = k / n, by trapezoids between the sizes measured:

- ``cpr``: integral of f(C_k), C_k the k heads that lower the concept most when removed. 1 is a concept carried by the
  first head; larger is better.
- ``cmd``: integral of |1 - f(C_k)|, C_k the k heads with the largest effects of either sign. 0 is best.
- ``removed_top``, ``removed_bottom``: integrals of r(S_k), S_k the top k heads, or the k heads with the least effects.

Source: Mueller et al. 2025 (MIB), section 3, for f, CPR and CMD. There a component is an edge and the edit an
interchange; here a component is a head and the edit ``mean``. Sizes are theirs, shares of all components from .001 on;
the area starts at no head, f = 0, because with few heads the part below the first head is not small.

Intervals: delete-one-template jackknife, Student's t with n - 1 degrees of freedom (Efron & Tibshirani 1993, chapter
11). Shares are undefined where editing every head is not shown to change the outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from headscope.stats.clusters import MIN_TEMPLATES, FloatArray, TemplateMeans, equal_weight_mean
from headscope.stats.intervals import t_interval
from headscope.stats.ratios import SMALLEST_WHOLE_NATS
from headscope.tables import TABLES

AREAS = ("cpr", "cmd", "removed_top", "removed_bottom")
CURVE_SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""MIB's grid (Mueller et al. 2025): of its edges there, of a model's heads here."""


def curve_sizes(n_heads: int) -> list[int]:
    """Sizes of the sets that a curve is measured at: ``CURVE_SHARES`` of all heads, to the nearest head, above none."""
    return sorted({size for share in CURVE_SHARES if (size := round(share * n_heads)) > 0})


def areas_table(
    concept: str,
    sizes: Sequence[int],
    top: TemplateMeans,
    bottom: TemplateMeans,
    kept: TemplateMeans,
    *,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """The ``areas`` table of one concept.

    Args:
        concept: its name.
        sizes: from ``curve_sizes``; the last is all heads.
        top: [n_templates, n_sizes], edited - baseline with the top k heads off.
        bottom: the same with the k heads of least effect off; at the last size the same set as ``top``.
        kept: [n_templates, n_sizes - 1], with all but the top k heads off.
        alpha: 1 - level of the intervals.
    """
    n_heads, n = sizes[-1], len(sizes)
    x = np.array([0, *sizes]) / n_heads
    table = np.concatenate([top.means, bottom.means, kept.means], axis=1)
    everything = t_interval(top.select(np.arange(n) == n - 1), alpha)
    shown = bool(everything.low[0] > 0.0 or everything.high[0] < 0.0)
    # A mean beyond t standard errors, t > 1.96, stays beyond t - 1 of them without any one template: no share that the
    # jackknife takes divides by next to nothing.
    shown &= abs(float(everything.low[0] + everything.high[0]) / 2) >= SMALLEST_WHOLE_NATS

    def shares(means: FloatArray) -> dict[str, float]:
        off = means[n - 1]
        removed_top = np.array([0.0, *means[:n]]) / off
        removed_bottom = np.array([0.0, *means[n : 2 * n]]) / off
        faithful = 1.0 - np.array([off, *means[2 * n :], 0.0]) / off
        # The circuit of the n - k largest effects is what is left when the k least are off.
        return {
            "cpr": float(np.trapezoid(faithful, x)),
            "cmd": float(np.trapezoid(np.abs(removed_bottom), x)),
            "removed_top": float(np.trapezoid(removed_top, x)),
            "removed_bottom": float(np.trapezoid(removed_bottom, x)),
        }

    note = "" if shown else "removing every head is not shown to change the outcome, so shares of it are undefined"
    rows: list[tuple[object, ...]] = []
    for area in AREAS:
        found = (np.nan, np.nan, np.nan)
        if shown:
            found = jackknife_interval(table, lambda means, name=area: shares(means)[name], alpha=alpha)
        rows.append((concept, area, *found, n_heads, " ".join(map(str, sizes)), len(table), note))
    return pd.DataFrame(rows, columns=TABLES["areas"].columns)


def jackknife_interval(
    means: Float[FloatArray, "templates values"], statistic: Callable[[FloatArray], float], *, alpha: float = 0.05
) -> tuple[float, float, float]:
    """A statistic of the means over templates, with its delete-one-template interval.

    Returns:
        Estimate, lower and upper limit; the limits are NaN below six templates.

    Source: Efron & Tibshirani 1993, equation 11.5. For the mean itself the interval is Student's.
    """
    n = len(means)
    estimate = statistic(equal_weight_mean(means))
    if n < MIN_TEMPLATES:
        return estimate, np.nan, np.nan
    without = np.array([statistic(equal_weight_mean(np.delete(means, row, axis=0))) for row in range(n)])
    error = np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2))
    half = float(stats.t.isf(alpha / 2, n - 1)) * float(error)
    return estimate, estimate - half, estimate + half
