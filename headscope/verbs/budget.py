"""What a run costs under each budget, and which one it gets where none is asked for.

``exact`` edits every head. ``fast`` scores every head by gradients and edits only the best of each concept and as many
random others. ``auto`` is ``exact`` unless a sweep of every head would take more than ``LONGEST_SWEEP_HOURS``.

That is counted, not timed: multiply-adds of the sweep (weights of the layers times its tokens) at a rate stated for the
kind of device. So the choice follows from the request, and the same request gives the same bytes; a dry run shows the
measured times of both beside it. Of the experts of a layer only those that a token passes are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headscope.errors import RequestError
from headscope.heads import HeadSet, every_head
from headscope.measure.gradients import check_gradients
from headscope.models.blocks import blocks_of
from headscope.models.head_model import HeadModel
from headscope.stages import Counted
from headscope.study import Study
from headscope.verbs.ablate import ablation_stages
from headscope.verbs.attribute import fast_score_work
from headscope.verbs.curves import curve_stage
from headscope.verbs.effect_rows import LOWEST_SET
from headscope.verbs.forecast import Calibration, Forecast, calibrate, forecast_of
from headscope.verbs.forecast_patch import patch_stages
from headscope.verbs.joint import random_set_stage
from headscope.verbs.patch_pairs import patchable_concepts
from headscope.verbs.run_request import RunRequest
from headscope.verbs.sweep import sweep_stages

BUDGETS = ("auto", "exact", "fast")
LONGEST_SWEEP_HOURS = 2.0

_RATES = {"cpu": 1e11, "mps": 2e12}  # multiply-adds x 2 a second that a few cores and a laptop's GPU reach in float32
_ACCELERATOR = 2e13
_SETS_A_CONCEPT = 2  # one from each half of the templates


@dataclass(frozen=True)
class Choice:
    """The budget a run gets, why, and what its reader must be warned of."""

    budget: str
    why: str
    warning: str | None = None


def choose_budget(study: Study, budget: str, *, edits: Sequence[str], no_gradients: str | None) -> Choice:
    """The budget of a run.

    ``no_gradients``: why there are none; None where there are.
    """
    if budget != "auto":
        return Choice(budget, "as asked")
    [sweep] = sweep_stages(study, study.model.head_set("*"), edits)
    hours = nominal_hours(study.model, sweep.counted().layer_tokens)
    counted = f"a sweep of every head counts as {hours:.2g} h on this kind of device"
    if hours <= LONGEST_SWEEP_HOURS:
        return Choice("exact", f"{counted}, at most {LONGEST_SWEEP_HOURS:g} h")
    if no_gradients is not None:
        return Choice("exact", f"{counted}, but there are no fast scores: {no_gradients}")
    why = f"{counted}, more than {LONGEST_SWEEP_HOURS:g} h"
    return Choice(
        "fast", why, f"the budget is fast: {why}; only --budget exact edits every head and makes tests confirmatory"
    )


def nominal_hours(model: HeadModel, layer_tokens: int) -> float:
    """Hours of so many tokens times layers at the rate stated for the model's kind of device."""
    blocks = blocks_of(model)
    n_chosen: int | None = getattr(model.hf.config.get_text_config(), "num_experts_per_tok", None)
    weights = 0.0
    for block in blocks:
        for weight in block.parameters():
            share = 1.0 if n_chosen is None or weight.dim() != 3 else n_chosen / weight.shape[0]
            weights += share * weight.numel()
    operations = 2.0 * weights / len(blocks) * layer_tokens
    return operations / _RATES.get(model.device.type, _ACCELERATOR) / 3600.0


def why_no_gradients(model: HeadModel, budget: str) -> str | None:
    """Why there can be no fast scores; None where there can.

    Raises:
        RequestError: there can be none, and a fast budget cannot be kept without them.
    """
    try:
        check_gradients(model)
    except RequestError as refused:
        if budget == "fast":
            raise
        return refused.problem
    return None


