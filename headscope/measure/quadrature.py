"""Nodes and weights of the integral over an edit's strength, of which the derivative at strength 0 is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

FloatArray = npt.NDArray[np.float64]


def radau(steps: int) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights, [steps + 1] each, of the Gauss-Radau rule on [0, 1] whose first node is 0.

    Exact for polynomials of degree 2 ``steps``. The other nodes are the roots of the Jacobi polynomial P(0, 1) of that
    degree (Abramowitz & Stegun 1964, 25.4.31).
    """
    if steps == 0:
        return np.zeros(1), np.ones(1)
    roots, weights = special.roots_jacobi(steps, 0.0, 1.0)
    first = 1.0 / (steps + 1) ** 2
    return np.array([0.0, *(1.0 + roots) / 2.0]), np.array([first, *weights / (1.0 + roots) / 2.0])


def has_sum(steps: int) -> bool:
    """Whether all heads are also edited at once: one step ranks heads, and only more come near their sum."""
    return steps > 1
