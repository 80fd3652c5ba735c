"""False discovery rate within a named family (Benjamini & Hochberg 1995), missing p-values left out.

scipy does the arithmetic; this module decides what a family's size is: the tests that have a p-value.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import false_discovery_control

from headscope.errors import RequestError
from headscope.stats.clusters import FloatArray


def benjamini_hochberg(p_values: Float[FloatArray, "*tests"]) -> Float[FloatArray, "*tests"]:
    """Adjusted p-values (q-values) of one family.

    p is in (0, 1]; NaN is no test: it stays NaN and does not count towards the family.

    Raises:
        RequestError: a p-value is outside (0, 1]. A p of 0 is a claim no test of finite data can make.
    """
    p = np.asarray(p_values, dtype=np.float64)
    tested = ~np.isnan(p)
    if np.any((p[tested] <= 0.0) | (p[tested] > 1.0)):
        raise RequestError("a p-value is outside (0, 1]", got=f"{np.min(p[tested])} to {np.max(p[tested])}")
    q = np.full(p.shape, np.nan)
    if tested.any():
        q[tested] = false_discovery_control(p[tested], method="bh")
    return q
