"""Areas against curves whose areas are known, MIB's own arithmetic, and the jackknife against Student's interval."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from headscope.stats.areas import areas_table, curve_sizes, jackknife_interval
from headscope.stats.clusters import TemplateMeans
from headscope.tables import TABLES


def means_of(curve: np.ndarray, n_templates: int = 8, noise: float = 0.0) -> TemplateMeans:
    """Template means whose mean over templates is exactly ``curve``."""
    spread = noise * np.random.default_rng(0).normal(size=(n_templates, len(curve)))
    values = curve + spread - spread.mean(axis=0)
    return TemplateMeans(values, np.ones(values.shape, dtype=np.int64), tuple(map(str, range(n_templates))))


def areas(sizes, top, bottom, kept, noise=0.0):
    found = areas_table("joy", sizes, means_of(top, noise=noise), means_of(bottom, noise=noise), means_of(kept))
    return found.set_index("area")["estimate"]


def test_sizes_are_mibs_shares_of_all_heads_to_the_nearest_head():
    assert curve_sizes(1000) == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    assert curve_sizes(144) == [1, 3, 7, 14, 29, 72, 144]
    assert curve_sizes(16) == [1, 2, 3, 8, 16]
    assert curve_sizes(2) == [1, 2]
    assert curve_sizes(1) == [1]


def test_a_concept_in_its_first_head_alone():
    """One head of eight holds everything: with it the model is whole, without it nothing is left."""
    sizes = list(range(1, 9))
    first = areas(sizes, np.full(8, -4.0), np.array([0.0] * 7 + [-4.0]), np.zeros(7))
    assert first["cpr"] == pytest.approx(1 - 1 / 16)  # f rises from 0 at no head to 1 at the first
    assert first["removed_top"] == pytest.approx(1 - 1 / 16)
    assert first["cmd"] == pytest.approx(1 / 16)
    assert first["removed_bottom"] == pytest.approx(1 / 16)


def test_a_concept_spread_evenly_has_areas_of_one_half():
    sizes = list(range(1, 9))
    line = -4.0 * np.arange(1, 9) / 8
    found = areas(sizes, line, line, line[::-1][1:])
    assert found.to_numpy() == pytest.approx(np.full(4, 0.5))


def test_areas_are_mibs_arithmetic_on_the_kept_circuits():
    """CPR and CMD recomputed as MIB does: faithfulness at each size, trapezoids over the share of components."""
    rng = np.random.default_rng(1)
    sizes = curve_sizes(12)
    off = -5.0
    top = np.append(rng.uniform(-6, 1, len(sizes) - 1), off)
    bottom = np.append(rng.uniform(-6, 1, len(sizes) - 1), off)
    kept = rng.uniform(-6, 1, len(sizes) - 1)
    found = areas(sizes, top, bottom, kept, noise=0.3)
    baseline = 2.0

    def faithfulness(edited):
        return (edited - (baseline + off)) / (baseline - (baseline + off))

    shares = [k / 12 for k in sizes[:-1]]
    signed = [(0.0, 0.0), *zip(shares, (faithfulness(baseline + d) for d in kept), strict=True), (1.0, 1.0)]
    removed = [(1 - k / 12, faithfulness(baseline + d)) for k, d in zip(sizes, bottom, strict=True)]
    by_size = [*reversed(removed), (1.0, 1.0)]
    cpr = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(signed))
    cmd = sum((b[0] - a[0]) * (abs(1 - a[1]) + abs(1 - b[1])) / 2 for a, b in pairwise(by_size))
    assert found["cpr"] == pytest.approx(cpr)
    assert found["cmd"] == pytest.approx(cmd)


def test_shares_of_nothing_are_missing_and_say_so():
    rng = np.random.default_rng(2)
    wild = rng.normal(size=(8, 3))
    none = TemplateMeans(wild - wild.mean(axis=0), np.ones((8, 3), dtype=np.int64), tuple("abcdefgh"))
    found = areas_table("joy", [1, 2, 3], none, none, means_of(np.zeros(2)))
    assert found["estimate"].isna().all()
    assert found["note"].str.contains("undefined").all()


def test_the_jackknife_of_a_mean_is_students_interval():
    values = np.random.default_rng(3).normal(size=(12, 1))
    estimate, low, high = jackknife_interval(values, lambda m: float(m[0]))
    expected = stats.ttest_1samp(values[:, 0], 0).confidence_interval()
    assert (estimate, low, high) == pytest.approx((values.mean(), expected.low, expected.high))


def test_the_jackknife_covers_a_ratio_of_means():
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(400):
        gap = rng.normal(4.0, 1.0, size=20)
        lost = 0.5 * gap + rng.normal(0.0, 0.7, size=20)
        _, low, high = jackknife_interval(np.stack([lost, gap], axis=1), lambda m: float(m[0] / m[1]))
        hits += low <= 0.5 <= high
    assert 0.92 < hits / 400 < 0.98


def test_fewer_than_six_templates_have_no_interval():
    _, low, high = jackknife_interval(np.ones((5, 1)), lambda m: float(m[0]))
    assert np.isnan([low, high]).all()


def test_the_tables_of_a_run_have_these_columns():
    assert list(TABLES["areas"].kinds) == TABLES["areas"].columns
    assert list(TABLES["smallest"].kinds) == TABLES["smallest"].columns
