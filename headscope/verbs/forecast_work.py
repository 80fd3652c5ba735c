"""Work before it is done: stages counted from their own plans, seconds from a calibration, and what templates can show.

Calibration: the plan's largest piece runs twice; the second time gives seconds per token and layer, and the memory that
the process then holds stands for the run's. Time is this rate times the work, so an estimate: batches of other shapes,
text (written token by token) and statistics go at other rates. Text is counted and not timed.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedPasses
from headscope.models.head_model import HeadModel
from headscope.stats import reach
from headscope.stats.clusters import MIN_TEMPLATES


@dataclass(frozen=True)
class Stage:
    """What one stage of a run sends through the model; ``is_bound``: at most this."""

    stage: str
    forward_passes: int
    tokens: int
    layer_tokens: int
    is_bound: bool


@dataclass(frozen=True)
class Forecast:
    """What a run would take and could show.

    Attributes:
        stages: teacher-forced work, in order.
        text_tokens: tokens to be written at most, one by one; not part of the time.
        seconds: estimate for the stages, from the calibration.
        calibration: what was run to measure the rate.
        weights_mib: size of the weights.
        peak_mib: memory held by the process (on CUDA: by tensors) after the largest piece.
        reach: for each concept what its templates can show.
        notes: plain sentences.
    """

    stages: tuple[Stage, ...]
    text_tokens: int
    seconds: float
    calibration: dict[str, float]
    weights_mib: float
    peak_mib: float
    reach: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"forward_passes": sum(stage.forward_passes for stage in self.stages)}


def weights_mib(model: HeadModel) -> float:
    """Size of a model's weights."""
    return sum(weight.numel() * weight.element_size() for weight in model.hf.parameters()) / 2**20


def stage_of(name: str, passes: ForcedPasses, arms: Sequence[Arm], *, bound: bool = False) -> Stage:
    """The work of some arms, from their plan."""
    return Stage(name, *passes.work_of(passes.plan(arms)), bound)


def calibrate(model: HeadModel, passes: ForcedPasses, arms: Sequence[Arm]) -> dict[str, float]:
    """Tokens, tokens times layers, and seconds of the plan's largest piece."""
    largest = max(passes.plan(arms), key=lambda piece: passes.work_of([piece])[2])
    seconds = 0.0
    for _ in range(2):
        passes.forget()
        start = time.perf_counter()
        passes.run(largest, arms)
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        seconds = time.perf_counter() - start
    _, tokens, layer_tokens = passes.work_of([largest])
    return {"tokens": tokens, "layer_tokens": layer_tokens, "seconds": seconds}


def held_mib(model: HeadModel) -> float:
    """Memory of the process, on CUDA of its tensors, at its highest so far."""
    if model.device.type == "cuda":
        return torch.cuda.max_memory_allocated(model.device) / 2**20
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (2**20 if sys.platform == "darwin" else 2**10)


def forecast_of(
    model: HeadModel,
    stages: Sequence[Stage],
    calibration: dict[str, float],
    templates: Sequence[tuple[str, Sequence[str]]],
    *,
    n_tests: int,
    text_tokens: int,
    notes: Sequence[str],
) -> Forecast:
    """Stages, timed by a calibration.

    Args:
        model: the model.
        stages: of the request.
        calibration: see ``calibrate``.
        templates: for each concept (or concept and direction) its name and the template label of each prompt.
        n_tests: of one family.
        text_tokens: to be written at most.
        notes: plain sentences.
    """
    found = [
        {"concept": name, "n_prompts": len(labels)} | asdict(reach(len(set(labels)), n_tests))
        for name, labels in templates
    ]
    few = [
        f"{name}: {n} templates are descriptive only: no test, no interval for all heads, no verdict; "
        f"{MIN_TEMPLATES} are the least"
        for name, labels in templates
        if (n := len(set(labels))) < MIN_TEMPLATES
    ]
    rate = calibration["seconds"] / calibration["layer_tokens"]
    seconds = rate * sum(stage.layer_tokens for stage in stages)
    return Forecast(
        tuple(stages), text_tokens, seconds, calibration, weights_mib(model), held_mib(model), tuple(found),
        (*notes, *few),
    )  # fmt: skip
