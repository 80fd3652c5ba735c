"""Rows of effects: what each column is, what happens at the edges, and laws."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from headscope.errors import RequestError, WorkError
from headscope.stats.clusters import FamilyBlock
from headscope.stats.effects import ROW_COLUMNS, FamilyTest, family_rows
from tests.tolerances import FLOAT64

HOW = FamilyTest(family="f", status="confirmatory", simultaneous=True)
CLAIMS = ["ci_low", "ci_high", "sim_low", "sim_high", "p_value", "p_max_t", "q_value", "mde"]


def labels(n_templates: int, prompts_each: int = 2) -> list[str]:
    return [f"t{i:02d}" for i in range(n_templates) for _ in range(prompts_each)]


def rows_of(deltas: np.ndarray, templates: list[str], **changes: object) -> pd.DataFrame:
    seed, alpha = changes.pop("seed", 0), changes.pop("alpha", 0.05)
    block = FamilyBlock(deltas, templates, [{}] * deltas.shape[1])
    return family_rows([block], replace(HOW, **changes), seed=seed, alpha=alpha)


def test_every_column_is_what_it_says():
    templates = labels(20)
    deltas = np.random.default_rng(0).normal(0.4, 1.0, size=(40, 5))
    rows = rows_of(deltas, templates)
    means = deltas.reshape(20, 2, 5).mean(axis=1)
    assert list(rows.columns) == list(ROW_COLUMNS)
    np.testing.assert_allclose(rows["estimate"], means.mean(0))
    np.testing.assert_allclose(rows["d_z"], means.mean(0) / means.std(0, ddof=1))
    np.testing.assert_allclose(rows["skewness"], stats.skew(means, bias=False))
    interval = stats.ttest_1samp(means, 0.0).confidence_interval()
    np.testing.assert_allclose(rows["ci_low"], interval.low)
    np.testing.assert_allclose(rows["ci_high"], interval.high)
    np.testing.assert_allclose(rows["q_value"], stats.false_discovery_control(rows["p_value"]))
    assert (rows["sim_low"] < rows["ci_low"]).all()
    assert (rows["sim_high"] > rows["ci_high"]).all()
    assert (rows["mde"] > 0).all()
    assert rows["n_prompts"].tolist() == [40] * 5
    assert rows["n_templates"].tolist() == [20] * 5
    assert set(rows["family"]) == {"f"}
    assert set(rows["status"]) == {"confirmatory"}


def test_a_simultaneous_interval_off_zero_comes_with_a_small_adjusted_p():
    deltas = np.random.default_rng(1).normal(size=(60, 30)) + np.where(np.arange(30) < 3, 2.0, 0.0)
    rows = rows_of(deltas, labels(30))
    off = (rows["sim_low"] > 0) | (rows["sim_high"] < 0)
    assert off.tolist() == (rows["p_max_t"] < 0.05).tolist() == [True] * 3 + [False] * 27


def test_below_six_templates_a_row_is_an_estimate_and_nothing_else():
    rows = rows_of(np.random.default_rng(0).normal(size=(10, 2)), labels(5))
    assert rows["status"].tolist() == ["descriptive"] * 2
    assert rows[CLAIMS].isna().all(axis=None)
    assert rows["estimate"].notna().all()
    assert rows["n_templates"].tolist() == [5, 5]


def test_a_test_with_too_few_templates_does_not_burden_the_family():
    deltas = np.random.default_rng(0).normal(0.5, 1.0, size=(24, 3))
    deltas[8:, 2] = np.nan
    rows = rows_of(deltas, labels(12))
    alone = rows_of(deltas[:, :2], labels(12))
    assert rows["status"].tolist() == ["confirmatory", "confirmatory", "descriptive"]
    pd.testing.assert_frame_equal(rows.iloc[:2], alone)


def test_all_missing_is_a_row_of_missing_values_and_not_an_error():
    deltas = np.random.default_rng(0).normal(size=(16, 2))
    deltas[:, 0] = np.nan
    rows = rows_of(deltas, labels(8))
    assert rows.loc[0, ["estimate", "d_z", "skewness", *CLAIMS]].isna().all()
    assert rows.loc[0, ["n_prompts", "n_templates"]].tolist() == [0, 0]
    assert rows.loc[0, "status"] == "descriptive"
    assert rows.loc[1, "p_value"] > 0


def test_a_family_of_no_tests_is_an_empty_table():
    assert len(rows_of(np.empty((12, 0)), labels(6))) == 0


def test_effects_below_numerical_tolerance_are_zero_with_p_one():
    """Float noise has a sign, too: 1e-7 in every template must not be a discovery."""
    deltas = np.full((24, 2), 1e-7)
    deltas[:, 1] = np.random.default_rng(0).normal(1.0, 0.1, size=24)
    rows = rows_of(deltas, labels(12))
    assert rows.loc[0, ["estimate", "d_z", "ci_low", "ci_high", "sim_low", "sim_high"]].tolist() == [0.0] * 6
    assert np.isnan(rows.loc[0, "mde"]), "templates that all say nothing do not show that anything would be found"
    assert rows.loc[0, ["p_value", "p_max_t", "q_value"]].tolist() == [1.0] * 3
    assert rows.loc[1, "p_max_t"] < 0.01


def test_a_mean_below_tolerance_is_zero_even_where_templates_differ():
    deltas = np.repeat(np.array([1.0, -1.0] * 6)[:, None], 1, axis=1) + 1e-7
    row = rows_of(deltas, labels(12, 1)).iloc[0]
    assert row.estimate == 0.0
    assert row.p_value == row.p_max_t == 1.0
    assert row.ci_low < 0 < row.ci_high


def test_a_constant_effect_is_tested_and_has_no_standardised_size():
    row = rows_of(np.full((16, 1), -0.5), labels(8)).iloc[0]
    assert row.estimate == row.ci_low == row.ci_high == row.sim_low == row.sim_high == -0.5
    assert row.p_value == row.p_max_t == 2 / 2**8
    assert np.isnan(row.d_z)
    assert np.isnan(row.skewness)
    assert np.isnan(row.mde)


def test_without_simultaneous_those_columns_are_missing():
    rows = rows_of(np.random.default_rng(0).normal(size=(16, 3)), labels(8), simultaneous=False)
    assert rows[["sim_low", "sim_high", "p_max_t"]].isna().all(axis=None)
    assert rows[["p_value", "q_value", "mde"]].notna().all(axis=None)


def test_ratios_are_logs_turned_back():
    logs = np.random.default_rng(0).normal(0.05, 0.02, size=(24, 3))
    plain = rows_of(logs, labels(12))
    ratio = rows_of(logs, labels(12), scale="log_ratio")
    for column in ("estimate", "ci_low", "ci_high", "sim_low", "sim_high", "mde"):
        np.testing.assert_allclose(ratio[column], np.exp(plain[column]))
    pd.testing.assert_series_equal(ratio["p_max_t"], plain["p_max_t"])


def test_a_divergence_has_an_interval_from_zero_up_and_no_test():
    kl = np.abs(np.random.default_rng(0).normal(0.0, 0.3, size=(24, 2))) ** 3
    rows = rows_of(kl, labels(12), scale="divergence", simultaneous=False)
    assert (rows["ci_low"] >= 0).all()
    assert (rows["ci_high"] > rows["estimate"]).all()
    assert rows[["p_value", "q_value", "mde"]].isna().all(axis=None)
    with pytest.raises(WorkError, match="divergence is negative"):
        rows_of(kl - 1, labels(12), scale="divergence")


def test_the_bootstrap_interval_is_used_from_thirty_templates_and_t_below():
    deltas = np.random.default_rng(0).exponential(size=(40, 2))
    deltas[20:, 1] = np.nan
    plain, booted = rows_of(deltas, labels(40, 1)), rows_of(deltas, labels(40, 1), interval="bootstrap_t")
    assert booted.loc[0, "ci_high"] != plain.loc[0, "ci_high"]
    assert booted.loc[1, "ci_high"] == plain.loc[1, "ci_high"]
    pd.testing.assert_series_equal(booted["p_value"], plain["p_value"])


def test_blocks_form_one_family_and_keep_their_keys():
    rng = np.random.default_rng(2)
    templates = labels(10)
    blocks = [
        FamilyBlock(rng.normal(0.5, 1, size=(20, 2)), templates, [{"concept": c, "head": h} for h in range(2)])
        for c in ("anger", "apology")
    ]
    rows = family_rows(blocks, HOW, seed=0)
    assert list(rows.columns) == ["concept", "head", *ROW_COLUMNS]
    assert rows["concept"].tolist() == ["anger", "anger", "apology", "apology"]
    joint = rows_of(np.hstack([block.deltas for block in blocks]), templates)
    pd.testing.assert_frame_equal(rows[list(ROW_COLUMNS)], joint)


def test_a_template_shared_by_concepts_flips_once_for_all():
    """Two concepts with the very same effects are one test; with effects of other templates they are two."""
    values = np.random.default_rng(3).normal(0.45, 1.0, size=(12, 1))
    alone = rows_of(values, labels(12, 1))["p_max_t"][0]
    copy = FamilyBlock(values, labels(12, 1), [{}])
    shared = family_rows([copy, copy], HOW, seed=0)
    other = FamilyBlock(values, [f"u{i}" for i in range(12)], [{}])
    apart = family_rows([copy, other], replace(HOW, n_flips=2**23), seed=0)
    assert shared["p_max_t"].tolist() == [alone, alone]
    # The larger of two independent tests, but for ties at their few distinct values.
    assert apart["p_max_t"][0] == pytest.approx(1 - (1 - alone) ** 2, rel=0.05)


def test_the_seed_and_the_family_name_the_flips():
    deltas = np.random.default_rng(0).normal(0.3, 1, size=(60, 4))
    first, again = rows_of(deltas, labels(30)), rows_of(deltas, labels(30))
    pd.testing.assert_frame_equal(first, again)
    assert not rows_of(deltas, labels(30), seed=1)["p_value"].equals(first["p_value"])
    assert not rows_of(deltas, labels(30), family="g")["p_value"].equals(first["p_value"])


def test_impossible_requests_are_refused():
    with pytest.raises(RequestError, match="level of a test"):
        rows_of(np.zeros((6, 1)), labels(6, 1), alpha=0.0)
    with pytest.raises(RequestError, match="status"):
        rows_of(np.zeros((6, 1)), labels(6, 1), status="certain")


data = st.tuples(st.integers(6, 9), st.integers(1, 4), st.integers(0, 2**31))


@settings(max_examples=30, deadline=None)
@given(data, st.randoms(use_true_random=False))
def test_the_order_of_prompts_does_not_matter(shape, random):
    n, k, seed = shape
    deltas, templates = np.random.default_rng(seed).normal(0.3, 1, size=(2 * n, k)), labels(n)
    order = list(range(2 * n))
    random.shuffle(order)
    first, second = rows_of(deltas, templates), rows_of(deltas[order], [templates[i] for i in order])
    pd.testing.assert_frame_equal(first, second, rtol=FLOAT64)


@settings(max_examples=30, deadline=None)
@given(data, st.floats(0.5, 100.0))
def test_another_unit_scales_effects_and_nothing_else(shape, factor):
    n, k, seed = shape
    deltas, templates = np.random.default_rng(seed).normal(0.5, 1, size=(2 * n, k)), labels(n)
    first, second = rows_of(deltas, templates), rows_of(deltas * factor, templates)
    scaled = ["estimate", "ci_low", "ci_high", "sim_low", "sim_high", "mde"]
    np.testing.assert_allclose(second[scaled], first[scaled] * factor, rtol=FLOAT64, atol=FLOAT64)
    same = ["d_z", "p_value", "p_max_t", "q_value", "skewness"]
    np.testing.assert_allclose(second[same], first[same], rtol=FLOAT64, atol=FLOAT64)


@settings(max_examples=30, deadline=None)
@given(data)
def test_turning_all_signs_turns_effects_and_keeps_p(shape):
    n, k, seed = shape
    deltas, templates = np.random.default_rng(seed).normal(0.5, 1, size=(2 * n, k)), labels(n)
    first, second = rows_of(deltas, templates), rows_of(-deltas, templates)
    np.testing.assert_allclose(second["estimate"], -first["estimate"])
    np.testing.assert_allclose(second["sim_low"], -first["sim_high"])
    pd.testing.assert_frame_equal(second[["p_value", "p_max_t", "q_value"]], first[["p_value", "p_max_t", "q_value"]])
