"""How often a task is answered right: its interval lies within 0 and 1, and is never a point."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headscope.stats.assays import accuracy_table


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_templates_that_are_all_right_or_all_wrong_have_the_exact_interval(share: float) -> None:
    templates = [f"t{i}" for i in range(12) for _ in range(2)]
    row = accuracy_table("task", np.full(24, share), np.zeros(0), templates, [], seed=0).iloc[0]
    end = (0.05 / 2) ** (1 / 12)  # the share at which twelve templates of twelve are right in 2.5 % of draws
    expected = (end, 1.0) if share else (0.0, 1.0 - end)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected)
    assert (row["estimate"], row["n_prompts"], row["n_templates"]) == (share, 24, 12)


def test_the_interval_ends_where_shares_end() -> None:
    right = np.array([1.0] * 23 + [0.0])
    row = accuracy_table("task", right, right[:0], [f"t{i}" for i in range(24)], [], seed=0).iloc[0]
    half = float(stats.t.isf(0.025, 23)) * float(right.std(ddof=1)) / np.sqrt(24)
    assert right.mean() + half > 1.0
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((right.mean() - half, 1.0))
