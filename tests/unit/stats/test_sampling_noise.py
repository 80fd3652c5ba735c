"""The noise of sampling is what redrawing the texts shows, and the samples named are the fewest that would do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from headscope.stats.clusters import equal_weight_mean, template_means
from headscope.stats.sampling_noise import (
    ALL_NOISE,
    FEW_TEMPLATES,
    GREEDY,
    NOISE_SHARE,
    ONE_SAMPLE,
    SampledBlock,
    sampling_noise,
    sampling_table,
)
from headscope.tables import TABLES

SIZES = (1, 2, 3, 3, 5, 2, 4, 1)  # prompts of each template
TEMPLATES = [f"t{number}" for number, size in enumerate(SIZES) for _ in range(size)]
N_SAMPLES, N_DRAWS = 3, 4000
SIGMAS = 5  # standard deviations of a mean over the draws; the draws are fixed, so a pass stays one


def drawn(sd_between: float, sd_within: float, n_samples: int = N_SAMPLES, seed: int = 0) -> np.ndarray:
    """[prompts, draws, samples] of a world with known variances; every draw has templates of its own."""
    random = np.random.default_rng(seed)
    of_templates = random.normal(0.4, sd_between, (len(SIZES), N_DRAWS))
    codes = np.array([int(name[1:]) for name in TEMPLATES])
    return of_templates[codes][:, :, None] + random.normal(0.0, sd_within, (len(codes), N_DRAWS, n_samples))


def estimates(changes: np.ndarray) -> np.ndarray:
    return equal_weight_mean(template_means(changes.mean(axis=2), TEMPLATES).means)


def known_variance(sd_within: float, n_samples: int) -> float:
    """Of the estimate by sampling: the mean over T templates of means over P prompts of means over S samples."""
    return float(np.mean([sd_within**2 / (n_samples * size) for size in SIZES])) / len(SIZES)


def test_it_is_the_variance_of_the_estimate_when_the_texts_are_drawn_again():
    """Templates stay as they are; 4000 draws of their texts."""
    changes = drawn(sd_between=0.0, sd_within=0.7)
    found = sampling_noise(SampledBlock([{}] * N_DRAWS, changes, TEMPLATES))
    known = known_variance(0.7, N_SAMPLES)
    # A variance of normal draws errs by sqrt(2 / n) of itself, one that is a mean over prompts by no more.
    error = SIGMAS * np.sqrt(2 / N_DRAWS)
    assert estimates(changes).var(ddof=1) == pytest.approx(known, rel=error)
    assert np.mean(found.sampling_sd**2) == pytest.approx(known, rel=error)


def test_what_templates_differ_by_is_told_from_sampling():
    between, within = 0.9, 0.6
    found = sampling_noise(SampledBlock([{}] * N_DRAWS, drawn(between, within), TEMPLATES))
    n = len(SIZES)
    # The square errs by sqrt(2 / (n - 1)) of the variance of template means, which has sampling in it; unequal
    # templates make that a mean of unequal variances, and the largest of them bounds it.
    largest = between**2 + within**2 / N_SAMPLES
    error = SIGMAS * np.sqrt(2 / (n - 1) / N_DRAWS) * largest / n
    assert np.mean(found.template_se**2) == pytest.approx(between**2 / n, abs=error)
    assert (found.template_se > 0).mean() > 0.99  # so the mean above has no cut tail to speak of


def test_the_samples_named_are_the_fewest_that_keep_the_rule():
    found = sampling_noise(SampledBlock([{}] * N_DRAWS, drawn(0.5, 1.0), TEMPLATES))
    said = ~np.isnan(found.samples_needed)
    needed, variance, limit = (
        part[said] for part in (found.samples_needed, found.sampling_sd**2, (NOISE_SHARE * found.template_se) ** 2)
    )
    assert 0.5 < said.mean() < 1
    assert np.array_equal(needed, np.round(needed))
    assert np.all(variance * N_SAMPLES / needed <= limit * (1 + 1e-9))
    fewer = needed > 1
    assert np.all(variance[fewer] * N_SAMPLES / (needed[fewer] - 1) > limit[fewer] * (1 - 1e-9))
    assert np.all(found.template_se[~said] == 0)


def test_with_as_many_samples_as_named_the_noise_is_a_third_in_a_new_world():
    """Named for the known variances, not for estimated ones."""
    between, within = 0.8, 1.1
    needed = int(np.ceil(9 * known_variance(within, 1) * len(SIZES) / between**2))
    assert needed > 1
    found = sampling_noise(SampledBlock([{}] * N_DRAWS, drawn(between, within, needed, seed=1), TEMPLATES))
    ratio = np.sqrt(np.mean(found.sampling_sd**2) / (between**2 / len(SIZES)))
    assert NOISE_SHARE * 0.8 < ratio <= NOISE_SHARE * (1 + SIGMAS * np.sqrt(1 / N_DRAWS))


def table(changes: np.ndarray, templates: list[str], *, greedy: bool = False) -> pd.Series:
    key = {"concept": "anger", "heads": "0:0", "role": "requested", "k": 1, "edit": "mean", "scope": "all"}
    block = SampledBlock([{**key, "outcome": "n_letters", "unit": "letters"}], changes, templates, greedy)
    made = sampling_table([block])
    assert list(made.columns) == TABLES["sampling"].columns
    return made.iloc[0]


def test_what_cannot_be_said_is_empty_and_the_row_says_why():
    names = [f"t{i}" for i in range(7)]
    values = np.random.default_rng(2).normal(size=(7, 1, 4))
    one = table(values[:, :, :1], names)
    assert (one["note"], one["n_samples"]) == (ONE_SAMPLE, 1)
    assert np.isnan(one["sampling_sd"])
    assert one["samples_needed"] is pd.NA
    greedy = table(values[:, :, :1], names, greedy=True)
    assert (greedy["note"], greedy["sampling_sd"], greedy["samples_needed"]) == (GREEDY, 0.0, 1)
    assert greedy["template_se"] == pytest.approx(values[:, 0, 0].std(ddof=1) / np.sqrt(7))
    lonely = table(values, ["t0"] * 7)
    assert lonely["note"] == FEW_TEMPLATES
    assert lonely["sampling_sd"] == pytest.approx(np.sqrt(values[:, 0].var(axis=1, ddof=1).mean() / 4 / 7))
    noisy = table(values - values.mean(axis=2, keepdims=True), names)
    assert (noisy["note"], noisy["template_se"], noisy["samples_needed"]) == (ALL_NOISE, 0.0, pd.NA)


def test_a_prompt_without_a_value_in_one_sample_is_left_out_as_it_is_of_the_effect():
    names = [f"t{i // 2}" for i in range(12)]
    values = np.random.default_rng(3).normal(size=(12, 1, 3))
    whole = table(values[1:], names[1:])
    values[0, 0, 2] = np.nan
    with_gap = table(values, names)
    assert with_gap["n_prompts"] == 11
    assert with_gap["sampling_sd"] == pytest.approx(whole["sampling_sd"])
    assert with_gap["template_se"] == pytest.approx(whole["template_se"])


def test_texts_that_do_not_change_need_no_second_sample():
    row = table(np.full((8, 1, 2), 0.25), [f"t{i}" for i in range(8)])
    assert (row["sampling_sd"], row["samples_needed"], row["note"]) == (0.0, 1, "")
