"""Intervals against scipy, statsmodels and the general CR2 matrix formula written out."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from headscope.errors import RequestError
from headscope.random_streams import generator
from headscope.stats.clusters import TemplateMeans, equal_weight_mean, template_means
from headscope.stats.intervals import (
    bootstrap_t_interval,
    satterthwaite_df,
    simultaneous_interval,
    standard_error,
    t_interval,
)
from tests.tolerances import FLOAT64, FLOAT64_SUM


def means_of(values: np.ndarray) -> TemplateMeans:
    labels = tuple(f"t{i}" for i in range(len(values)))
    return TemplateMeans(values, np.isfinite(values).astype(np.int64), labels)


def test_balanced_templates_give_the_one_sample_t_interval():
    values = np.random.default_rng(0).normal(0.4, 1.0, size=(12, 3))
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = t_interval(means_of(values))
    np.testing.assert_allclose(found.low, expected.low, rtol=FLOAT64_SUM)
    np.testing.assert_allclose(found.high, expected.high, rtol=FLOAT64_SUM)


def test_the_standard_error_is_statsmodels_cluster_robust_and_hc2_one():
    """Balanced prompts: statsmodels' clustered OLS; template means: its HC2, CR2 with clusters of one."""
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(9), 4)
    deltas = rng.normal(size=36) + rng.normal(size=9)[codes]
    clustered = sm.OLS(deltas, np.ones(36)).fit(cov_type="cluster", cov_kwds={"groups": codes})
    table = template_means(deltas[:, None], [f"t{c}" for c in codes])
    assert standard_error(table.means)[0] == pytest.approx(clustered.bse[0], rel=FLOAT64_SUM)
    hc2 = sm.OLS(table.means[:, 0], np.ones(9)).fit(cov_type="HC2")
    assert standard_error(table.means)[0] == pytest.approx(hc2.bse[0], rel=FLOAT64_SUM)


def cr2_by_matrices(deltas: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """CR2 standard error and Satterthwaite df of the equal-weight mean, from the definition.

    Bell & McCaffrey 2002 / Pustejovsky & Tipton 2018: a weighted regression on a constant, weights 1 / prompts of the
    template, working model of independent prompts with variance 1 / weight x (the weighted case) reduces to template
    means y; A = (I - H)^(-1/2) with H = 11'/n, V = sum (A e)_g^2 / n^2, df from the covariance of the scores under
    var(y_g) = 1 / prompts of g.
    """
    sizes = np.bincount(codes)
    n = len(sizes)
    means = np.bincount(codes, deltas) / sizes
    hat = np.full((n, n), 1 / n)
    adjust = 1 / np.sqrt(1 - np.diag(hat))  # each template is one cluster of the collapsed regression
    scores = adjust * (means - means.mean()) / n
    transform = (adjust[:, None] * (np.eye(n) - hat)) / n
    omega = transform @ np.diag(1 / sizes) @ transform.T
    return float(np.sqrt(np.sum(scores**2))), float(np.trace(omega) ** 2 / np.sum(omega**2))


@pytest.mark.parametrize("seed", range(4))
def test_unbalanced_templates_give_the_general_cr2_answer(seed):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(11), rng.integers(1, 9, size=11))
    deltas = rng.normal(size=len(codes))
    table = template_means(deltas[:, None], [f"t{c:02d}" for c in codes])
    error, df = cr2_by_matrices(deltas, codes)
    assert standard_error(table.means)[0] == pytest.approx(error, rel=FLOAT64_SUM)
    assert satterthwaite_df(table.counts)[0] == pytest.approx(df, rel=FLOAT64_SUM)
    assert df < 10
    half = stats.t.isf(0.025, df) * error
    assert t_interval(table).high[0] - t_interval(table).low[0] == pytest.approx(2 * half, rel=FLOAT64_SUM)


def test_equal_numbers_of_prompts_give_n_minus_one_degrees_of_freedom():
    assert satterthwaite_df(np.full((14, 2), 5)).tolist() == pytest.approx([13.0, 13.0])
    assert satterthwaite_df(np.array([[3], [3], [0], [3]]))[0] == pytest.approx(2.0)


def test_one_template_has_no_interval():
    found = t_interval(means_of(np.array([[1.0], [np.nan]])))
    assert np.isnan(found.low[0])
    assert np.isnan(found.high[0])


def test_a_simultaneous_interval_is_the_critical_value_times_the_standard_error():
    values = np.random.default_rng(3).normal(size=(10, 2))
    found = simultaneous_interval(values, np.array([3.0, np.inf]))
    error = standard_error(values)
    assert found.high[0] == pytest.approx(equal_weight_mean(values)[0] + 3 * error[0])
    assert np.isinf(found.high[1])


def test_constant_effects_have_intervals_of_no_width():
    flat = np.full((30, 1), 0.25)
    for found in (
        t_interval(means_of(flat)),
        simultaneous_interval(flat, np.array([np.inf])),
        bootstrap_t_interval(flat, generator(0, "b")),
    ):
        assert found.low[0] == found.high[0] == 0.25


def test_the_studentised_bootstrap_is_t_for_normal_data_and_leans_with_skewed_data():
    rng = np.random.default_rng(4)
    normal = stats.norm.ppf((np.arange(60) + 0.5) / 60)[:, None]
    found, plain = bootstrap_t_interval(normal, generator(0, "b")), t_interval(means_of(normal))
    # A quantile at .025 of 4,999 resamples has a standard error of 1.2 % there; five of them.
    np.testing.assert_allclose([found.low, found.high], [plain.low, plain.high], rtol=0.06)
    skewed = rng.exponential(size=(60, 1))
    found = bootstrap_t_interval(skewed, generator(0, "b"))
    assert found.high[0] - skewed.mean() > skewed.mean() - found.low[0]


def test_the_studentised_bootstrap_agrees_with_a_loop():
    values = np.random.default_rng(5).gamma(2.0, size=(30, 2))
    values[3, 1] = np.nan
    values = np.vstack([values, [[1.0, 2.0]]])
    weights = generator(7, "b").multinomial(31, np.full(31, 1 / 31), size=500)
    found = bootstrap_t_interval(values, generator(7, "b"), n_resamples=500)
    for test in range(2):
        ts = []
        y = values[:, test]
        mean, error = np.nanmean(y), np.nanstd(y, ddof=1) / np.sqrt(np.isfinite(y).sum())
        for w in weights:
            sample = np.repeat(y, w)
            sample = sample[np.isfinite(sample)]
            ts.append((sample.mean() - mean) / (sample.std(ddof=1) / np.sqrt(len(sample))))
        low, high = np.quantile(ts, [0.025, 0.975])
        assert found.low[test] == pytest.approx(mean - high * error, rel=FLOAT64)
        assert found.high[test] == pytest.approx(mean - low * error, rel=FLOAT64)


def test_the_bootstrap_needs_thirty_templates():
    assert np.isnan(bootstrap_t_interval(np.random.default_rng(0).normal(size=(29, 1)), generator(0, "b")).low[0])


def test_an_impossible_level_is_refused():
    with pytest.raises(RequestError, match="level"):
        bootstrap_t_interval(np.zeros((30, 1)), generator(0, "b"), alpha=1.0)
