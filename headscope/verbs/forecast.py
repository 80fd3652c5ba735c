"""Before a run: how many passes, how long, how much memory, and the smallest effect these prompts can show.

1. Prompts are laid out as the run would lay them out; the passes of a sweep are counted from its own plan, the sets of
   later stages, which depend on results, at their largest number.
2. Calibration: the plan's largest piece runs twice; the second time gives seconds per token and layer, and the memory
   that the process then holds stands for the run's. Time is this rate times the work, so an estimate: batches of other
   shapes, text (written token by token) and statistics go at other rates. Text is counted and not timed.
3. Reach: smallest p, and smallest effect in d (standard deviations over templates) found with 80 % power at the level
   left to one test of the family (``stats.power``).
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from headscope.heads import Head, HeadSet
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedPasses
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.stats import curve_sizes, reach
from headscope.stats.clusters import MIN_TEMPLATES
from headscope.verbs.causal import CausalStudy
from headscope.verbs.request import batch_budget
from headscope.verbs.smallest import MOST_CANDIDATES, MOST_HEADS

_BAND = 20
_SETS_A_CONCEPT = 2  # one from each half of the templates


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


def forecast(
    model: HeadModel,
    profile: Profile,
    *,
    heads: HeadSet,
    edits: Sequence[str],
    concepts: Sequence[str] | str | None = None,
    together: bool = False,
    joint: bool = False,
    n_random: int = 0,
    sets: bool = False,
    patching: bool = False,
    negative_control: bool = False,
    text_tokens: int = 0,
    chat_template: bool = False,
    batch_tokens: int | None = None,
) -> Forecast:
    """Count the work of a sweep (of an ablation, of a whole run), calibrate, and say what the prompts can show.

    Args:
        model: the model.
        profile: what is asked.
        heads: the heads to edit.
        edits: kinds of edit.
        concepts: only these; all by default.
        together: the heads are one set.
        joint: also top sets, as in ``run``.
        n_random: random sets beside each top set.
        sets: also curves, leave-one-in and the smallest set.
        patching: also every head patched alone, in both directions.
        negative_control: also the sweep with random words in place of the lexicons.
        text_tokens: new tokens of one prompt under one arm; 0 where no text is written.
        chat_template: wrap prompts in the tokenizer's chat template.
        batch_tokens: most tokens of a batch.
    """
    study = CausalStudy(
        model, profile, concepts=concepts, kinds=["zero"], seed=0, batch_tokens=batch_budget(model, batch_tokens),
        chat_template=chat_template, pack=True, progress=None,
    )  # fmt: skip
    alone = [heads] if together else [HeadSet((head,)) for head in heads]
    arms = [Arm(one, "zero") for one in alone] * len(edits)
    whole = study.passes()
    stages = [_stage("ablation" if together else "sweep", whole, arms)]
    if negative_control:
        stages.append(_stage("negative control", whole, arms))
    low = Arm(HeadSet((Head(0, 0),)), "zero")  # stands for a set that is not known yet: it may begin at layer 0
    n_heads = sum(model.heads_per_layer)
    for name in study.names:
        of_concept = study.passes(study.rows_of(name))
        if joint:
            stages.append(_stage(f"top sets: {name}", whole, [low] * _SETS_A_CONCEPT * len(edits), bound=True))
            stages.append(_stage(f"random sets: {name}", of_concept, [low] * n_random, bound=True))
        if sets:
            searched = min(n_heads, MOST_CANDIDATES) * (MOST_HEADS - 1)
            n_sets = (3 + _BAND) * len(curve_sizes(n_heads)) + n_heads + searched
            stages.append(_stage(f"growing sets: {name}", of_concept, [low] * n_sets, bound=True))
        if patching:  # patch and control patch of each head, and their two sources
            both = study.passes(_paired_rows(study, name))
            stages.append(
                _stage(f"patching: {name}", both, [*[Arm(one, "zero") for one in alone] * 2, low, low], bound=True)
            )
    rate, calibration = _calibrate(model, whole, arms)
    n_written = (len(edits) + 1) * (_SETS_A_CONCEPT if joint else 1)
    n_prompts = sum(len(study.rows_of(name)) for name in study.names)
    return Forecast(
        tuple(stages),
        text_tokens * n_prompts * n_written,
        rate * sum(stage.layer_tokens for stage in stages),
        calibration,
        weights_mib(model),
        _held_mib(model),
        tuple(_reach(study, name, len(alone) * len(study.names)) for name in study.names),
        (*study.templates.warnings, *_too_few(study)),
    )


def _paired_rows(study: CausalStudy, concept: str) -> list[int]:
    """The concept's prompts, and each control once for every prompt whose partner it is: the targets of patching."""
    index = {one.id: i for i, one in enumerate(study.asked)}
    pairs = [prompt.pair for prompt in study.profile.prompts_of(concept)]
    return [*study.rows_of(concept), *(index[pair] for pair in pairs if pair is not None)]


def weights_mib(model: HeadModel) -> float:
    """Size of a model's weights."""
    return sum(weight.numel() * weight.element_size() for weight in model.hf.parameters()) / 2**20


def _stage(name: str, passes: ForcedPasses, arms: Sequence[Arm], *, bound: bool = False) -> Stage:
    return Stage(name, *passes.work_of(passes.plan(arms)), bound)


def _calibrate(model: HeadModel, passes: ForcedPasses, arms: Sequence[Arm]) -> tuple[float, dict[str, float]]:
    """Seconds per token and layer, from the largest piece of the plan."""
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
    return seconds / layer_tokens, {"tokens": tokens, "layer_tokens": layer_tokens, "seconds": seconds}


def _held_mib(model: HeadModel) -> float:
    if model.device.type == "cuda":
        return torch.cuda.max_memory_allocated(model.device) / 2**20
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (2**20 if sys.platform == "darwin" else 2**10)


def _reach(study: CausalStudy, concept: str, n_tests: int) -> dict[str, Any]:
    rows = study.rows_of(concept)
    found = reach(len(set(study.labels_of(rows))), n_tests)
    return {"concept": concept, "n_prompts": len(rows)} | asdict(found)


def _too_few(study: CausalStudy) -> list[str]:
    counts = {name: len(set(study.labels_of(study.rows_of(name)))) for name in study.names}
    return [
        f"{name}: {n} templates are descriptive only: no test, no interval for all heads, no verdict; "
        f"{MIN_TEMPLATES} are the least"
        for name, n in counts.items()
        if n < MIN_TEMPLATES
    ]
