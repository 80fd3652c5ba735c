"""Difference of two classes of prompts that are not paired: the Phase 6 study's own comparison, and that of two tasks.

The estimate is the plain difference of means over prompts, as the study has it. Its standard error is cluster-robust
with the CR2 correction, templates that occur in both classes being one cluster; degrees of freedom are Satterthwaite's
under independent prompts; p and interval come from t. In this two-column design CR2 has a closed form: the residuals
of class c in cluster g shrink the hat matrix's block to n_cg / N_c, so their sum is divided by sqrt(1 - n_cg / N_c).

The study's degrees of freedom take the two classes to vary alike. Of two tasks that is wrong: a head moves its own task
by amounts that differ much between templates, and another task hardly. There the classes have variances of their own,
estimated for each test. Of means of templates that is Welch's t-test where no template is shared, and the paired t-test
where all are.
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
    vary_alike: bool = True,
) -> pd.DataFrame:
    """Mean of ``values`` minus mean of ``controls`` for each test, with CR2 intervals and p-values.

    ``values`` is [n_prompts, n_tests] and ``controls`` [n_controls, n_tests]; template ids that both have are one
    cluster, and below six templates in either the rows are descriptive. A |difference| below ``tolerance`` is 0 with
    p = 1. ``n_simultaneous``: give simultaneous intervals over so many tests too, by Bonferroni.
    ``vary_alike``: the degrees of freedom take both classes to have one variance. Columns ``effects.ROW_COLUMNS``;
    ``d_z`` and ``skewness`` are NaN, they belong to paired designs.

    Raises:
        RequestError: shapes disagree or a value is missing; this comparison has no place for either.
    """
    concept, control = np.asarray(values, dtype=np.float64), np.asarray(controls, dtype=np.float64)
    if concept.shape[0] != len(templates) or control.shape[0] != len(control_templates):
        raise RequestError("values and templates do not belong together", expected="one template id for each prompt")
    if np.isnan(concept).any() or np.isnan(control).any():
        raise RequestError("an unpaired comparison has missing values", expected="a value for each prompt and head")
    estimate, error, df = _difference(concept, control, templates, control_templates, vary_alike=vary_alike)
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
    size = np.where(np.isfinite(df), np.round(df) + 1, 0).astype(np.int64)
    # Rounded where each test has its own: power is solved for once for each that is distinct.
    critical = np.asarray(stats.t.isf(alpha / (2 * n_tests), df if vary_alike else np.maximum(size - 1, 1)))
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
    concept: FloatArray,
    control: FloatArray,
    templates: Sequence[str],
    control_templates: Sequence[str],
    *,
    vary_alike: bool,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Difference of means, its CR2 standard error, and the degrees of freedom, each [n_tests]."""
    labels, codes = np.unique(np.asarray([*templates, *control_templates], dtype=np.str_), return_inverse=True)
    first, second = codes[: len(templates)], codes[len(templates) :]
    scores = _scores(concept, first, len(labels)) - _scores(control, second, len(labels))
    df = np.full(concept.shape[1], _satterthwaite_df(first, second, len(labels)))
    if not vary_alike and min(len(concept), len(control)) > 1:
        variances = np.stack([concept.var(axis=0, ddof=1), control.var(axis=0, ddof=1)])
        # Where nothing varies the error is 0 and no quantile is used.
        varies = variances.max(axis=0) > 0.0
        df[varies] = _df_of_variances(first, second, len(labels), variances[:, varies])
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


def _score_covariances(
    first: NDArray[np.integer], second: NDArray[np.integer], n_clusters: int
) -> tuple[FloatArray, FloatArray]:
    """Of each class [n_clusters, n_clusters]: covariance of the scores, prompts being independent, of variance 1."""
    found: list[FloatArray] = []
    for codes in (first, second):
        count, factor = _leverage_factor(codes, n_clusters)
        weight = factor / len(codes)
        covariance = np.diag(count) - np.outer(count, count) / len(codes)
        found.append(weight[:, None] * covariance * weight[None, :])
    return found[0], found[1]


def _satterthwaite_df(first: NDArray[np.integer], second: NDArray[np.integer], n_clusters: int) -> float:
    """tr(Omega)^2 / tr(Omega^2), Omega the covariance of the clusters' scores under independent, equal variances."""
    one, two = _score_covariances(first, second, n_clusters)
    omega = one + two
    denominator = float(np.sum(omega**2))
    return float(np.trace(omega)) ** 2 / denominator if denominator > 0.0 else float("nan")


def _df_of_variances(
    first: NDArray[np.integer], second: NDArray[np.integer], n_clusters: int, variances: FloatArray
) -> FloatArray:
    """[n_tests] the same, Omega the sum of the classes' covariances times their ``variances`` [2, n_tests]."""
    one, two = _score_covariances(first, second, n_clusters)
    share = variances / variances.max(axis=0)  # only their ratio counts, and squares of tiny ones would vanish
    trace = share[0] * np.trace(one) + share[1] * np.trace(two)
    squared = (
        share[0] ** 2 * np.sum(one**2) + 2 * share[0] * share[1] * np.sum(one * two) + share[1] ** 2 * np.sum(two**2)
    )
    return trace**2 / np.where(squared > 0.0, squared, np.nan)
