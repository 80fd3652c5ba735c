"""A family of effects, tested together: arrays of per-prompt differences in, one row a test out.

1. Average within templates (``clusters``); below six templates a row is descriptive: an estimate and nothing else.
2. Sign-flip all templates of the family jointly (``resampling``): p, step-down max-T p, simultaneous critical value.
3. Benjamini-Hochberg q over the family's p-values (``multiplicity``).
4. t-interval, simultaneous interval, d_z, smallest detectable effect at the family's level, skewness.
5. Effects smaller than the numerical tolerance are 0 with p = 1: they say something about float32, not the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from headscope.errors import RequestError, WorkError
from headscope.random_streams import generator
from headscope.stats.clusters import (
    MIN_TEMPLATES,
    BoolArray,
    FamilyBlock,
    FloatArray,
    TemplateMeans,
    equal_weight_mean,
    stack,
    standard_deviation,
)
from headscope.stats.intervals import (
    MIN_TEMPLATES_BOOTSTRAP,
    Interval,
    bootstrap_t_interval,
    satterthwaite_df,
    simultaneous_interval,
    t_interval,
)
from headscope.stats.multiplicity import benjamini_hochberg
from headscope.stats.power import smallest_detectable
from headscope.stats.resampling import FlipTest, flip_test
from headscope.terms import Scale as Scale

IntervalKind = Literal["t", "bootstrap_t"]

TOLERANCE_NATS = 1e-5
ROW_COLUMNS = (
    "estimate",
    "ci_low",
    "ci_high",
    "sim_low",
    "sim_high",
    "d_z",
    "p_value",
    "p_max_t",
    "q_value",
    "mde",
    "skewness",
    "n_prompts",
    "n_templates",
    "family",
    "status",
)


@dataclass(frozen=True, kw_only=True)
class FamilyTest:
    """How the tests of one family are made.

    Attributes:
        family: its name; it also names the random flips.
        status: ``confirmatory`` or ``exploratory``; rows below six templates say ``descriptive``.
        simultaneous: also give ``p_max_t``, ``sim_low``, ``sim_high``, and ``mde`` at the max-T level.
        scale: ``difference``; ``log_ratio`` (deltas are logs, reported as ratios); ``divergence`` (never negative,
            such as KL: an interval from 0 up, no test, because "is it above 0" is true by construction).
        tolerance: |mean| below it is 0 with p = 1, in the unit of the deltas.
        interval: ``t``, or ``bootstrap_t`` for rows with at least 30 templates.
        step_down: False gives simultaneous intervals and no ``p_max_t``.
        n_flips: random sign-flips; default ``resampling.flips_needed``.
    """

    family: str
    status: str = "exploratory"
    simultaneous: bool = False
    scale: Scale = "difference"
    tolerance: float = TOLERANCE_NATS
    interval: IntervalKind = "t"
    step_down: bool = True
    n_flips: int | None = None


def effect_rows(
    deltas: NDArray[np.floating], templates: Sequence[str | None], how: FamilyTest, *, seed: int
) -> pd.DataFrame:
    """One row for each test, all of them one family measured on the same prompts, columns ``ROW_COLUMNS``.

    ``deltas`` is [n_prompts, n_tests], edited - baseline of each prompt; NaN is missing.
    """
    keys: list[Mapping[str, object]] = [{} for _ in range(np.asarray(deltas).shape[-1])]
    return family_rows([FamilyBlock(deltas, templates, keys)], how, seed=seed)


def family_rows(blocks: Sequence[FamilyBlock], how: FamilyTest, *, seed: int, alpha: float = 0.05) -> pd.DataFrame:
    """As ``effect_rows`` for several blocks of prompts (concepts) whose tests form one family.

    Template ids are global: a template that several blocks share flips once for all of them. ``alpha`` is the two-sided
    level of intervals and corrections. Returns each test's key columns followed by ``ROW_COLUMNS``, block by block.
    """
    if not 0.0 < alpha < 1.0:
        raise RequestError("the level of a test is impossible", expected="0 < alpha < 1", got=f"{alpha}")
    if how.status not in ("confirmatory", "exploratory"):
        raise RequestError(f'status "{how.status}" is unknown', expected="confirmatory or exploratory")
    table = _without_noise(stack(blocks), how.tolerance, how.scale)
    tested = table.n_templates >= MIN_TEMPLATES
    columns = _describe(table, how.tolerance)
    columns.update(_infer(table.select(tested), tested, how, seed, alpha))
    columns["q_value"] = benjamini_hochberg(np.asarray(columns["p_value"], dtype=np.float64))
    _to_scale(columns, how.scale)
    rows = pd.DataFrame({name: columns[name] for name in ROW_COLUMNS if name in columns})
    rows["family"] = how.family
    rows["status"] = np.where(tested, how.status, "descriptive")
    keys = pd.DataFrame([dict(key) for block in blocks for key in block.keys], index=rows.index)
    return pd.concat([keys, rows], axis=1)


def _without_noise(table: TemplateMeans, tolerance: float, scale: Scale) -> TemplateMeans:
    """Tests in which no template's mean reaches the tolerance become exactly 0: float noise has a sign, too."""
    if scale == "divergence":
        if np.any(table.means < -tolerance):
            raise WorkError(
                "a divergence is negative", expected="values of at least 0", got=f"{np.nanmin(table.means)}"
            )
        return TemplateMeans(np.maximum(table.means, 0.0), table.counts, table.labels)
    present = ~np.isnan(table.means)
    quiet = np.where(present, np.abs(table.means), 0.0).max(axis=0, initial=0.0) < tolerance
    return TemplateMeans(np.where(quiet & present, 0.0, table.means), table.counts, table.labels)


