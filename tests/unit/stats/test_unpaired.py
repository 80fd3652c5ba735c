"""The unpaired comparison against statsmodels, Welch's test, and the general CR2 formula with matrix square roots."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import linalg, stats

from headscope.errors import RequestError
from headscope.stats.effects import ROW_COLUMNS
from headscope.stats.unpaired import unpaired_rows
from tests.tolerances import FLOAT64, FLOAT64_SUM


def cr2_by_matrices(y: np.ndarray, x: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Standard error and Satterthwaite df of the last coefficient, Bell & McCaffrey 2002, identity working model."""
    bread = np.linalg.inv(x.T @ x)
    residuals = y - x @ (bread @ x.T @ y)
    hat = x @ bread @ x.T
    scores, rows = [], []
    for cluster in np.unique(clusters):
        mine = clusters == cluster
        block = np.eye(mine.sum()) - hat[np.ix_(mine, mine)]
        adjust = np.real(linalg.fractional_matrix_power(block, -0.5))
        weights = bread[-1] @ x[mine].T @ adjust
        scores.append(weights @ residuals[mine])
        rows.append(weights @ (np.eye(len(y)) - hat)[mine])
    omega = np.array(rows) @ np.array(rows).T
    return float(np.sqrt(np.sum(np.square(scores)))), float(np.trace(omega) ** 2 / np.sum(omega**2))


@pytest.mark.parametrize("seed", range(3))
def test_shared_unbalanced_templates_give_the_general_cr2_answer(seed):
    rng = np.random.default_rng(seed)
    first = np.repeat(np.arange(10), rng.integers(1, 5, size=10))
    second = np.repeat(np.arange(4, 14), rng.integers(1, 5, size=10))
    values, controls = rng.normal(0.5, 1.0, size=len(first)), rng.normal(size=len(second))
    y, clusters = np.concatenate([values, controls]), np.concatenate([first, second])
    x = np.column_stack([np.ones(len(y)), np.arange(len(y)) < len(first)]).astype(float)
    error, df = cr2_by_matrices(y, x, clusters)
    row = unpaired_rows(
        values[:, None], controls[:, None], [f"t{i}" for i in first], [f"t{i}" for i in second], family="f"
    ).iloc[0]
    assert row.estimate == pytest.approx(values.mean() - controls.mean())
    assert row.ci_high - row.estimate == pytest.approx(stats.t.isf(0.025, df) * error, rel=FLOAT64)
    assert row.p_value == pytest.approx(2 * stats.t.sf(abs(row.estimate / error), df), rel=FLOAT64)


def test_one_prompt_a_template_is_welchs_test():
    rng = np.random.default_rng(2)
    values, controls = rng.normal(0.5, 1.0, size=(12, 2)), rng.normal(0.0, 2.0, size=(12, 2))
    rows = unpaired_rows(values, controls, [f"a{i}" for i in range(12)], [f"b{i}" for i in range(12)], family="f")
    expected = stats.ttest_ind(values, controls, equal_var=False)
    error = (rows["estimate"] / expected.statistic).to_numpy()
    hc2 = sm.OLS(
        np.concatenate([values[:, 0], controls[:, 0]]), sm.add_constant(np.repeat([1.0, 0.0], 12))
    ).fit(cov_type="HC2")  # fmt: skip
    assert error[0] == pytest.approx(hc2.bse[1], rel=FLOAT64_SUM)
    half = (rows["ci_high"] - rows["estimate"]).to_numpy()
    np.testing.assert_allclose(half, stats.t.isf(0.025, 22) * error, rtol=FLOAT64)


def test_the_row_has_every_column_and_no_paired_effect_size():
    rng = np.random.default_rng(0)
    rows = unpaired_rows(
        rng.random((14, 3)), rng.random((14, 3)), list("aabbccddeeffgg"), list("aabbccddeeffgg"), family="f"
    )
    assert list(rows.columns) == list(ROW_COLUMNS)
    assert rows[["d_z", "sim_low", "p_max_t"]].isna().all(axis=None)
    assert (rows["mde"] > 0).all()
    assert (rows["status"] == "exploratory").all()


def test_few_templates_are_descriptive_and_p_is_never_zero():
    same = ["a", "b", "c", "d", "e"]
    rows = unpaired_rows(np.ones((5, 1)), np.zeros((5, 1)), same, same, family="f")
    assert rows["status"].tolist() == ["descriptive"]
    assert rows[["p_value", "q_value", "ci_low", "mde"]].isna().all(axis=None)
    assert rows["estimate"].tolist() == [1.0]
    six = [*same, "f"]
    rows = unpaired_rows(np.ones((6, 1)), np.zeros((6, 1)), six, six, family="f")
    assert 0 < rows["p_value"].iloc[0] < 1e-12
    assert unpaired_rows(np.ones((6, 1)), np.ones((6, 1)), six, six, family="f")["p_value"].tolist() == [1.0]


def test_missing_values_and_wrong_shapes_are_refused():
    with pytest.raises(RequestError, match="missing values"):
        unpaired_rows(np.full((1, 1), np.nan), np.zeros((1, 1)), ["a"], ["b"], family="f")
    with pytest.raises(RequestError, match="do not belong together"):
        unpaired_rows(np.zeros((2, 1)), np.zeros((1, 1)), ["a"], ["b"], family="f")


def test_classes_that_vary_differently_give_welchs_degrees_of_freedom():
    rng = np.random.default_rng(5)
    values, controls = rng.normal(0.5, 1.0, size=(8, 3)), rng.normal(0.0, 0.1, size=(20, 3))
    labels = [f"a{i}" for i in range(8)], [f"b{i}" for i in range(20)]
    rows = unpaired_rows(values, controls, *labels, family="f", n_simultaneous=40, vary_alike=False)
    expected = stats.ttest_ind(values, controls, equal_var=False)
    np.testing.assert_allclose(rows["p_value"], expected.pvalue, rtol=FLOAT64)
    for columns, level in ((("ci_low", "ci_high"), 0.95), (("sim_low", "sim_high"), 1 - 0.05 / 40)):
        ends = expected.confidence_interval(level)
        np.testing.assert_allclose(rows[columns[0]], ends.low, rtol=FLOAT64)
        np.testing.assert_allclose(rows[columns[1]], ends.high, rtol=FLOAT64)


def test_templates_that_are_all_shared_give_the_paired_test_however_the_classes_vary():
    rng = np.random.default_rng(6)
    shared = rng.normal(size=(9, 3))
    values, controls = shared + rng.normal(0.5, 1.0, size=(9, 3)), 0.1 * shared + rng.normal(0.0, 0.1, size=(9, 3))
    labels = [f"t{i}" for i in range(9)]
    rows = unpaired_rows(values, controls, labels, labels, family="f", vary_alike=False)
    expected = stats.ttest_rel(values, controls)
    np.testing.assert_allclose(rows["p_value"], expected.pvalue, rtol=FLOAT64)
    np.testing.assert_allclose(rows["ci_low"], expected.confidence_interval(0.95).low, rtol=FLOAT64)


def test_tests_in_which_nothing_varies_have_an_interval_of_one_point():
    values, controls = np.full((7, 2), [1.0, 0.0]), np.zeros((8, 2))
    labels = [f"a{i}" for i in range(7)], [f"b{i}" for i in range(8)]
    rows = unpaired_rows(values, controls, *labels, family="f", n_simultaneous=2, vary_alike=False)
    assert rows["sim_low"].tolist() == rows["sim_high"].tolist() == [1.0, 0.0]
    assert rows["p_value"].iloc[0] < 1e-300
    assert rows["p_value"].iloc[1] == 1.0
