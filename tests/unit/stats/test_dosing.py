"""Slopes through the neutral dose, where they lie among nulls, and the three tables of steering."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscope.errors import RequestError
from headscope.stats import dose_verdicts as words
from headscope.stats.clusters import template_means
from headscope.stats.dose_response import dose_response_table, dose_sentence
from headscope.stats.dosing import (
    DoseResponse,
    NullDraws,
    NullSlopes,
    SteeredOutcome,
    mean_slope,
    slopes,
    steering_blocks,
    steering_nulls_table,
    steering_table,
)
from headscope.stats.nulls import ENOUGH_REACHING, place_among
from headscope.stats.verdicts import DAMAGE_UNBOUNDED, NO_VERDICT, UNDECIDED
from headscope.tables import TABLES
from headscope.tables.csv import table_to_text
from headscope.terms import PERPLEXITY_RATIO, PRIMARY, RANDOM_HEADS, RANDOM_VECTOR, RESIDUAL
from tests.tolerances import FLOAT64_SUM

NEUTRAL = st.sampled_from([0.0, 1.0])
DOSES = st.lists(st.integers(2, 12).map(float), min_size=1, max_size=6, unique=True)
RANDOM = st.integers(0, 2**16).map(np.random.default_rng)


@given(RANDOM, DOSES, NEUTRAL, st.floats(-5, 5))
def test_a_straight_line_gives_its_slope(rng, doses, neutral, slope):
    x = np.array(doses, float) - neutral
    found = slopes(np.tile(slope * x, (3, 1)), doses, neutral=neutral)
    np.testing.assert_allclose(found, slope, rtol=FLOAT64_SUM, atol=FLOAT64_SUM)


@given(RANDOM, DOSES, st.floats(0.01, 100))
def test_doses_c_times_as_large_give_a_slope_c_times_as_small(rng, doses, factor):
    deltas = rng.normal(size=(4, len(doses)))
    scaled = slopes(deltas, [factor * dose for dose in doses], neutral=0.0)
    np.testing.assert_allclose(factor * scaled, slopes(deltas, doses, neutral=0.0), rtol=1e-7, atol=FLOAT64_SUM)


@given(RANDOM, DOSES, NEUTRAL)
def test_the_order_of_doses_does_not_matter(rng, doses, neutral):
    deltas, order = rng.normal(size=(4, len(doses))), rng.permutation(len(doses))
    shuffled = slopes(deltas[:, order], [doses[i] for i in order], neutral=neutral)
    np.testing.assert_allclose(shuffled, slopes(deltas, doses, neutral=neutral), rtol=1e-7, atol=FLOAT64_SUM)


@given(RANDOM, DOSES)
def test_least_squares_without_intercept_agrees(rng, doses):
    deltas = rng.normal(size=(4, len(doses)))
    expected = np.linalg.lstsq(np.array(doses, float)[:, None], deltas.T, rcond=None)[0][0]
    np.testing.assert_allclose(slopes(deltas, doses, neutral=0.0), expected, rtol=1e-7, atol=FLOAT64_SUM)


def test_the_slope_of_a_case_computed_by_hand():
    # x = -2, 1, 3: sum(x d) = -2 (-1) + 1 (2) + 3 (4) = 16, sum(x^2) = 4 + 1 + 9 = 14
    assert slopes(np.array([[-1.0, 2.0, 4.0]]), [-2.0, 1.0, 3.0], neutral=0.0)[0] == pytest.approx(16 / 14)
    # factors 0, 2, 4 are x = -1, 1, 3: sum(x d) = 1 + 2 + 12 = 15, sum(x^2) = 11
    assert slopes(np.array([[-1.0, 2.0, 4.0]]), [0.0, 2.0, 4.0], neutral=1.0)[0] == pytest.approx(15 / 11)


def test_a_prompt_that_lacks_a_dose_has_no_slope():
    assert math.isnan(slopes(np.array([[np.nan, 2.0]]), [1.0, 2.0], neutral=0.0)[0])


@pytest.mark.parametrize(
    ("deltas", "doses"),
    [(np.ones((2, 2)), [1.0]), (np.ones((2, 1)), [math.inf]), (np.ones((2, 1)), [0.0])],
)
def test_effects_and_doses_that_make_no_slope_are_refused(deltas, doses):
    with pytest.raises(RequestError, match="make no slope"):
        slopes(deltas, doses, neutral=0.0)


@given(RANDOM, DOSES)
def test_the_mean_of_slopes_is_the_slope_of_means_over_templates(rng, doses):
    """So a null needs only its mean effect at each dose."""
    deltas, templates = rng.normal(size=(6, len(doses))), ["a", "a", "b", "b", "b", "c"]
    means = template_means(deltas, templates).means.mean(axis=0)
    expected = slopes(means[None], doses, neutral=0.0)[0]
    assert mean_slope(deltas, doses, templates, neutral=0.0) == pytest.approx(expected, abs=FLOAT64_SUM)


def test_p_is_that_of_the_search_that_was_made():
    null = np.array([3.0] * 4 + [0.1] * 96)
    placed = place_among(-2.0, null, n_planned=100)
    assert (placed.n_tried, placed.n_reaching, placed.floor) == (100, 4, 1 / 101)
    assert placed.p_value == pytest.approx(5 / 101)
    assert placed.exceeds
    stopped = place_among(-2.0, [3.0, 0.1] * 9 + [3.0], n_planned=100, stopped=True)
    assert stopped.p_value == pytest.approx(ENOUGH_REACHING / 19)
    assert stopped.is_like_random


@given(st.integers(1, 100), st.data())
def test_nothing_is_both_beyond_random_ones_and_like_them(n, data):
    b = data.draw(st.integers(0, n))
    placed = place_among(1.0, [2.0] * b + [0.0] * (n - b), n_planned=n)
    assert not (placed.exceeds and placed.is_like_random)


@pytest.mark.parametrize("n", [10, 57, 100])
def test_a_search_that_stopped_always_shows_that_many_random_ones_reach_it(n):
    null = [0.0] * (n - ENOUGH_REACHING) + [2.0] * ENOUGH_REACHING
    placed = place_among(1.0, null, n_planned=100, stopped=True)
    assert placed.is_like_random
    # lower limit: with that share as many or more of n reach it in 5 % of searches
    reaching = np.random.default_rng(0).binomial(n, placed.share_low, size=100_000) >= ENOUGH_REACHING
    assert reaching.mean() == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 100_000))


def test_nothing_tried_is_neither_beyond_nor_like():
    nothing = place_among(1.0, [], n_planned=0)
    assert not nothing.exceeds
    assert not nothing.is_like_random


def test_nulls_with_other_numbers_than_planned_are_refused():
    with pytest.raises(RequestError, match="not every random one"):
        place_among(1.0, [0.0] * 3, n_planned=4)
    with pytest.raises(RequestError, match="not every random one"):
        place_among(1.0, [0.0] * 3, n_planned=100, stopped=True)
    with pytest.raises(RequestError, match="missing"):
        place_among(1.0, [math.nan], n_planned=1)


TEMPLATES = [f"t{i}" for i in range(8)]
ASKED = (1.0, 2.0, 4.0)
RATIOS = (1.0, 1.01, 1.2)
ABOUT = {"concept": "anger", "target": "anger", "edit": "add", "vector": "mean_difference", "scope": "all"}
PLACE = {"heads": "1:1", "role": "single", "k": 1, "layer": 1, "head": 1}
STREAM = {"heads": "1:1", "role": RESIDUAL, "k": 1}


def measured(slope: float = 0.3, n: int = 8) -> tuple[list[DoseResponse], pd.DataFrame]:
    """A head and the residual stream beside it, whose cost is that of ``RATIOS`` at ``ASKED``."""
    rng = np.random.default_rng(0)
    deltas = np.outer(slope + 0.01 * rng.normal(size=n), ASKED)
    log_ratios = np.log(RATIOS) + 0.002 * rng.normal(size=(n, 3))
    tests = [{**place, "dose": dose} for place in (PLACE, STREAM) for dose in ASKED]
    blocks = []
    for name, unit, scale, values in (
        (PRIMARY, "nats", "difference", deltas), (PERPLEXITY_RATIO, "ratio", "log_ratio", log_ratios),
    ):  # fmt: skip
        outcome = SteeredOutcome(name, unit, np.zeros(n), np.tile(values, 2), scale)
        blocks += steering_blocks(outcome, tests=tests, templates=TEMPLATES[:n], **ABOUT)
    null = NullSlopes([0.001 * i for i in range(99)], 99, layer_matched=True)
    shared = {"doses": ASKED, "deltas": deltas, "templates": TEMPLATES[:n], "gap_nats": 2.0, "shown": True}
    responses = [
        DoseResponse(**ABOUT, **PLACE, **shared, null_slopes={RANDOM_VECTOR: null, RANDOM_HEADS: null}),
        DoseResponse(**ABOUT, **STREAM, **shared),
    ]
    return responses, steering_table(blocks, seed=0)


def test_the_tables_have_their_columns_and_can_be_written():
    responses, steering = measured()
    table = dose_response_table(responses, steering, seed=0)
    assert list(steering.columns) == TABLES["steering"].columns
    assert list(table.columns) == TABLES["dose_response"].columns
    for name, rows in (("steering", steering), ("dose_response", table)):
        assert table_to_text(name, rows).count("\n") == len(rows) + 1


def test_the_row_of_a_head_says_what_was_planted():
    responses, steering = measured()
    row = dose_response_table(responses, steering, seed=0).iloc[0]
    assert row["estimate"] == pytest.approx(responses[0].slopes().mean())
    assert row["threshold_nats"] == pytest.approx(0.1)  # 5 % of a gap of 2
    assert (row["smallest_dose"], row["bounded_dose"], row["harmful_dose"]) == (1.0, 2.0, 4.0)
    assert (row["p_random_vectors"], row["n_random_vectors"]) == (pytest.approx(1 / 100), 99)
    assert (row["verdict"], row["unit"], row["status"]) == (words.STEERS_UNTESTED, "nats_per_sigma", "exploratory")
    assert row["layer_matched"]


def test_the_residual_stream_is_a_comparison_in_families_of_its_own():
    responses, steering = measured()
    head, stream = dose_response_table(responses, steering, seed=0).to_dict("records")
    assert (stream["verdict"], stream["reason"]) == ("", "")
    assert (stream["smallest_dose"], stream["harmful_dose"]) == (1.0, 4.0)
    assert stream["family"] != head["family"]
    primary = steering[steering["outcome"] == PRIMARY]
    assert primary.groupby("role")["family"].nunique().tolist() == [1, 1]
    assert primary["family"].nunique() == 2
    assert dose_sentence(stream, steering) == ""
    alone = dose_response_table(responses[:1], steering, seed=0)
    pd.testing.assert_series_equal(alone.iloc[0], dose_response_table(responses, steering, seed=0).iloc[0])


def test_fewer_than_six_templates_have_no_verdict():
    responses, steering = measured(n=5)
    row = dose_response_table(responses, steering, seed=0).iloc[0]
    assert (row["verdict"], row["status"]) == (NO_VERDICT, "descriptive")
    assert math.isnan(row["smallest_dose"])


def test_rows_that_are_not_there_cost_the_claim():
    responses, steering = measured()
    for gone, verdict in ((PERPLEXITY_RATIO, DAMAGE_UNBOUNDED), (PRIMARY, UNDECIDED)):
        less = steering[(steering["outcome"] != gone) | (steering["dose"] != 1.0)]
        assert dose_response_table(responses, less, seed=0).iloc[0]["verdict"] == verdict


def test_the_residual_streams_cost_is_not_that_of_the_heads_it_is_compared_with():
    responses, steering = measured()
    less = steering[(steering["outcome"] != PERPLEXITY_RATIO) | (steering["role"] == RESIDUAL)]
    table = dose_response_table(responses, less, seed=0)
    assert table["bounded_dose"].isna().tolist() == [True, False]


def test_sentences():
    responses, steering = measured()
    row = dose_response_table(responses, steering, seed=0).to_dict("records")[0]
    assert (
        dose_sentence(row, steering)
        == "between 1 and 2 sigma the concept rises by 0.3 to 0.61 nats at no shown cost; no other concept was read"
    )
    gap = steering.copy()
    gap.loc[(gap["outcome"] == PRIMARY) & (gap["dose"] == 2.0), ["sim_low", "sim_high"]] = -1.0, 1.0
    assert dose_sentence({**row, "bounded_dose": 4.0}, gap).startswith("at 1 and 4 sigma the concept rises")
    costly = steering[(steering["outcome"] != PRIMARY) | (steering["dose"] == 4.0)]
    last = [replace(responses[0], doses=ASKED[2:], deltas=responses[0].deltas[:, 2:])]
    row = dose_response_table(last, costly, seed=0).to_dict("records")[0]
    assert row["verdict"] == words.STEERS_AT_COST
    assert dose_sentence(row, costly) == "at 4 sigma the concept rises by 1.2 nats at a cost to other text"
    responses, steering = measured(slope=0.0)
    row = dose_response_table(responses, steering, seed=0).to_dict("records")[0]
    assert dose_sentence(row, steering).startswith(f"{words.NO_EFFECT_THAT_MATTERS}: at every dose")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"doses": (1.0, 1.0, 2.0)}, "cannot be compared"),
        ({"doses": (0.0, 1.0, 2.0)}, "cannot be compared"),
        ({"edit": "push"}, "does not exist"),
        ({"null_slopes": {"random": NullSlopes([], 0)}}, "does not exist"),
    ],
)
def test_a_response_that_makes_no_sense_is_refused(changes, error):
    with pytest.raises(RequestError, match=error):
        replace(measured()[0][0], **changes)


def test_draws_stand_one_below_the_other():
    draws = NullDraws("anger", "1:1", "", RANDOM_HEADS, ["1:0", "1:2"], [2, 3], np.arange(4.0).reshape(2, 2))
    table = steering_nulls_table([draws])
    assert table["estimate"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert table["drawn"].tolist() == ["1:0", "1:0", "1:2", "1:2"]
    assert table_to_text("steering_nulls", table).splitlines()[1] == "anger,1:1,,random_heads,0,1:0,2.0,0.0,nats,"
    with pytest.raises(RequestError, match="not one effect for each dose"):
        steering_nulls_table([replace(draws, doses=[2])])
