"""How far two computations of one number may differ because floats round: where every tolerance comes from.

1. *Sums.* A sum of n terms errs, in whatever order it is added, by about u √n times its largest magnitude, u = ε / 2
   being the unit roundoff: the errors of single operations are independent and of mean 0 (Higham & Mary 2019, SIAM J.
   Sci. Comput. 41; the certain bound has n in place of √n). Two computations differ by twice that, ε √n.
2. *A pass of a model*: the stream is the sum of what its layers add, and each of these errs relative to its own size,
   so beside the stream their errors are those of one layer, however many there are; what grows with depth are the
   sums into the stream, two a layer. n counts the terms of a layer, of the logits, and those. In half precision sums
   run in float32 and results are stored in half: there n counts stored results, and sums have float32's ε.
3. *What follows* multiplies an error by its condition: a quotient by r by 1 / r, the logarithm of p by 1 / p, a
   logsumexp by 1, a difference of two by 2.

``MARGIN`` multiplies all of them: partly derived, partly an allowance; see there.
"""

from __future__ import annotations

import math

EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Spacing of the floats above 1, ε = 2 u, by the name of the type."""

MARGIN = 8.0
"""c in c ε √n · largest: 1/2 · 16. The difference of two computations of a sum has at most a standard deviation of half
of ε √n times that of the sums, and of many the largest stand to each other likewise: 1/2. What follows multiplies an
error by a condition that no tolerance can know; 16 is allowed. A softmax over scores of size s turns a relative error
of a query, or of a key, into one of its shares that is s times as large: 8 for each, for heads as sharp as exp(8).
The 16 is an allowance, settled after 2 and 4 (with other counts of n) had been measured on the tests' families: with 2
the widest of them came to .86 of the bound in float16. With 8 in all they reach .15 of it in float32, .29 in half."""

STORED_PER_LAYER = 10
"""Results a layer stores on the way to the stream: for attention and feed-forward each a norm, what is projected from
it, what is made of that, its projection back, and the sum."""

LARGEST_SHARE = 0.1
"""No tolerance of a pass exceeds a tenth of the largest logit, which a wrong head or position moves as well: a model in
which rounding does is no model to measure in that type."""


def sum_bound(n_terms: float, largest: float = 1.0, dtype: str = "float64") -> float:
    """Largest difference of two sums of ``n_terms`` terms, the largest partial sum being ``largest``.

    Args:
        n_terms: terms added on the way; of sums that feed sums, all of them.
        largest: largest magnitude; the bound has its unit.
        dtype: a key of ``EPSILON``.
    """
    return MARGIN * EPSILON[dtype] * math.sqrt(n_terms) * largest


def pass_bound(n_layers: int, n_terms: int, dtype: str) -> float:
    """Largest difference of a logit between two forms of a pass, in units of the largest logit.

    Args:
        n_layers: attention layers.
        n_terms: terms summed in a layer and for a logit.
        dtype: type of weights and stored results, a key of ``EPSILON``.
    """
    if dtype in ("float32", "float64"):
        bound = sum_bound(n_terms + 2 * n_layers, dtype=dtype)
    else:
        stored = sum_bound(STORED_PER_LAYER + 2 * n_layers + 2, dtype=dtype)  # 2: the embedding and the logits
        bound = math.hypot(stored, sum_bound(n_terms, dtype="float32"))
    return min(bound, LARGEST_SHARE)
