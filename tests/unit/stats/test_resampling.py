"""Sign-flips against enumeration by hand, scipy, published numbers, and laws any such test must obey."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from headscope.random_streams import generator
from headscope.stats import resampling
from headscope.stats.resampling import flip_test, flips_needed
from tests.tolerances import FLOAT64, FLOAT64_SUM

# Fisher 1935, The Design of Experiments, section 17: Darwin's 15 pairs of Zea mays, differences in eighths of an inch.
DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=float)


def rng():
    return generator(0, "test")


def brute_force(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Single-test and step-down max-T p-values by looping over every sign vector; NaN takes no part."""
    n, k = means.shape
    values = np.where(np.isnan(means), 0.0, means)

    def statistic(signs: np.ndarray) -> np.ndarray:
        flipped = values * signs[:, None]
        return np.abs(flipped.sum(0)) / np.sqrt((flipped**2).sum(0))

    observed = statistic(np.ones(n))
    flips = np.array([statistic(np.array(signs, dtype=float)) for signs in product([1, -1], repeat=n)])
    single = (flips >= observed - FLOAT64).mean(0)
    order = np.argsort(-observed)
    adjusted = np.empty(k)
    largest_so_far = 0.0
    for rank, test in enumerate(order):
        maximum = flips[:, order[rank:]].max(1)
        largest_so_far = max(largest_so_far, (maximum >= observed[test] - FLOAT64).mean())
        adjusted[test] = largest_so_far
    return single, adjusted


@pytest.mark.parametrize(("n", "k", "seed"), [(6, 4, 0), (8, 7, 1), (9, 3, 2), (7, 1, 3)])
def test_step_down_max_t_is_the_brute_force_answer(n, k, seed):
    means = np.random.default_rng(seed).normal(0.5, 1.0, size=(n, k))
    found = flip_test(means, rng())
    single, adjusted = brute_force(means)
    assert found.exact
    np.testing.assert_allclose(found.p_value, single, rtol=0, atol=FLOAT64_SUM)
    np.testing.assert_allclose(found.p_max_t, adjusted, rtol=0, atol=FLOAT64_SUM)


def test_step_down_max_t_with_templates_that_some_tests_lack():
    means = np.random.default_rng(5).normal(0.7, 1.0, size=(9, 5))
    means[:3, 0], means[7:, 1] = np.nan, np.nan
    found = flip_test(means, rng())
    single, adjusted = brute_force(means)
    np.testing.assert_allclose(found.p_value, single, atol=FLOAT64_SUM)
    np.testing.assert_allclose(found.p_max_t, adjusted, atol=FLOAT64_SUM)


@pytest.mark.parametrize("n", [6, 9, 12])
def test_single_tests_agree_with_scipy(n):
    values = np.random.default_rng(n).normal(0.4, 1.0, size=n)
    exact = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert flip_test(values[:, None], rng()).p_value[0] == pytest.approx(exact.pvalue, abs=FLOAT64_SUM)


def test_darwins_maize_gives_fishers_published_count():
    """Fisher 1935, section 21: 1,726 of 32,768 sign arrangements are at least as far from 0, 5.267 %."""
    found = flip_test(DARWIN[:, None], rng())
    assert found.exact
    assert found.p_value[0] == 1726 / 32768  # the same fraction, bit for bit


def test_the_statistic_is_a_monotone_function_of_students_t():
    values = np.random.default_rng(8).normal(0.3, 1.0, size=11)
    signs = np.array(list(product([1.0, -1.0], repeat=11)))
    flipped = signs * values
    t = np.abs(stats.ttest_1samp(flipped, 0.0, axis=1).statistic)
    expected = np.mean(t >= abs(stats.ttest_1samp(values, 0.0).statistic) * (1 - FLOAT64))
    assert flip_test(values[:, None], rng()).p_value[0] == pytest.approx(expected, abs=FLOAT64_SUM)


