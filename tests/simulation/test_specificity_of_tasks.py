"""Simulated pairs of tasks with known truth: how often does the interval for all heads leave out |own| - |other|?

A world is two tasks and 24 heads, tested as one family both ways round as a sweep is. Means over templates are normal:
the own task's of any spread, another task's often of next to none, and templates are the tasks' own or shared. The
truth is a contrast of 0, so each interval that leaves 0 out is an error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from headscope.heads import Head
from headscope.random_streams import generator
from headscope.stats.specificity import unpaired_specificity_blocks
from headscope.stats.tables import effects_table, head_tests
from headscope.stats.unpaired import unpaired_rows
from tests.simulation.test_error_rates import allowed

N_HEADS = 24
SHORT, LONG = 1_000, 20_000


@dataclass(frozen=True)
class Case:
    """Two tasks.

    Attributes:
        n_templates: of each.
        spread: standard deviation over templates of each task's changes, nats.
        change: of either task, nats; the sign of the own one is -, of the other +.
        n_shared: templates that both have, on which their changes correlate by .5.
    """

    n_templates: tuple[int, int] = (8, 8)
    spread: tuple[float, float] = (1.0, 1.0)
    change: float = 5.0
    n_shared: int = 0


def rows_of(case: Case, n_runs: int) -> pd.DataFrame:
    """The contrasts of the first task's heads in many worlds, a row a head, world by world."""
    rng = generator(0, "specificity", str(case))
    labels = [
        [f"{i}" if i < case.n_shared else f"{task}{i}" for i in range(n)] for task, n in enumerate(case.n_templates)
    ]
    common = rng.standard_normal((case.n_shared, n_runs * N_HEADS))
    changes: list[np.ndarray] = []
    for sign, n, spread in zip((-1.0, 1.0), case.n_templates, case.spread, strict=True):
        noise = rng.standard_normal((n, n_runs * N_HEADS))
        noise[: case.n_shared] = np.sqrt(0.5) * (noise[: case.n_shared] + sign * common)
        changes.append(sign * case.change + spread * noise)
    return contrasts(changes, labels)


def contrasts(changes: list[np.ndarray], labels: list[list[str]]) -> pd.DataFrame:
    """As ``effects_table`` has them of one world (see the test below), of many at once."""
    tests = [{}] * changes[0].shape[1]
    (block,) = unpaired_specificity_blocks("own", tests, changes[0], labels[0], {"other": (changes[1], labels[1])})
    return unpaired_rows(
        block.edited, block.baseline, *labels, family=block.family, n_simultaneous=2 * N_HEADS, vary_alike=False
    )


def share_of_runs(wrong: pd.Series) -> float:
    """Runs in which any head is."""
    return float(wrong.to_numpy().reshape(-1, N_HEADS).any(axis=1).mean())


def check(case: Case, n_runs: int) -> None:
    rows = rows_of(case, n_runs)
    assert share_of_runs((rows["sim_low"] > 0.0) | (rows["sim_high"] < 0.0)) <= allowed(0.05, n_runs)


CASES = {
    "alike": Case(),
    "the other hardly varies": Case(spread=(1.0, 0.05)),
    "the own hardly varies": Case(spread=(0.05, 1.0)),
    "few own templates": Case(n_templates=(8, 28), spread=(1.0, 0.05)),
    "few templates of the other": Case(n_templates=(28, 8), spread=(0.05, 1.0)),
    "all templates shared": Case(spread=(1.0, 0.05), n_shared=8),
    "some templates shared": Case(n_templates=(12, 28), n_shared=8),
    "no change in either": Case(change=0.0),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_no_interval_for_all_heads_leaves_the_truth_out_more_often_than_it_promises(case):
    check(case, SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_no_interval_leaves_the_truth_out_too_often_over_20000_runs(case):
    check(case, LONG)


def test_a_sign_turned_by_noise_does_not_make_a_head_specific():
    """Another task's change is 0: turned to be positive it is too large, so the contrast is too small."""
    rng = generator(1, "specificity", "turned")
    own, other = 0.3 + 0.01 * rng.standard_normal((10, SHORT * N_HEADS)), rng.standard_normal((10, SHORT * N_HEADS))
    rows = contrasts([own, other], [[f"{task}{i}" for i in range(10)] for task in range(2)])
    assert float(rows["estimate"].mean()) < 0.3
    assert share_of_runs(rows["sim_low"] > 0.3) == 0.0


def test_a_run_of_two_tasks_has_these_intervals():
    rng = generator(2, "specificity", "table")
    changes = [rng.normal(size=(8, N_HEADS)), 0.1 * rng.normal(size=(9, N_HEADS))]
    labels = [[f"{task}{i}" for i in range(len(one))] for task, one in enumerate(changes)]
    tests = head_tests([Head(0, head) for head in range(N_HEADS)])
    blocks = [
        block
        for own, other in ((0, 1), (1, 0))
        for block in unpaired_specificity_blocks(
            str(own), tests, changes[own], labels[own], {str(other): (changes[other], labels[other])}
        )
    ]
    table, ends = effects_table(blocks, seed=0), ["ci_low", "ci_high", "sim_low", "sim_high"]
    np.testing.assert_allclose(table[ends][:N_HEADS], contrasts(changes, labels)[ends])
    np.testing.assert_allclose(table["sim_low"][:N_HEADS], -table["sim_high"][N_HEADS:])
