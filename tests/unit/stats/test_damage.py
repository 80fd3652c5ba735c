"""Damage has three answers, and the number of templates that would give one is what a simulation finds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from headscope.stats.damage import Damage

LIMITS = st.floats(0.5, 2.0)


@given(LIMITS, LIMITS)
def test_at_most_one_answer_holds(first, second):
    low, high = sorted((first, second))
    found = Damage(math.sqrt(low * high), low, high, 35)
    assert not (found.bounded(1.05) and found.shown(1.05))


def test_nothing_measured_is_no_answer():
    nothing = Damage()
    assert not nothing.measured
    assert not nothing.bounded(1.05)
    assert not nothing.shown(1.05)
    assert math.isnan(nothing.templates_needed(1.05, 0.05))


@pytest.mark.parametrize("ratio", [0.99, 1.0, 1.12])
def test_the_templates_needed_give_an_answer_four_times_in_five(ratio):
    rng = np.random.default_rng(0)
    deviation, n = 0.12, 35
    half = float(stats.t.isf(0.025, n - 1)) * deviation / math.sqrt(n)
    seen = Damage(ratio, ratio * math.exp(-half), ratio * math.exp(half), n)
    needed = int(seen.templates_needed(1.05, 0.05))
    draws = rng.normal(math.log(ratio), deviation, size=(4_000, needed))
    means, errors = draws.mean(axis=1), draws.std(axis=1, ddof=1) / math.sqrt(needed)
    reach = float(stats.t.isf(0.025, needed - 1)) * errors
    again = [Damage(*np.exp([m, m - r, m + r]), needed) for m, r in zip(means, reach, strict=True)]
    decided = np.mean([one.bounded(1.05) or one.shown(1.05) for one in again])
    assert 0.77 < decided < 0.86


def test_a_ratio_between_the_limits_is_decided_once_the_interval_is_narrower_than_they_are_apart():
    seen = Damage(1.025, 0.96, 1.095, 35)
    deviation = math.log(1.095 / 0.96) / 2 / float(stats.t.isf(0.025, 34)) * math.sqrt(35)
    needed = int(seen.templates_needed(1.05, 0.05))
    width = 2 * float(stats.t.isf(0.025, needed - 1)) * deviation / math.sqrt(needed)
    assert needed > 35
    assert 0.95 * math.log(1.05) < width < 1.3 * math.log(1.05)