def test_random_flips_agree_with_all_flips():
    means = np.random.default_rng(3).normal(0.35, 1.0, size=(18, 4))
    every = flip_test(means, rng(), n_flips=2**18)
    some = flip_test(means, rng(), n_flips=60_000)
    assert every.exact
    assert not some.exact
    # Five standard errors of a share of 60,000 draws; of the quantile, those of its tail.
    np.testing.assert_allclose(some.p_value, every.p_value, atol=0.01)
    np.testing.assert_allclose(some.p_max_t, every.p_max_t, atol=0.01)
    np.testing.assert_allclose(some.critical_t, every.critical_t, rtol=0.01)


def test_random_flips_are_enough_for_one_result_to_survive_bonferroni():
    for n_tests in (1, 144, 432, 3072):
        m = flips_needed(n_tests)
        assert 1 / (m + 1) <= 0.05 / n_tests
        assert m >= 20 * n_tests / 0.05
    found = flip_test(np.full((40, 30), 1.0), rng())
    assert found.p_value.max() == pytest.approx(1 / (flips_needed(30) + 1))


def test_fifteen_templates_are_exact_and_forty_are_not():
    values = np.random.default_rng(0).normal(size=(40, 2))
    assert flip_test(values[:15], rng()).exact
    assert not flip_test(values, rng()).exact


def test_a_constant_effect_has_the_smallest_p_and_a_zero_effect_has_one():
    means = np.column_stack([np.full(8, 0.3), np.zeros(8)])
    found = flip_test(means, rng())
    assert found.p_value.tolist() == [2 / 2**8, 1.0]
    assert found.p_max_t.tolist() == [2 / 2**8, 1.0]


def test_all_zero_families_have_p_one():
    found = flip_test(np.zeros((7, 3)), rng())
    assert found.p_value.tolist() == [1.0, 1.0, 1.0]
    assert found.p_max_t.tolist() == [1.0, 1.0, 1.0]


def test_templates_flip_together_so_copies_cost_nothing():
    """Two identical heads are one test; two independent ones are more."""
    values = np.random.default_rng(4).normal(0.45, 1.0, size=(12, 1))
    other = np.random.default_rng(5).normal(0.0, 1.0, size=(12, 1))
    alone = flip_test(values, rng()).p_max_t[0]
    assert flip_test(np.repeat(values, 5, axis=1), rng()).p_max_t == pytest.approx(alone)
    assert flip_test(np.column_stack([values, other]), rng()).p_max_t[0] > alone


def test_without_simultaneous_nothing_simultaneous_is_given():
    found = flip_test(np.random.default_rng(0).normal(size=(8, 2)), rng(), simultaneous=False)
    assert np.isnan(found.p_max_t).all()
    assert np.isnan(found.critical_t).all()


def test_the_critical_value_of_one_symmetric_test_is_near_students():
    values = stats.norm.ppf((np.arange(40) + 0.5) / 40)[:, None]
    assert flip_test(values, rng()).critical_t[0] == pytest.approx(
        stats.t.isf(0.025, 39), rel=0.03
    )  # its tail's, see _FLIPS_BEYOND_QUANTILE


def test_the_critical_value_lies_between_one_test_and_bonferroni():
    independent = np.random.default_rng(0).normal(size=(30, 60))
    found = flip_test(independent, rng()).critical_t
    assert len(set(found)) == 1
    assert stats.t.isf(0.025, 29) < found[0] <= stats.t.isf(0.025 / 60, 29) * 1.05


def test_tests_with_few_templates_get_wider_intervals_of_their_own():
    means = np.random.default_rng(1).normal(size=(30, 20))
    means[8:, 15:] = np.nan
    critical = flip_test(means, rng()).critical_t
    assert len(set(critical[:15])) == 1
    assert critical[19] > critical[0]


