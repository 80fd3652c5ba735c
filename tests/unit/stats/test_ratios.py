"""Fieller's interval for a ratio of means."""

import numpy as np
import pytest
from scipy import optimize, stats

from headscope.stats.ratios import fieller_ratio


def draws(seed, n=12, tests=3):
    rng = np.random.default_rng(seed)
    denominator = rng.normal(4.0, 1.0, size=(n, tests))
    return 0.4 * denominator + rng.normal(0.0, 0.5, size=(n, tests)), denominator


def test_a_constant_denominator_leaves_the_t_interval():
    numerator, _ = draws(0)
    found = fieller_ratio(numerator, np.full_like(numerator, 2.0))
    plain = stats.ttest_1samp(numerator / 2.0, 0.0).confidence_interval()
    assert np.allclose([found.low, found.high], [plain.low, plain.high])
    assert np.allclose(found.estimate, numerator.mean(axis=0) / 2.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_ends_are_where_the_t_test_turns(seed):
    numerator, denominator = draws(seed)
    found = fieller_ratio(numerator, denominator)
    for j in range(numerator.shape[1]):

        def beyond(r, j=j):
            return stats.ttest_1samp(numerator[:, j] - r * denominator[:, j], 0.0).pvalue - 0.05

        low = optimize.brentq(beyond, -5.0, found.estimate[j])
        high = optimize.brentq(beyond, found.estimate[j], 5.0)
        assert np.allclose([found.low[j], found.high[j]], [low, high])


def test_units_cancel_and_shares_of_the_whole_are_one():
    numerator, denominator = draws(7)
    plain, scaled = fieller_ratio(numerator, denominator), fieller_ratio(100 * numerator, 100 * denominator)
    assert np.allclose(plain.low, scaled.low)
    assert np.allclose(plain.high, scaled.high)
    whole = fieller_ratio(denominator, denominator)
    assert np.allclose([whole.estimate, whole.low, whole.high], 1.0)


def test_a_gap_that_is_not_shown_gives_no_interval():
    numerator, denominator = draws(1)
    found = fieller_ratio(numerator, denominator - denominator.mean(axis=0) + 0.1)
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()
    assert np.isfinite(found.estimate).all()


@pytest.mark.parametrize("spread", [0.0, 1e-4, 1.0])
def test_a_share_of_next_to_nothing_is_no_number(spread):
    """However surely the whole differs from 0: here by rounding alone, the same in every template."""
    numerator, denominator = draws(4)
    whole = 0.009 + spread * (denominator - denominator.mean(axis=0))
    found = fieller_ratio(numerator, whole)
    assert np.isnan([found.estimate, found.low, found.high]).all()


def test_a_template_without_a_value_takes_no_part():
    numerator, denominator = draws(2)
    gapped = numerator.copy()
    gapped[3] = np.nan
    found = fieller_ratio(gapped, denominator)
    left = fieller_ratio(np.delete(numerator, 3, axis=0), np.delete(denominator, 3, axis=0))
    assert np.allclose([found.estimate, found.low, found.high], [left.estimate, left.low, left.high])


def test_five_templates_give_an_estimate_and_no_interval():
    numerator, denominator = draws(3, n=5)
    found = fieller_ratio(numerator, denominator)
    assert np.isfinite(found.estimate).all()
    assert np.isnan(found.low).all()


def test_the_interval_covers_the_truth_at_its_level():
    rng = np.random.default_rng(11)
    n, tests, truth = 10, 4000, 0.3
    denominator = rng.normal(2.0, 0.8, size=(n, tests))
    numerator = truth * 2.0 + 0.5 * (denominator - 2.0) + rng.normal(0.0, 0.4, size=(n, tests))
    found = fieller_ratio(numerator, denominator)
    covered = np.mean((found.low <= truth) & (truth <= found.high))
    assert abs(covered - 0.95) < 0.015
