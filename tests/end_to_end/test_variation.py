"""Batch size, order of the prompts and who runs which piece: numbers within rounding, the same verdicts beside limits.

A verdict may differ only where rounding takes one of the numbers it compares across the limit it is compared with.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from headscope.api import screen, sweep
from headscope.engines.engine import Engine, Part
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile
from headscope.runs.shards import PartDone, Shards
from headscope.stats.effects import TOLERANCE_NATS
from headscope.verbs.rank import rank
from tests.tolerances import limit_error, nats_error

KEYS = ["concept", "heads", "edit", "outcome"]
MEANS, ALONE, JOINT = ["estimate", "baseline_mean", "edited_mean"], ["ci_low", "ci_high"], ["sim_low", "sim_high"]
NUMBERS = [*MEANS, *ALONE, *JOINT]
QUANTILE = 0.01
"""Relative, of the critical value of simultaneous intervals: a quantile over flips of the largest of all tests, among
them some of heads that do nothing, whose template means are rounding and nothing else."""


@dataclass(frozen=True)
class Line:
    """Effects by key, verdicts by concept and heads, and each prompt's edited log-odds by name."""

    effects: pd.DataFrame
    verdicts: pd.DataFrame
    edited: Any


def line(model: HeadModel, profile: Profile, *, batch_tokens: int = 8192, engine: Engine | None = None) -> Line:
    looked = screen(model, profile, query="readout", batch_tokens=batch_tokens)
    swept = sweep(model, profile, batch_tokens=batch_tokens, engine=engine)
    judged = rank(looked, swept).tables["verdicts"].set_index(["concept", "heads"]).sort_index()
    effects = swept.table.set_index(KEYS).sort_index()
    return Line(effects, judged, swept.values["edited"].sortby(["edit", "prompt"]))


def shuffled(pieces: Sequence[Any], run: Callable[[Any], Any]) -> Iterator[tuple[int, Any]]:
    """A runner that finishes pieces in another order, as machines do."""
    order = list(enumerate(pieces))
    random.Random(0).shuffle(order)
    return ((index, run(piece)) for index, piece in order)


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return load_model("demo")


@pytest.fixture(scope="module")
def profile(small_profile: Path) -> Profile:
    return load_profile(small_profile)


@pytest.fixture(scope="module")
def usual(model: HeadModel, profile: Profile) -> Line:
    return line(model, profile)


def same(usual: Line, other: Line, *, nats: float) -> None:
    """``nats``: how far log-odds of one prompt may differ; 0 for bit for bit."""
    assert usual.effects.index.equals(other.effects.index)
    mine, theirs, error = in_nats(usual.effects), in_nats(other.effects), errors(usual.effects, nats)
    finite = np.isfinite(mine)
    assert np.array_equal(mine[~finite], theirs[~finite], equal_nan=True)
    beyond = np.abs(mine - theirs)[finite] > error[finite]
    assert not beyond.any(), (mine[finite][beyond], theirs[finite][beyond])
    np.testing.assert_allclose(usual.edited, other.edited, rtol=0.0, atol=nats)
    assert usual.verdicts.index.equals(other.verdicts.index)
    clear = (beyond_limits(usual.verdicts) == beyond_limits(other.verdicts)).all(axis=1)
    assert clear.mean() > 0.9, "nearly all verdicts are compared"
    assert usual.verdicts["verdict"].nunique() > 1
    assert usual.verdicts.loc[clear, "verdict"].tolist() == other.verdicts.loc[clear, "verdict"].tolist()


def in_nats(effects: pd.DataFrame) -> Any:
    """The effects' numbers; perplexities and their ratios as logs, because the tolerance is one of nats."""
    numbers = effects[NUMBERS].to_numpy(dtype=np.float64)
    ratios = (effects["unit"] == "ratio").to_numpy()
    numbers[ratios] = np.log(numbers[ratios])
    return numbers


def errors(effects: pd.DataFrame, nats: float) -> Any:
    """[rows, NUMBERS] how far each finite number may differ, nats.

    An effect is a difference of two log-odds, specificity of two effects; what is below ``TOLERANCE_NATS`` is 0.
    """
    if nats == 0.0:
        return np.zeros((len(effects), len(NUMBERS)))
    mean = np.full(len(effects), 4 * nats + TOLERANCE_NATS)
    numbers = pd.DataFrame(in_nats(effects), columns=NUMBERS)
    n = effects["n_templates"].to_numpy(float)
    half_alone, half_joint = (numbers[high] - numbers["estimate"] for high in ("ci_high", "sim_high"))
    critical = stats.t.isf(0.025, n - 1)
    alone = limit_error(mean, n, critical)
    joint = limit_error(mean, n, critical * half_joint / half_alone) + QUANTILE * half_joint
    return np.column_stack([mean, mean, mean, alone, alone, joint, joint])


def beyond_limits(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Of each number that decides, whether it lies beyond the limit it is compared with."""
    threshold = verdicts["threshold_nats"]
    gaps = [
        verdicts[["sim_low", "sim_high"]].abs().sub(threshold, axis=0),
        verdicts[["specificity_low", "specificity_high"]].sub(threshold, axis=0),
        verdicts[["perplexity_ratio_low"]] - 1.0,
        verdicts[["perplexity_ratio_high"]] - 1.05,
        verdicts[["attention_share_low", "attention_share_high"]].sub(verdicts["threshold_share"], axis=0),
    ]
    return pd.concat(gaps, axis=1) > 0.0


@pytest.mark.parametrize("batch_tokens", [400, 50_000])
def test_the_size_of_batches_changes_nothing_beyond_the_tolerance(
    batch_tokens: int, model: HeadModel, profile: Profile, usual: Line
) -> None:
    same(usual, line(model, profile, batch_tokens=batch_tokens), nats=nats_error(model))


def test_the_order_of_prompts_changes_nothing_beyond_the_tolerance(
    model: HeadModel, profile: Profile, usual: Line
) -> None:
    prompts = list(profile.prompts)
    random.Random(1).shuffle(prompts)
    same(usual, line(model, dataclasses.replace(profile, prompts=tuple(prompts))), nats=nats_error(model))


def test_pieces_in_parts_out_of_order_change_nothing_at_all(
    model: HeadModel, profile: Profile, usual: Line, tmp_path: Path
) -> None:
    for number in (3, 1, 2):
        with pytest.raises(PartDone):
            line(model, profile, engine=Engine(Shards(tmp_path, "g"), shuffled, Part(number, 3)))
    kept = len(Shards(tmp_path, "g"))
    gathered = line(model, profile, engine=Engine(Shards(tmp_path, "g"), shuffled))
    assert len(Shards(tmp_path, "g")) == kept > 3, "nothing was left to run"
    same(usual, gathered, nats=0.0)
