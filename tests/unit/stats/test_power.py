"""Power against Cohen's and G*Power's published sample sizes, statsmodels, and laws."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from statsmodels.stats.power import TTestPower

from headscope.errors import RequestError
from headscope.stats.power import (
    corrected_critical_t,
    power_of_t,
    reach,
    smallest_detectable,
    smallest_detectable_d,
    smallest_reachable_p,
    smallest_reachable_q,
    templates_for_interval,
    templates_for_power,
    templates_to_reach,
)


@pytest.mark.parametrize(("d", "n"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_published_sample_sizes(d, n):
    """G*Power 3.1, one-sample t, two tails, alpha .05, power .80: 199, 34 and 15 for Cohen's small, medium, large."""
    assert templates_for_power(d) == n


@settings(max_examples=40, deadline=None)
@given(st.floats(0.05, 2.0), st.integers(6, 200), st.sampled_from([0.05, 0.01, 0.05 / 432]))
def test_statsmodels_agrees_on_power(d, n, alpha):
    critical = corrected_critical_t(n, alpha=alpha)
    expected = TTestPower().power(d, n, alpha)
    assume(np.isfinite(expected))  # statsmodels loses the far tail on the other side; ours does not
    assert power_of_t(d, n, critical) == pytest.approx(expected, abs=1e-6)  # their quadratures, not rounding


@pytest.mark.parametrize(("n", "n_tests"), [(6, 1), (35, 1), (80, 12)])
def test_statsmodels_agrees_on_the_smallest_detectable_effect(n, n_tests):
    expected = TTestPower().solve_power(nobs=n, alpha=0.05 / n_tests, power=0.8)
    assert smallest_detectable_d(n, n_tests=n_tests) == pytest.approx(
        float(np.ravel(expected)[0]), rel=1e-5
    )  # their solver's


@pytest.mark.parametrize(("n", "n_tests"), [(35, 432), (80, 432), (120, 3072)])
def test_quadrature_agrees_in_large_families_where_statsmodels_loses_the_tail(n, n_tests):
    """P(|T| > c) with T = (Z + d sqrt(n)) / sqrt(V / df), integrated over V numerically."""
    d, c, df = smallest_detectable_d(n, n_tests=n_tests), corrected_critical_t(n, n_tests=n_tests), n - 1

    def beyond(v: float) -> float:
        edge = c * math.sqrt(v / df)
        both = stats.norm.sf(edge - d * math.sqrt(n)) + stats.norm.cdf(-edge - d * math.sqrt(n))
        return both * stats.chi2.pdf(v, df)

    power, _ = integrate.quad(beyond, 0, df + 30 * math.sqrt(2 * df), points=[df], limit=200)
    assert power == pytest.approx(0.8, abs=1e-6)  # quad's


@pytest.mark.parametrize("n_tests", [1, 12, 432])
def test_the_smallest_detectable_effect_needs_exactly_its_templates(n_tests):
    d = smallest_detectable_d(40, n_tests=n_tests)
    assert templates_for_power(d * 1.0001, n_tests=n_tests) == 40
    assert templates_for_power(d * 0.999, n_tests=n_tests) >= 41


def test_below_six_templates_nothing_is_detectable():
    assert math.isnan(smallest_detectable_d(5))
    assert math.isnan(smallest_reachable_p(5))
    assert math.isnan(smallest_reachable_q(5, 10))


def test_the_smallest_effect_is_in_the_outcomes_unit():
    critical = np.array([2.5, 2.5, np.inf, np.nan])
    found = smallest_detectable(np.array([2.0, 0.5, 1.0, 1.0]), np.array([30, 30, 30, 30]), critical)
    d = smallest_detectable_d(30, critical_t=2.5)
    np.testing.assert_allclose(found, [2 * d, 0.5 * d, np.nan, np.nan])


def test_without_spread_over_templates_no_smallest_effect_is_claimed():
    assert np.isnan(smallest_detectable(np.zeros(1), np.array([30]), np.array([2.5]))).all()


def test_smallest_p_and_q_are_those_of_a_sign_flip_test():
    assert smallest_reachable_p(6) == 2 / 2**6
    assert smallest_reachable_q(20, 432) == pytest.approx(432 * 2 / 2**20)
    assert smallest_reachable_q(6, 432) == 1.0


@pytest.mark.parametrize(("n_tests", "expected"), [(1, 6), (144, 13), (432, 15), (3072, 17)])
def test_templates_that_can_reach_the_level_at_all(n_tests, expected):
    assert templates_to_reach(n_tests) == expected
    assert 2.0 ** (1 - expected) <= 0.05 / n_tests
    assert expected == 6 or 2.0 ** (2 - expected) > 0.05 / n_tests


def test_reach_puts_a_design_in_one_record():
    found = reach(35, 432)
    assert found.n_templates >= found.templates_to_reach
    assert found.smallest_d == pytest.approx(smallest_detectable_d(35, n_tests=432))
    assert found.templates_for_half_d > 35
    assert reach(10, 432).templates_to_reach > 10


def test_an_interval_beyond_its_margin_needs_the_templates_of_the_textbook():
    """One limit: n with t_crit + z_.8 = margin sqrt(n), Cohen's normal approximation."""
    n = templates_for_interval(0.5, math.inf)
    half = corrected_critical_t(int(n))
    assert half + stats.norm.ppf(0.8) <= 0.5 * math.sqrt(n)
    assert corrected_critical_t(int(n) - 1) + stats.norm.ppf(0.8) > 0.5 * math.sqrt(n - 1)


def test_two_limits_need_more_templates_than_one():
    assert templates_for_interval(0.3, 0.3) > templates_for_interval(0.3, math.inf)


@pytest.mark.parametrize("margins", [(0.0, math.inf), (-0.1, 0.2), (math.nan, 0.2), (math.inf, math.inf)])
def test_no_number_of_templates_decides_an_effect_on_the_threshold(margins):
    assert math.isnan(templates_for_interval(*margins))


def test_absurd_numbers_of_templates_are_infinite_and_no_effect_has_none():
    assert math.isinf(templates_for_power(1e-5))
    assert math.isnan(templates_for_power(0.0))


@pytest.mark.parametrize("bad", [{"power": 1.0}, {"alpha": 0.0}, {"n_tests": 0}])
def test_impossible_requests_are_refused(bad):
    with pytest.raises(RequestError, match="power cannot be computed"):
        smallest_detectable_d(20, **bad)


@settings(max_examples=40, deadline=None)
@given(st.integers(6, 300), st.integers(1, 2000))
def test_more_templates_show_smaller_effects_and_larger_families_larger_ones(n, n_tests):
    assert smallest_detectable_d(n + 1, n_tests=n_tests) < smallest_detectable_d(n, n_tests=n_tests)
    assert smallest_detectable_d(n, n_tests=n_tests + 1) > smallest_detectable_d(n, n_tests=n_tests)
