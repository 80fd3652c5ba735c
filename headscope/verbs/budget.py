"""What a run costs under each budget, and which one it gets where none is asked for.

``exact`` edits every head. ``fast`` scores every head by gradients and edits only the best of each concept and as many
random others. ``auto`` is ``exact`` unless the whole run would take more than ``LONGEST_RUN_HOURS``.

That is counted, not timed: multiply-adds of all its stages (weights of the layers times tokens, those of texts
included) at a rate stated for the kind of device. So the choice follows from the request, and the same request gives
the same bytes; a dry run shows the measured times of both beside it. Of the experts of a layer only those that a token
passes are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headscope.errors import RequestError
from headscope.measure.gradients import check_gradients
from headscope.models.blocks import blocks_of
from headscope.models.head_model import HeadModel
from headscope.study import Study
from headscope.verbs.forecast import Forecast, calibrate, forecast_of
from headscope.verbs.run_plan import RunPlan, sweep_to_time
from headscope.verbs.run_request import RunRequest

BUDGETS = ("auto", "exact", "fast")
LONGEST_RUN_HOURS = 2.0

_RATES = {"cpu": 1e11, "mps": 2e12}  # multiply-adds x 2 a second that a few cores and a laptop's GPU reach in float32
_ACCELERATOR = 2e13


@dataclass(frozen=True)
class Choice:
    """The budget a run gets, why, and what its reader must be warned of."""

    budget: str
    why: str
    warning: str | None = None


def choose_budget(study: Study, request: RunRequest, *, no_gradients: str | None) -> Choice:
    """The budget of a run.

    ``no_gradients``: why there are none; None where there are.
    """
    if request.budget != "auto":
        return Choice(request.budget, "as asked")
    exact = RunPlan(study, request, fast=False, with_scores=no_gradients is None)
    written = exact.text_tokens * len(study.model.heads_per_layer)
    hours = nominal_hours(study.model, written + sum(one.layer_tokens for one in exact.counted.values()))
    counted = f"a run that edits every head counts as {hours:.2g} h on this kind of device"
    if hours <= LONGEST_RUN_HOURS:
        return Choice("exact", f"{counted}, at most {LONGEST_RUN_HOURS:g} h")
    if no_gradients is not None:
        return Choice("exact", f"{counted}, but there are no fast scores: {no_gradients}")
    why = f"{counted}, more than {LONGEST_RUN_HOURS:g} h"
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
    choice = choose_budget(study, request, no_gradients=no_gradients)
    plans = [RunPlan(study, request, fast=False, with_scores=no_gradients is None)]
    plans += [RunPlan(study, request, fast=True)] if no_gradients is None else []
    rates = calibrate(sweep_to_time(study, plans[0]))
    exact, *fast = [
        forecast_of(
            study, list(plan.counted.values()), rates,
            n_tests=len(plan.heads) * len(study.names),
            text_tokens=plan.text_tokens,
            notes=[f"{name} is not patched: no prompt of it fits its control" for name in plan.not_patched],
        )
        for plan in plans
    ]  # fmt: skip
    return RunForecast(choice, exact, fast[0] if fast else None)
