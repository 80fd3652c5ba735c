"""The rule of the integral over an edit's strength: exact for the polynomials it promises, and not beyond."""

from __future__ import annotations

import numpy as np
import pytest

from headscope.measure.quadrature import has_sum, radau


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 8])
def test_powers_up_to_twice_the_steps_are_integrated_exactly(steps: int) -> None:
    nodes, weights = radau(steps)
    assert len(nodes) == len(weights) == steps + 1
    assert nodes[0] == 0.0
    assert (np.diff(nodes) > 0).all()
    assert nodes[-1] < 1.0
    for power in range(2 * steps + 1):
        assert weights @ nodes**power == pytest.approx(1.0 / (power + 1))
    beyond = 2 * steps + 1
    assert weights @ nodes**beyond != pytest.approx(1.0 / (beyond + 1), rel=1e-9)


def test_two_nodes_are_the_textbook_ones() -> None:
    nodes, weights = radau(1)
    assert nodes == pytest.approx([0.0, 2.0 / 3.0])
    assert weights == pytest.approx([0.25, 0.75])


def test_the_sum_over_heads_is_asked_for_with_more_than_one_step() -> None:
    assert [has_sum(steps) for steps in (0, 1, 2)] == [False, False, True]
