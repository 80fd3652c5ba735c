"""What share of a gap is recovered: a ratio of two means over templates, with Fieller's interval.

Numerator and denominator are measured on the same templates, so their covariance counts. The interval holds every
ratio r that a t-test of mean(numerator - r denominator) = 0 would not reject (Fieller 1954; Franz 2007). Where the
denominator's own mean is not shown to differ from 0 no bounded interval has that level, and both ends are NaN. A share
of next to nothing is no number: below ``SMALLEST_WHOLE_NATS`` all three are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from headscope.stats.clusters import MIN_TEMPLATES, FloatArray, equal_weight_mean

SMALLEST_WHOLE_NATS = 0.01
"""Gap or effect of which a share is still taken. Log-odds agree between two machines within about 1e-3 nats
(``rounding.pass_bound`` x twice a largest logit of ten), so a share of this within a tenth, and of less worse."""


@dataclass(frozen=True)
class Ratio:
    """Ratios of means with their intervals."""

    estimate: Float[FloatArray, " tests"]
    low: Float[FloatArray, " tests"]
    high: Float[FloatArray, " tests"]


def fieller_ratio(
    numerator: Float[FloatArray, "templates tests"],
    denominator: Float[FloatArray, "templates tests"],
    alpha: float = 0.05,
) -> Ratio:
    """Mean of ``numerator`` / mean of ``denominator``, test by test.

    Both are template means in nats; NaN where a template takes no part.

    Returns:
        The estimate is NaN where the denominator's mean is below ``SMALLEST_WHOLE_NATS`` in size; the interval also
        where it is unbounded, and below six templates.

    Source: Fieller 1954, J. R. Stat. Soc. B 16; Franz 2007, arXiv:0710.2024.
    """
    both = ~(np.isnan(numerator) | np.isnan(denominator))
    x, y = np.where(both, numerator, np.nan), np.where(both, denominator, np.nan)
    n = both.sum(axis=0).astype(np.float64)
    mean_x, mean_y = equal_weight_mean(x), equal_weight_mean(y)
    known = np.abs(mean_y) >= SMALLEST_WHOLE_NATS
    usable = known & (n >= MIN_TEMPLATES)
    size = np.where(usable, n, MIN_TEMPLATES)
    scale = 1.0 / (size * (size - 1.0))  # of sums of squares, to (co)variances of the means
    off_x, off_y = np.where(both, x - mean_x, 0.0), np.where(both, y - mean_y, 0.0)
    v_xx, v_yy, v_xy = ((a * b).sum(axis=0) * scale for a, b in ((off_x, off_x), (off_y, off_y), (off_x, off_y)))
    square = stats.t.isf(alpha / 2, size - 1.0) ** 2
    # The ends are the roots of a r^2 - 2 b r + c; a > 0 says that the denominator's mean is shown to differ from 0.
    a, b, c = mean_y**2 - square * v_yy, mean_x * mean_y - square * v_xy, mean_x**2 - square * v_xx
    bounded = usable & (a > 0.0)
    safe = np.where(bounded, a, 1.0)
    half = np.sqrt(np.maximum(np.where(bounded, b**2 - a * c, 0.0), 0.0))
    estimate = np.where(known, mean_x / np.where(known, mean_y, 1.0), np.nan)
    return Ratio(estimate, np.where(bounded, (b - half) / safe, np.nan), np.where(bounded, (b + half) / safe, np.nan))
