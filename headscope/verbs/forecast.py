"""Before a run: how many passes, how long, how much memory, and the smallest effect these prompts can show.

1. Work is counted from the stages that the verbs themselves would run; sets that depend on results stand in it at their
   largest number. What heads put out on control prompts is one pass more.
2. Time: a few pieces of the plan are run and timed (``rates``), and the memory that the process then holds stands for
   the run's. Time is these rates times the work, so an estimate for this machine as busy as it is; statistics and
   pictures are not in it.
3. Reach: smallest p, and smallest effect in d (standard deviations over templates) found with 80 % power at the level
   left to one test of the family (``stats.power``).
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from headscope.heads import HeadSet
from headscope.models.head_model import HeadModel
from headscope.stages import Counted
from headscope.stats import reach
from headscope.stats.clusters import MIN_TEMPLATES
from headscope.study import Study
from headscope.verbs.ablate import ablation_stages
from headscope.verbs.curves import curve_stage
from headscope.verbs.rates import Rates
from headscope.verbs.rates import calibrate as calibrate
from headscope.verbs.sweep import sweep_stages

Calibration = Rates

TEXTS = "texts"
"""Name of what is written, among the stages."""


@dataclass(frozen=True)
class Forecast:
    """What a run would take and could show.

    Attributes:
        stages: teacher-forced work, in order.
        text_tokens: tokens to be written at most, one by one.
        seconds: estimate for the stages and the texts together, from the calibration.
        seconds_of: stage -> its part of that, texts last.
        calibration: what work costs on this machine.
        weights_mib: size of the weights.
        peak_mib: memory held by the process (on CUDA: by tensors) after the calibration.
        reach: for each concept what its templates can show.
        notes: plain sentences.
    """

    stages: tuple[Counted, ...]
    text_tokens: int
    seconds: float
    seconds_of: dict[str, float]
    calibration: Calibration
    weights_mib: float
    peak_mib: float
    reach: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"forward_passes": sum(stage.forward_passes for stage in self.stages)}


def forecast_sweep(
    study: Study, *, heads: str = "*", edits: Sequence[str] = ("mean", "zero"), sets: bool = False,
    negative_control: bool = False,
) -> Forecast:  # fmt: skip
    """What ``sweep`` would take, its growing sets and its negative control included."""
    chosen = study.model.head_set(heads)
    [sweep] = sweep_stages(study, chosen, edits)
    stages = [sweep, *([sweep.named("negative control")] if negative_control else [])]
    if sets:
        stages += [curve_stage(study.only(name)).named(f"growing sets: {name}") for name in study.names]
    counted = [*study.control_pass(edits), *(stage.counted() for stage in stages)]
    return forecast_of(study, counted, calibrate(sweep, texts=False), n_tests=len(chosen) * len(study.names))


def forecast_ablation(study: Study, heads: HeadSet, *, edits: Sequence[str], text_tokens: int) -> Forecast:
    """What ``ablate`` would take; ``text_tokens``: new tokens of one prompt under one arm, 0 where none is written."""
    [ablation] = ablation_stages(study, heads, edits)
    counted = [*study.control_pass(edits), ablation.counted()]
    n_texts = len(study.prompts) * (len(edits) + 1)
    n_tests = len(study.names)
    rates = calibrate(ablation, texts=text_tokens > 0)
    return forecast_of(study, counted, rates, n_tests=n_tests, text_tokens=text_tokens * n_texts)


def weights_mib(model: HeadModel) -> float:
    """Size of a model's weights."""
    return sum(weight.numel() * weight.element_size() for weight in model.hf.parameters()) / 2**20


def held_mib(model: HeadModel) -> float:
    """Memory of the process, on CUDA of its tensors, at its highest so far."""
    if model.device.type == "cuda":
        return torch.cuda.max_memory_allocated(model.device) / 2**20
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (2**20 if sys.platform == "darwin" else 2**10)


def forecast_of(
    study: Study,
    stages: Sequence[Counted],
    calibration: Calibration,
    *,
    n_tests: int,
    templates: Sequence[tuple[str, Sequence[str]]] | None = None,
    text_tokens: int = 0,
    notes: Sequence[str] = (),
) -> Forecast:
    """Counted stages, timed by a calibration, and what the templates can show.

    ``n_tests``: of one family; ``templates``: for each row of ``reach`` its name and the template label of each prompt,
    each concept's by default; ``notes``: plain sentences, behind those of the study.
    """
    groups = templates or [(name, study.labels_of(study.rows_of(name))) for name in study.names]
    reached = [
        {"concept": name, "n_prompts": len(labels)} | asdict(reach(len(set(labels)), n_tests))
        for name, labels in groups
    ]
    few = [
        f"{name}: {n} templates are descriptive only: no test, no interval for all heads, no verdict; "
        f"{MIN_TEMPLATES} are the least"
        for name, labels in groups
        if (n := len(set(labels))) < MIN_TEMPLATES
    ]
    seconds_of: dict[str, float] = {}
    for stage in stages:
        seconds_of[stage.stage] = seconds_of.get(stage.stage, 0.0) + calibration.seconds(stage)
    if text_tokens:
        seconds_of[TEXTS] = seconds_of.get(TEXTS, 0.0) + calibration.text_seconds(text_tokens)
    return Forecast(
        tuple(stages), text_tokens, sum(seconds_of.values()), seconds_of, calibration, weights_mib(study.model),
        held_mib(study.model), tuple(reached), (*study.warnings, *notes, *few),
    )  # fmt: skip
