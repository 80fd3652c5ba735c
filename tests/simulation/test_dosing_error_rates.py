"""Simulated requests with known truth: how often is a verdict on steering wrong, and is a true effect found?

A request is ten heads at three doses of ``add`` on 12 templates of one prompt, with two random nulls and the control
text's perplexity, judged exactly as ``headscope steer`` judges it. ``verdicts`` makes many and counts words. What makes
each case hard is the one requirement that it does not truly meet, all others being met with ease: so each rule alone
keeps its error rate. The ordinary suite makes 30 requests a case with wide bounds, the long form 400.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from headscope.random_streams import generator
from headscope.stats import dose_verdicts as words
from headscope.stats.dose_response import dose_response_table
from headscope.stats.dosing import (
    DoseResponse,
    NullSlopes,
    SteeredOutcome,
    mean_slope,
    steering_blocks,
    steering_table,
)
from headscope.stats.nulls import n_to_try
from headscope.stats.tables import EffectBlock
from headscope.terms import PERPLEXITY_RATIO, PRIMARY, RANDOM_HEADS, RANDOM_VECTOR

SHORT, LONG = 30, 400
DOSES = (1.0, 2.0, 4.0)
N_HEADS, N_TEMPLATES, N_NULLS = 10, 12, 100
DELTA = 0.05
TEMPLATES = [f"t{i:02d}" for i in range(N_TEMPLATES)]
PLACES = [{"heads": f"1:{head}", "role": "single", "k": 1, "layer": 1, "head": head} for head in range(N_HEADS)]
ABOUT = {"concept": "anger", "target": "anger", "edit": "add", "vector": "mean_difference", "scope": "all"}
CLAIMS = (words.STEERS_UNTESTED, words.TURNS_DOWN_UNTESTED)
"""No other concept is read in these requests, so what is claimed is claimed without specificity."""


@dataclass(frozen=True)
class Case:
    """What is true of a request; by default a strong effect that is the heads' own and costs nothing.

    Attributes:
        slope: true slope, nats per σ.
        spread_of_slopes: standard deviation, over heads, of a slope around 0 in place of ``slope``.
        like_random: the null whose slopes have that same spread around 0; "" where all nulls are next to 0.
        noise: standard deviation of slopes over templates.
        log_ratio: true log of the perplexity ratio at every dose.
    """

    slope: float = 0.5
    spread_of_slopes: float = 0.0
    like_random: str = ""
    noise: float = 0.005
    log_ratio: float = 0.0


def request(case: Case, rng: np.random.Generator, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The ``dose_response`` table of one request, and the true slopes of its heads."""
    slopes = (
        case.spread_of_slopes * rng.standard_normal(N_HEADS) if case.spread_of_slopes else np.full(N_HEADS, case.slope)
    )
    # slopes vary between templates, and every dose has an error of its own: [n_templates, n_heads, n_doses]
    deltas = (slopes + case.noise * rng.standard_normal((N_TEMPLATES, N_HEADS)))[:, :, None] * np.array(DOSES)
    deltas += 0.02 * rng.standard_normal(deltas.shape)
    log_ratios = case.log_ratio + 0.01 * rng.standard_normal(deltas.shape)
    blocks: list[EffectBlock] = []
    for outcome, unit, scale, values in (
        (PRIMARY, "nats", "difference", deltas), (PERPLEXITY_RATIO, "ratio", "log_ratio", log_ratios),
    ):  # fmt: skip
        tests = [{**PLACES[head], "dose": dose} for head in range(N_HEADS) for dose in DOSES]
        steered = SteeredOutcome(outcome, unit, np.zeros(N_TEMPLATES), values.reshape(N_TEMPLATES, -1), scale)
        blocks += steering_blocks(steered, tests=tests, templates=TEMPLATES, **ABOUT)
    responses: list[DoseResponse] = []
    for head in range(N_HEADS):
        mean = mean_slope(deltas[:, head], DOSES, TEMPLATES, neutral=0.0)
        nulls: dict[str, NullSlopes] = {}
        for name in (RANDOM_VECTOR, RANDOM_HEADS):
            spread = case.spread_of_slopes if name == case.like_random else 1e-6
            drawn = spread * rng.standard_normal(N_NULLS)
            n = n_to_try(mean, drawn)
            nulls[name] = NullSlopes([float(one) for one in drawn[:n]], N_NULLS, stopped=n is not None)
        responses.append(
            DoseResponse(
                **ABOUT, **PLACES[head], doses=DOSES, deltas=deltas[:, head], templates=TEMPLATES, gap_nats=1.0,
                shown=True, null_slopes=nulls,
            )
        )  # fmt: skip
    return dose_response_table(responses, steering_table(blocks, seed=seed), seed=seed), slopes


