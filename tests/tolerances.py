"""How far numbers may differ that are computed in two ways: bounds of ``headscope.rounding`` for what tests compare.

*Logits, shares of attention, z*: in units of the largest value compared, where that exceeds 1, ``tolerance_of`` the
model x the condition of its head. *Log-odds*: logsumexp passes on the error of a logit, and there are two: 2 x the
error x the largest logit; so are negative log-likelihoods. *Effects*, and divergences of two arms: differences of two
such: twice that.

Statistics are float64 throughout. The default tolerances of pytest.approx (1e-6) and assert_allclose (1e-7, relative)
lie more than eight decades above its ε: no rounding of a well-conditioned sum over prompts, tests or flips gets there,
and no fault stays below. So they stand without a word; any other tolerance is a name from here or bears its reason.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from headscope.models.head_model import HeadModel
from headscope.models.law_rows import made_up_sequences, rows_alone, tolerance_of
from headscope.models.windows import smallest_window
from headscope.rounding import pass_bound, sum_bound

N_TOKENS = 64
"""Tokens of the longest row the tests compare."""

TINY = pass_bound(n_layers=4, n_terms=1024, dtype="float32")
"""Of every tiny model in tests/laws/families.py, of which none has more layers or sums more terms in one."""

FLOAT64 = sum_bound(10**4, largest=10**4)
"""float64, 2e-9: sums of up to 10^4 terms whose values x condition do not exceed 10^4 (gradients of tiny models)."""

FLOAT64_SUM = sum_bound(10**6)
"""float64, 2e-12, relative: sums of up to 10^6 terms, and what follows from them without loss (means, p-values)."""


DESIGN = 0.005
"""Relative, of effects in the hand-set worlds: what heads write moves the norm of the stream, by which the next norm
divides, by less than 0.002 (test_hand_set_model.py proves it), and two norms follow most writers."""


def close(got: Any, expected: Any, error: float | HeadModel) -> bool:
    """Whether logits, shares or z agree within ``error`` (that of a model's pass) x max(1, the largest expected)."""
    relative = pass_error(error) if isinstance(error, HeadModel) else error
    first, second = (np.asarray(x.detach().double().cpu() if torch.is_tensor(x) else x, float) for x in (got, expected))
    largest = float(np.abs(second[np.isfinite(second)]).max(initial=1.0))
    return first.shape == second.shape and np.allclose(first, second, rtol=0.0, atol=relative * largest, equal_nan=True)


@functools.cache
def pass_error(model: HeadModel) -> float:
    """Largest difference of a logit, share or z between two passes, in units of the largest."""
    return _made_up(model)[1] * tolerance_of(model, n_tokens=N_TOKENS)


@functools.cache
def largest_logit(model: HeadModel) -> float:
    """Of the load check's made-up rows; at least 1."""
    return max(1.0, *(float(logits.abs().max()) for logits in _made_up(model)[0]))


def _made_up(model: HeadModel) -> tuple[list[torch.Tensor], float]:
    """Logits of the load check's made-up rows, and the condition of the model's head there."""
    return rows_alone(model, made_up_sequences(model, smallest_window(model)))


def nats_error(model: HeadModel) -> float:
    """Largest difference of log-odds or of a negative log-likelihood, nats."""
    return 2.0 * pass_error(model) * largest_logit(model)


def effect_error(model: HeadModel) -> float:
    """Largest difference of an effect in nats, or of a divergence of two arms."""
    return 2.0 * nats_error(model)


def limit_error(error: Any, n_templates: Any, critical: Any) -> Any:
    """Of mean ± critical s / √n where each of n values errs by at most ``error``.

    s / √n = ‖x - mean‖ / √(n (n - 1)) moves by at most ‖error‖ / √(n (n - 1)), and ‖error‖ <= error √n.
    """
    return error * (1.0 + critical / np.sqrt(n_templates - 1.0))
