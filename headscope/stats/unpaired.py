"""Difference of two classes of prompts that are not paired: the Phase 6 study's own comparison.

The estimate is the plain difference of means over prompts, as the study has it. Its standard error is cluster-robust
with the CR2 correction, templates that occur in both classes being one cluster; degrees of freedom are Satterthwaite's
under independent prompts; p and interval come from t. In this two-column design CR2 has a closed form: the residuals
of class c in cluster g shrink the hat matrix's block to n_cg / N_c, so their sum is divided by sqrt(1 - n_cg / N_c).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from headscope.errors import RequestError
from headscope.stats.clusters import MIN_TEMPLATES, FloatArray
from headscope.stats.effects import ROW_COLUMNS
from headscope.stats.multiplicity import benjamini_hochberg
from headscope.stats.power import smallest_detectable

_SMALLEST_P = float(np.finfo(np.float64).tiny)


def unpaired_rows(
    values: NDArray[np.floating],
    controls: NDArray[np.floating],
    templates: Sequence[str],
    control_templates: Sequence[str],
    *,
    alpha: float = 0.05,
    family: str,
    tolerance: float = 1e-6,
    n_simultaneous: int | None = None,
) -> pd.DataFrame:
    """Mean of ``values`` minus mean of ``controls`` for each test, with CR2 intervals and p-values.

    ``values`` is [n_prompts, n_tests] and ``controls`` [n_controls, n_tests]; template ids that both have are one
    cluster, and below six templates in either the rows are descriptive. A |difference| below ``tolerance`` is 0 with
    p = 1. ``n_simultaneous``: give simultaneous intervals over so many tests too, by Bonferroni. Columns
    ``effects.ROW_COLUMNS``; ``d_z`` and ``skewness`` are NaN, they belong to paired designs.

    Raises:
        RequestError: shapes disagree or a value is missing; this comparison has no place for either.
    """
    concept, control = np.asarray(values, dtype=np.float64), np.asarray(controls, dtype=np.float64)
    if concept.shape[0] != len(templates) or control.shape[0] != len(control_templates):
        raise RequestError("values and templates do not belong together", expected="one template id for each prompt")
    if np.isnan(concept).any() or np.isnan(control).any():
        raise RequestError("an unpaired comparison has missing values", expected="a value for each prompt and head")
    estimate, error, df = _difference(concept, control, templates, control_templates)
    estimate = np.where(np.abs(estimate) < tolerance, 0.0, estimate)
    n_templates = min(len(set(templates)), len(set(control_templates)))
    enough = n_templates >= MIN_TEMPLATES
    n_tests = concept.shape[1]
    t = np.where(error > 0.0, estimate / np.where(error > 0.0, error, 1.0), np.where(estimate == 0.0, 0.0, np.inf))
    p = np.maximum(2 * stats.t.sf(np.abs(t), df), _SMALLEST_P) if enough else np.full(n_tests, np.nan)
    half = stats.t.isf(alpha / 2, df) * error if enough else np.full(n_tests, np.nan)
    missing = np.full(n_tests, np.nan)
    half_of_all = missing
    if enough and n_simultaneous is not None:
        half_of_all = stats.t.isf(alpha / (2 * n_simultaneous), df) * error
    size = np.full(n_tests, round(df) + 1 if np.isfinite(df) else 0)
    critical = np.full(n_tests, stats.t.isf(alpha / (2 * n_tests), df))
    rows = {
        "estimate": estimate,
        "ci_low": estimate - half,
        "ci_high": estimate + half,
        "sim_low": estimate - half_of_all,
        "sim_high": estimate + half_of_all,
        "d_z": missing,
        "p_value": p,
        "p_max_t": missing,
        "q_value": benjamini_hochberg(p),
        # error sqrt(n) is the standard deviation a one-sample t-test with the same precision would have
        "mde": smallest_detectable(error * np.sqrt(size), size, critical) if enough else missing,
        "skewness": missing,
        "n_prompts": np.full(n_tests, concept.shape[0] + control.shape[0]),
        "n_templates": np.full(n_tests, n_templates),
        "family": family,
        "status": "exploratory" if enough else "descriptive",
    }
    return pd.DataFrame({name: rows[name] for name in ROW_COLUMNS})


def _difference(
    concept: FloatArray, control: FloatArray, templates: Sequence[str], control_templates: Sequence[str]
) -> tuple[FloatArray, FloatArray, float]:
    """Difference of means [n_tests], its CR2 standard error [n_tests], and the degrees of freedom."""
    labels, codes = np.unique(np.asarray([*templates, *control_templates], dtype=np.str_), return_inverse=True)
    first, second = codes[: len(templates)], codes[len(templates) :]
    scores = _scores(concept, first, len(labels)) - _scores(control, second, len(labels))
    df = _satterthwaite_df(first, second, len(labels))
    return concept.mean(axis=0) - control.mean(axis=0), np.sqrt(np.sum(scores**2, axis=0)), df


def _leverage_factor(codes: NDArray[np.integer], n_clusters: int) -> tuple[FloatArray, FloatArray]:
    """Prompts of the class in each cluster, and the CR2 factor of their summed residuals (inf-free)."""
    count = np.bincount(codes, minlength=n_clusters).astype(np.float64)
    rest = 1.0 - count / len(codes)
    # A class whose prompts all stand in one cluster has no residual sum there: generalised inverse, factor 0.
    return count, np.where(rest > 1e-12, 1.0 / np.sqrt(np.where(rest > 1e-12, rest, 1.0)), 0.0)


def _scores(values: FloatArray, codes: NDArray[np.integer], n_clusters: int) -> FloatArray:
    """[n_clusters, n_tests]: CR2-adjusted contribution of each cluster to the class's mean."""
    residuals = values - values.mean(axis=0)
    sums = np.zeros((n_clusters, values.shape[1]))
    np.add.at(sums, codes, residuals)
    _, factor = _leverage_factor(codes, n_clusters)
    return sums * factor[:, None] / values.shape[0]


def _satterthwaite_df(first: NDArray[np.integer], second: NDArray[np.integer], n_clusters: int) -> float:
    """tr(Omega)^2 / tr(Omega^2), Omega the covariance of the clusters' scores under independent, equal variances."""
    omega = np.zeros((n_clusters, n_clusters))
    for codes in (first, second):
        count, factor = _leverage_factor(codes, n_clusters)
        weight = factor / len(codes)
        covariance = np.diag(count) - np.outer(count, count) / len(codes)
        omega += weight[:, None] * covariance * weight[None, :]
    denominator = float(np.sum(omega**2))
    return float(np.trace(omega)) ** 2 / denominator if denominator > 0.0 else float("nan")
