"""Random sets: disjoint, distinct, matched where they can be; percentiles with a floor."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import percentileofscore

from headscope.errors import RequestError
from headscope.heads import HeadSet
from headscope.stats.nulls import ENOUGH_REACHING, draw_disjoint_sets, n_to_try, null_row, percentile_among
from headscope.tables import TABLES

SMALL = [4, 4, 4, 4]
LARGE = [12] * 12


def layers(heads: HeadSet) -> list[int]:
    return [head.layer for head in heads]


def test_a_large_model_gives_layer_matched_disjoint_distinct_sets():
    tested = HeadSet.parse("1:10,3:2,3:5", LARGE)
    found = draw_disjoint_sets(LARGE, tested, n_sets=300, seed=0)
    assert found.layer_matched
    assert found.n_possible == 11 * math.comb(10, 2)
    assert len(set(found.sets)) == len(found.sets) == 300
    assert all(layers(drawn) == [1, 3, 3] for drawn in found.sets)
    assert not any(head in tested for drawn in found.sets for head in drawn)
    assert found.note == ""


def test_a_small_model_falls_back_to_any_layer_and_says_so():
    tested = HeadSet.parse("0:0,1:1", SMALL)
    found = draw_disjoint_sets(SMALL, tested, n_sets=50, seed=0)
    assert not found.layer_matched
    assert found.n_possible == math.comb(14, 2)
    assert len(found.sets) == 50
    assert "only 9 disjoint sets match its layers" in found.note


def test_where_fewer_exist_than_asked_for_all_are_used():
    tested = HeadSet.parse("0:0", SMALL)
    found = draw_disjoint_sets(SMALL, tested, n_sets=200, seed=0)
    assert len(found.sets) == found.n_possible
    assert len(set(found.sets)) == 15
    assert "all 15 disjoint sets were used" in found.note


def test_sets_that_cannot_be_listed_are_drawn():
    wide = [24] * 12
    found = draw_disjoint_sets(wide, HeadSet.parse("0:0-5,5:0-5", wide), n_sets=200, seed=0)
    assert found.n_possible == math.comb(18, 6) ** 2
    assert len(set(found.sets)) == 200


def test_a_set_too_large_to_be_avoided_has_no_null():
    tested = HeadSet.parse("0:*,1:*,2:0", SMALL)
    found = draw_disjoint_sets(SMALL, tested, n_sets=10, seed=0)
    assert found.sets == ()
    assert "no set of 9 heads is disjoint" in found.note
    row = null_row("anger", tested, "o", -1.0, np.array([]), found).iloc[0]
    assert math.isnan(row["percentile"])
    assert math.isnan(row["floor"])


def test_draws_depend_on_seed_and_name_alone():
    tested = HeadSet.parse("1:10,3:2,3:5", LARGE)
    first = draw_disjoint_sets(LARGE, tested, n_sets=20, seed=0)
    assert draw_disjoint_sets(LARGE, tested, n_sets=20, seed=0) == first
    assert draw_disjoint_sets(LARGE, tested, n_sets=20, seed=1).sets != first.sets
    assert draw_disjoint_sets(LARGE, tested, n_sets=20, seed=0, name="again").sets != first.sets


def test_impossible_draws_are_refused():
    with pytest.raises(RequestError, match="no random sets"):
        draw_disjoint_sets(SMALL, HeadSet.parse("0:0", SMALL), n_sets=0, seed=0)
    with pytest.raises(RequestError, match="does not have"):
        draw_disjoint_sets(SMALL, HeadSet.parse("7:9", LARGE), seed=0)


def test_the_percentile_counts_larger_magnitudes_with_the_floor_of_its_size():
    null = np.arange(1.0, 100.0)
    assert percentile_among(-1000.0, null) == pytest.approx(99.0)  # 100 (1 - 1 / 100)
    assert percentile_among(0.0, null) == 0.0
    assert percentile_among(50.5, null) == pytest.approx(100 * (1 - 50 / 100))
    assert percentile_among(-50.5, -null) == percentile_among(50.5, null)


@settings(max_examples=50)
@given(st.integers(2, 200), st.integers(0, 1000))
def test_scipys_percentile_of_score_agrees_but_for_the_tested_set_itself(n, seed):
    rng = np.random.default_rng(seed)
    null, estimate = np.abs(rng.normal(size=n)), abs(rng.normal())
    share_below = percentileofscore(null, estimate, kind="strict") / 100
    assert percentile_among(estimate, null) == pytest.approx(100 * share_below * n / (n + 1))


def test_the_row_has_its_columns_and_its_floor():
    tested = HeadSet.parse("0:0", SMALL)
    sets = draw_disjoint_sets(SMALL, tested, n_sets=200, seed=0)
    row = null_row("anger", tested, "lexicon_logodds_nats", -2.0, np.linspace(-1, 1, 15), sets)
    assert list(row.columns) == TABLES["nulls"].columns
    assert row.loc[0, "floor"] == 1 / 16
    assert row.loc[0, "percentile"] == pytest.approx(100 * (1 - 1 / 16))
    assert row.loc[0, "n_random"] == 15


def test_missing_effects_are_refused():
    tested = HeadSet.parse("0:0", SMALL)
    sets = draw_disjoint_sets(SMALL, tested, n_sets=200, seed=0)
    with pytest.raises(RequestError, match="not every random set"):
        null_row("anger", tested, "o", 1.0, np.zeros(3), sets)
    with pytest.raises(RequestError, match="missing"):
        percentile_among(1.0, np.array([np.nan]))


def test_sets_are_tried_until_ten_reach_the_tested_one():
    null = np.tile([3.0, 0.1], 50)  # every other one reaches 2.0
    assert n_to_try(-2.0, null) == 2 * ENOUGH_REACHING - 1
    assert n_to_try(-2.0, null[: 2 * ENOUGH_REACHING - 2]) is None
    assert n_to_try(5.0, null) is None
    with pytest.raises(RequestError, match="missing"):
        n_to_try(np.nan, null)


def test_a_search_that_stopped_says_so_and_gives_the_share_that_reached():
    tested = HeadSet.parse("1:0", LARGE)
    sets = draw_disjoint_sets(LARGE, tested, n_sets=100, seed=0)
    row = null_row("anger", tested, "o", -2.0, np.tile([3.0, 0.1], 10)[:19], sets, stopped=True).iloc[0]
    assert row["percentile"] == pytest.approx(100 * (1 - ENOUGH_REACHING / 19))
    assert (row["n_random"], row["floor"]) == (19, 1 / 101)
    assert "stopped after 19 of 100 sets: 10 of them reach it" in row["note"]
    with pytest.raises(RequestError, match="not every random set"):
        null_row("anger", tested, "o", -2.0, np.tile([3.0, 0.1], 10), sets, stopped=True)


def test_a_sequential_p_is_at_most_alpha_as_often_as_alpha_says():
    """Besag & Clifford's p on 4000 null experiments: P(p <= a) <= a, for every level it can take."""
    rng = np.random.default_rng(0)
    p = []
    for _ in range(4000):
        estimate, *null = rng.normal(size=101)
        n = n_to_try(estimate, null)
        p.append((1 - percentile_among(estimate, np.array(null)) / 100) if n is None else ENOUGH_REACHING / n)
    p = np.array(p)
    assert (p > 0).all()
    for level in (0.01, 0.05, 0.1, 0.2, 0.5):
        error = 4 * np.sqrt(level * (1 - level) / len(p))  # four standard errors of a share
        assert (p <= level + 1e-12).mean() <= level + error
    assert (p <= 0.1).mean() > 0.08, "and it is no idle bound"
