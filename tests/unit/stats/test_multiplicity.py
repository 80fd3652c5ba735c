"""Benjamini-Hochberg against scipy, statsmodels and its own paper."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.stats.multitest import multipletests

from headscope.errors import RequestError
from headscope.stats.multiplicity import benjamini_hochberg
from tests.tolerances import FLOAT64_SUM

# Benjamini & Hochberg 1995, section 4.1: 15 p-values of a trial of thrombolysis; four are rejected at .05.
PAPER = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
]


def test_the_papers_example_rejects_the_four_smallest():
    assert (benjamini_hochberg(np.array(PAPER)) <= 0.05).sum() == 4


def test_rs_documented_pattern_of_equal_steps():
    """R, p.adjust(c(.01, .02, .03, .04, .05), "BH") gives .05 five times: p(i) n / i is the same for all."""
    assert benjamini_hochberg(np.array([0.01, 0.02, 0.03, 0.04, 0.05])).tolist() == pytest.approx([0.05] * 5)


p_values = arrays(np.float64, st.integers(1, 30), elements=st.floats(1e-12, 1.0))


@given(p_values)
def test_statsmodels_agrees(p):
    np.testing.assert_allclose(benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1], rtol=FLOAT64_SUM)


@given(p_values)
def test_missing_tests_do_not_count(p):
    padded = np.concatenate([[np.nan], p, [np.nan, np.nan]])
    q = benjamini_hochberg(padded)
    assert np.isnan(q[[0, -1, -2]]).all()
    np.testing.assert_array_equal(q[1:-2], benjamini_hochberg(p))


def test_a_p_of_zero_is_refused():
    with pytest.raises(RequestError, match=r"outside \(0, 1\]"):
        benjamini_hochberg(np.array([0.0, 0.5]))


def test_no_test_at_all_is_no_error():
    assert benjamini_hochberg(np.array([])).shape == (0,)
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()