def _describe(table: TemplateMeans, tolerance: float) -> dict[str, NDArray[np.generic]]:
    deviation = standard_deviation(table.means)
    estimate = equal_weight_mean(table.means)
    estimate = np.where(np.abs(estimate) < tolerance, 0.0, estimate)
    proper = deviation > 0.0
    return {
        "estimate": estimate,
        "d_z": np.where(
            proper, estimate / np.where(proper, deviation, 1.0), np.where(estimate == 0.0, deviation, np.nan)
        ),
        "skewness": skewness(table.means),
        "n_prompts": table.n_prompts,
        "n_templates": table.n_templates,
    }


def skewness(means: FloatArray) -> FloatArray:
    """[n_tests]: bias-corrected skewness of template means (G1); NaN below three templates or without spread."""
    present = ~np.isnan(means)
    n = present.sum(axis=0).astype(np.float64)
    deviation = standard_deviation(means)
    usable = (n > 2) & (np.nan_to_num(deviation) > 0.0)
    scaled = np.where(present & usable, (means - equal_weight_mean(means)) / np.where(usable, deviation, 1.0), 0.0)
    size = np.where(usable, n, 3.0)
    return np.where(usable, (scaled**3).sum(axis=0) * size / ((size - 1) * (size - 2)), np.nan)


def _infer(table: TemplateMeans, tested: BoolArray, how: FamilyTest, seed: int, alpha: float) -> dict[str, FloatArray]:
    """Everything that claims something, for the tests with enough templates; NaN for the others."""
    names = ("ci_low", "ci_high", "sim_low", "sim_high", "p_value", "p_max_t", "mde")
    out = {name: np.full(len(tested), np.nan) for name in names}
    if not tested.any():
        return out
    estimate, deviation = equal_weight_mean(table.means), standard_deviation(table.means)
    bounds = _interval(
        table, alpha, generator(seed, "bootstrap", how.family) if how.interval == "bootstrap_t" else None
    )
    rng, simultaneous = generator(seed, "sign_flips", how.family), how.simultaneous
    flips = flip_test(
        table.means, rng, alpha=alpha, simultaneous=simultaneous, step_down=how.step_down, n_flips=how.n_flips
    )
    # A mean below the tolerance is 0 even where templates differ: a test must not find a sign in it.
    zero = np.abs(estimate) < how.tolerance
    test = how.scale != "divergence"
    found = {"ci_low": bounds.low, "ci_high": bounds.high}
    if test:
        found["p_value"] = np.where(zero, 1.0, flips.p_value)
        found["mde"] = _detectable(table, flips, deviation, alpha, simultaneous)
    if simultaneous:
        joint = simultaneous_interval(table.means, flips.critical_t)
        found |= {"sim_low": joint.low, "sim_high": joint.high}
        if test:
            found["p_max_t"] = np.where(zero, 1.0, flips.p_max_t)
    for name, values in found.items():
        out[name][tested] = values
    return out


def _interval(table: TemplateMeans, alpha: float, rng: np.random.Generator | None) -> Interval:
    plain = t_interval(table, alpha)
    if rng is None:
        return plain
    skewed = bootstrap_t_interval(table.means, rng, alpha=alpha)
    many = table.n_templates >= MIN_TEMPLATES_BOOTSTRAP
    return Interval(np.where(many, skewed.low, plain.low), np.where(many, skewed.high, plain.high))


def _detectable(
    table: TemplateMeans, flips: FlipTest, deviation: FloatArray, alpha: float, simultaneous: bool
) -> FloatArray:
    if simultaneous:
        critical = flips.critical_t
    else:
        critical = np.asarray(stats.t.isf(alpha / (2 * table.means.shape[1]), satterthwaite_df(table.counts)))
    return smallest_detectable(deviation, table.n_templates, critical)


def _to_scale(columns: dict[str, NDArray[np.generic]], scale: Scale) -> None:
    if scale == "log_ratio":
        for name in ("estimate", "ci_low", "ci_high", "sim_low", "sim_high", "mde"):
            columns[name] = np.exp(np.asarray(columns[name], dtype=np.float64))
    if scale == "divergence":
        for name in ("ci_low", "sim_low"):
            columns[name] = np.maximum(np.asarray(columns[name], dtype=np.float64), 0.0)