@dataclass(frozen=True)
class RunForecast:
    """What a run would take under each budget; ``fast`` is None where there are no gradients."""

    choice: Choice
    exact: Forecast
    fast: Forecast | None

    @property
    def chosen(self) -> Forecast:
        """The forecast of the run as it would be made."""
        return self.fast if self.choice.budget == "fast" and self.fast is not None else self.exact

    def record(self) -> dict[str, Any]:
        """The chosen forecast as plain data, with both budgets' costs."""
        both = {"exact": self.exact, "fast": self.fast}
        costs = [
            {
                "budget": name,
                "forward_passes": sum(stage.forward_passes for stage in forecast.stages),
                "tokens": sum(stage.tokens for stage in forecast.stages),
                "seconds": forecast.seconds,
                "chosen": name == self.choice.budget,
            }
            for name, forecast in both.items()
            if forecast is not None
        ]
        return self.chosen.record() | {"budget": self.choice.budget, "why": self.choice.why, "budgets": costs}


def forecast_run(study: Study, request: RunRequest) -> RunForecast:
    """Both budgets of one run.

    Raises:
        RequestError: a fast budget is asked for and gradients do not pass through the model.
    """
    no_gradients = why_no_gradients(study.model, request.budget)
    choice = choose_budget(study, request.budget, edits=request.edits, no_gradients=no_gradients)
    every = every_head(study.model.heads_per_layer)
    plan = _RunPlan(study, request, with_scores=no_gradients is None)
    exact = plan.forecast(study.model.head_set("*"), sets=request.sets)
    if no_gradients is not None:
        return RunForecast(choice, exact, None)
    n_top = min(len(every), request.top_n * len(study.names))
    # The first layers' heads cost most: whichever heads the scores choose, they cost no more.
    heads = HeadSet.of(every[: min(len(every), 2 * n_top)])
    return RunForecast(choice, exact, plan.forecast(heads, sets=False, calibration=exact.calibration))


@dataclass(frozen=True)
class _RunPlan:
    """The stages of a run, from the plans of its verbs."""

    study: Study
    request: RunRequest
    with_scores: bool
    can_patch: list[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "can_patch", patchable_concepts(self.study) if self.request.patching else [])

    def forecast(self, heads: HeadSet, *, sets: bool, calibration: Calibration | None = None) -> Forecast:
        """Of a run that edits ``heads``; with a given calibration they stand for others that cost no more."""
        study, request, bound = self.study, self.request, calibration is not None
        [sweep] = sweep_stages(study, heads, request.edits, bound=bound)
        calibration = calibration or calibrate(sweep)
        counted: list[Counted] = [*study.control_pass(request.edits)]
        counted += [fast_score_work(study)] if self.with_scores else []
        counted += [sweep.counted()]
        counted += [sweep.named("negative control").counted()] if request.negative_control else []
        for name in study.names:
            counted += self._of_sets(name, sets=sets)
        counted += self._of_patching(heads, bound=bound)
        writing = request.writing
        n_texts = len(study.prompts) * (len(request.edits) + 1) * _SETS_A_CONCEPT
        left_out = [name for name in study.names if request.patching and name not in self.can_patch]
        return forecast_of(
            study, counted, calibration,
            n_tests=len(heads) * len(study.names),
            text_tokens=writing.max_tokens * writing.samples * n_texts,
            notes=[f"{name} is not patched: no prompt of it fits its control" for name in left_out],
        )  # fmt: skip

    def _of_sets(self, name: str, *, sets: bool) -> list[Counted]:
        view, request = self.study.only(name), self.request
        [top] = ablation_stages(view, LOWEST_SET, request.edits, bound=True)
        both = replace(top, name=f"top sets: {name}", arms=top.arms * _SETS_A_CONCEPT)
        stages = [
            both,
            random_set_stage(view, [LOWEST_SET] * request.n_random, bound=True).named(f"random sets: {name}"),
        ]
        stages += [curve_stage(view).named(f"growing sets: {name}")] if sets else []
        return [stage.counted() for stage in stages]

    def _of_patching(self, heads: HeadSet, *, bound: bool) -> list[Counted]:
        if not self.can_patch:
            return []
        alone = [HeadSet((head,)) for head in heads]
        return patch_stages(self.study.only(self.can_patch), alone, alignment="exact", bound=bound)