def test_one_odd_test_among_many_does_not_ask_for_millions_of_flips(monkeypatch):
    """Its share of the level, .05 / 400, would; with fewer flips its interval is wider, never narrower."""
    widths: list[int] = []
    drawn = resampling._sign_blocks

    def counted(*args):
        for block in drawn(*args):
            widths.append(block.shape[1])
            yield block

    monkeypatch.setattr(resampling, "_sign_blocks", counted)
    means = rng().normal(size=(25, 400))
    means[4, 7] = np.nan
    found = flip_test(means, rng(), step_down=False)
    assert sum(widths) <= 2**17 + max(9_999, 20 * 400 / 0.05)
    assert np.isnan(found.p_max_t).all()
    others = np.delete(found.critical_t, 7)
    assert found.critical_t[7] > others.max()
    assert others == pytest.approx(flip_test(np.delete(means, 7, axis=1), rng()).critical_t, rel=0.02)


def test_intervals_do_not_depend_on_whether_p_is_stepped_down():
    values = rng().normal(size=(20, 12))
    with_p, without = flip_test(values, rng()), flip_test(values, rng(), step_down=False)
    np.testing.assert_array_equal(with_p.critical_t, without.critical_t)
    np.testing.assert_array_equal(with_p.p_value, without.p_value)
    assert np.isnan(without.p_max_t).all()
    assert np.isfinite(with_p.p_max_t).all()


def test_the_same_request_gives_the_same_numbers_whatever_the_family_draws():
    means = np.random.default_rng(2).normal(size=(30, 700))
    first, second = flip_test(means, rng(), n_flips=9_000), flip_test(means, rng(), n_flips=9_000)
    np.testing.assert_array_equal(first.p_max_t, second.p_max_t)
    alone = flip_test(means[:, :1], rng(), n_flips=9_000)  # the same signs are drawn for one test and for 700
    assert alone.p_value[0] == first.p_value[0]


families = st.tuples(st.integers(6, 10), st.integers(1, 6), st.integers(0, 2**31))


def family(shape: tuple[int, int, int]) -> np.ndarray:
    n, k, seed = shape
    return np.random.default_rng(seed).normal(0.4, 1.0, size=(n, k))


@settings(max_examples=40, deadline=None)
@given(families)
def test_p_values_are_probabilities_and_adjusting_only_raises_them(shape):
    found = flip_test(family(shape), rng())
    assert (found.p_value > 0).all()
    assert (found.p_max_t <= 1).all()
    assert (found.p_max_t >= found.p_value).all()


@settings(max_examples=40, deadline=None)
@given(families)
def test_step_down_p_values_rise_as_the_statistic_falls(shape):
    means = family(shape)
    found = flip_test(means, rng())
    t = np.abs(stats.ttest_1samp(means, 0.0).statistic)
    assert (np.diff(found.p_max_t[np.argsort(-t)]) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(families, st.floats(1e-3, 1e3), st.sampled_from([1.0, -1.0]))
def test_neither_the_unit_nor_the_sign_of_a_column_matters(shape, scale, sign):
    means = family(shape)
    factors = np.ones(means.shape[1])
    factors[0] = scale * sign
    first, second = flip_test(means, rng()), flip_test(means * factors, rng())
    np.testing.assert_allclose(first.p_max_t, second.p_max_t, atol=FLOAT64_SUM)
    np.testing.assert_allclose(first.critical_t, second.critical_t, rtol=FLOAT64)


@settings(max_examples=40, deadline=None)
@given(families, st.randoms(use_true_random=False))
def test_the_order_of_templates_and_tests_does_not_matter(shape, random):
    means = family(shape)
    rows, columns = list(range(means.shape[0])), list(range(means.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    first, second = flip_test(means, rng()), flip_test(means[np.ix_(rows, columns)], rng())
    np.testing.assert_allclose(first.p_max_t[columns], second.p_max_t, atol=FLOAT64_SUM)
    np.testing.assert_allclose(first.critical_t[columns], second.critical_t, rtol=FLOAT64)


@settings(max_examples=40, deadline=None)
@given(families)
def test_a_larger_family_never_makes_a_result_surer(shape):
    means = family(shape)
    assert flip_test(means[:, :1], rng()).p_max_t[0] <= flip_test(means, rng()).p_max_t[0] + FLOAT64_SUM
