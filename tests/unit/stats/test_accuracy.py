"""How often a task is answered right: an interval of a share lies between 0 and 1, and is never a point."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headscope.stats.assays import accuracy_table
from tests.tolerances import FLOAT64

TEMPLATES = [f"t{i:02d}" for i in range(24)]


def ends(right: np.ndarray) -> tuple[float, float, float]:
    row = accuracy_table("task", right, np.zeros(0), TEMPLATES[: len(right)], [], seed=0).iloc[0]
    return row["estimate"], row["ci_low"], row["ci_high"]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_templates_alike_say_what_as_many_coins_would(share: float) -> None:
    estimate, low, high = ends(np.full(24, share))
    exact = stats.binomtest(round(24 * share), 24).proportion_ci(method="exact")
    assert (estimate, low, high) == (share, exact.low, exact.high)
    assert high - low == pytest.approx(1 - 0.025 ** (1 / 24), rel=FLOAT64)


def test_one_template_wrong_gives_an_interval_that_ends_at_1() -> None:
    right = np.ones(24)
    right[3] = 0.0
    estimate, low, high = ends(right)
    assert low < estimate < high == 1.0
    assert low == pytest.approx(estimate - stats.t.isf(0.025, 23) * right.std(ddof=1) / np.sqrt(24), rel=FLOAT64)


def test_few_templates_have_no_interval() -> None:
    assert np.isnan(ends(np.ones(5))[1:]).all()