def verdicts(name: str, case: Case, n_runs: int) -> Counter[str]:
    """How many heads get each verdict."""
    rng = generator(0, "dosing", name)
    return Counter(str(verdict) for run in range(n_runs) for verdict in request(case, rng, run)[0]["verdict"])


def claims(found: Counter[str]) -> float:
    """Share of heads that are said to move the concept at no cost."""
    return sum(found[word] for word in CLAIMS) / found.total()


def allowed(nominal: float, n: int) -> float:
    """One-sided 99.9 % bound on a rate that is at most nominal."""
    return nominal + 3.09 * math.sqrt(nominal * (1 - nominal) / n)


N_RUNS = pytest.mark.parametrize("n_runs", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])


@N_RUNS
def test_a_true_effect_is_found(n_runs):
    found = verdicts("a true effect", Case(), n_runs)
    assert found[words.STEERS_UNTESTED] / found.total() >= 0.8


@N_RUNS
@pytest.mark.parametrize(("noise", "word"), [(0.005, words.NO_EFFECT_THAT_MATTERS), (0.1, words.UNDECIDED)])
def test_where_nothing_happens_nothing_is_claimed(noise, word, n_runs):
    """Every null is exceeded, and nothing is harmed: the interval alone stands between noise and the claim."""
    found = verdicts("no effect", Case(slope=0.0, noise=noise), n_runs)
    assert claims(found) <= allowed(0.05, found.total())
    assert found.most_common(1)[0][0] == word


@N_RUNS
@pytest.mark.parametrize("null", [RANDOM_VECTOR, RANDOM_HEADS])
def test_heads_that_do_what_random_ones_do_are_said_to_steer_in_one_of_twenty(null, n_runs):
    """Their effect is far beyond δ and free of cost: the null alone stands between them and the claim."""
    found = verdicts(f"like {null}", Case(spread_of_slopes=1.0, like_random=null), n_runs)
    assert claims(found) <= allowed(0.05, found.total())
    assert claims(found) > 0.01, "and it is no idle bound"
    assert found[words.ANY_PUSH if null == RANDOM_VECTOR else words.ANY_HEADS] / found.total() >= 0.5


@N_RUNS
def test_harm_of_just_what_is_not_tolerated_is_called_bounded_in_one_of_forty_however_many_doses(n_runs):
    found = verdicts("harm at the limit", Case(log_ratio=math.log(1.05)), n_runs)
    assert claims(found) <= allowed(0.025, found.total())
    assert claims(found) > 0, "and it is no idle bound"


@N_RUNS
def test_the_slopes_interval_holds_the_true_slope(n_runs):
    rng = generator(0, "dosing", "coverage")
    missed = np.zeros(0, dtype=np.bool_)
    for run in range(n_runs):
        rows, slopes = request(Case(spread_of_slopes=0.1), rng, run)
        missed = np.append(missed, (slopes < rows["ci_low"]) | (rows["ci_high"] < slopes))
    assert missed.mean() <= allowed(0.05, len(missed))
    assert missed.mean() > 0.02, "and it is no idle bound"


@N_RUNS
def test_a_smallest_dose_of_any_head_is_named_in_error_in_at_most_one_of_twenty(n_runs):
    """The true effect of the largest dose is just δ, that of smaller ones less: every dose named is an error."""
    rng = generator(0, "dosing", "smallest dose")
    at_limit = Case(slope=DELTA / max(DOSES))
    named = [request(at_limit, rng, run)[0]["smallest_dose"].notna().any() for run in range(n_runs)]
    assert np.mean(named) <= allowed(0.05, n_runs)


@pytest.mark.parametrize("n_folds", [2, 5])
def test_a_vector_fitted_to_noise_is_like_random_ones_that_are_the_same_for_all_folds(n_folds):
    """Cross-fitted on noise, each fold has another vector; a null with one vector for all folds is not too easy."""
    n_runs, n_templates, width = 1_000, 20, 16
    rng = generator(0, "dosing", "cross-fitting", n_folds)
    folds = np.arange(n_templates) % n_folds
    p: list[float] = []
    for _ in range(n_runs):
        outputs = rng.standard_normal((n_templates, width))  # concept - control: no signal
        slopes_along = rng.standard_normal(width) + 0.3 * rng.standard_normal((n_templates, width))
        fitted = np.array([outputs[folds != fold].mean(axis=0) for fold in folds])
        fitted /= np.linalg.norm(fitted, axis=1, keepdims=True)
        mean = (slopes_along * fitted).sum(axis=1).mean()
        drawn = rng.standard_normal((N_NULLS, width))
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        null = drawn @ slopes_along.mean(axis=0)
        p.append((np.sum(np.abs(null) >= abs(mean)) + 1) / (N_NULLS + 1))
    assert np.mean(np.array(p) <= 0.05) <= allowed(0.05, n_runs)
