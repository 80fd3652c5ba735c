"""What a run costs under each budget, and which one it gets where none is asked for.

``exact`` edits every head. ``fast`` scores every head by gradients and edits only the best of each concept and as many
random others. ``auto`` is ``exact`` unless a sweep of every head would take more than ``LONGEST_SWEEP_HOURS``.

That is counted, not timed: multiply-adds of the sweep (weights of the layers times its tokens) at a rate stated for the
kind of device. So the choice follows from the request, and the same request gives the same bytes; a dry run shows the
measured times of both beside it. Of the experts of a layer only those that a token passes are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headscope.errors import RequestError
from headscope.heads import HeadSet, every_head
from headscope.measure.edits import Arm
from headscope.measure.gradients import check_gradients
from headscope.models.blocks import blocks_of
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.verbs.causal import CausalStudy
from headscope.verbs.forecast import forecast
from headscope.verbs.forecast_work import Forecast
from headscope.verbs.request import batch_budget, chosen_concepts

BUDGETS = ("auto", "exact", "fast")
LONGEST_SWEEP_HOURS = 2.0

_RATES = {"cpu": 1e11, "mps": 2e12}  # multiply-adds x 2 a second that a few cores and a laptop's GPU reach in float32
_ACCELERATOR = 2e13


@dataclass(frozen=True)
class Choice:
    """The budget a run gets, why, and what its reader must be warned of."""

    budget: str
    why: str
    warning: str | None = None


def choose_budget(
    model: HeadModel,
    profile: Profile,
    budget: str,
    *,
    concepts: Sequence[str] | str | None,
    edits: Sequence[str],
    chat_template: bool | str,
    batch_tokens: int | None,
    no_gradients: str | None,
) -> Choice:
    """The budget of a run.

    Args:
        model: the model.
        profile: what is asked.
        budget: one of ``BUDGETS``.
        concepts: only these; all by default.
        edits: kinds of edit of the sweep.
        chat_template: wrap prompts in the tokenizer's chat template; a text names one of several.
        batch_tokens: most tokens of a batch.
        no_gradients: why there are none; None where there are.
    """
    if budget != "auto":
        return Choice(budget, "as asked")
    study = CausalStudy(
        model, profile, concepts=concepts, kinds=(), seed=0, batch_tokens=batch_budget(model, batch_tokens),
        chat_template=chat_template, pack=True, progress=None,
    )  # fmt: skip
    passes = study.passes()
    arms = [Arm(HeadSet((head,)), kind) for kind in edits for head in every_head(model.heads_per_layer)]
    hours = nominal_hours(model, passes.work_of(passes.plan(arms))[2])
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
                "forward_passes": sum(stage.forward_passes for stage in one.stages),
                "tokens": sum(stage.tokens for stage in one.stages),
                "seconds": one.seconds,
                "chosen": name == self.choice.budget,
            }
            for name, one in both.items()
            if one is not None
        ]
        return self.chosen.record() | {"budget": self.choice.budget, "why": self.choice.why, "budgets": costs}


def forecast_run(
    model: HeadModel,
    profile: Profile,
    *,
    budget: str,
    edits: Sequence[str],
    top_n: int,
    sets: bool,
    concepts: Sequence[str] | str | None = None,
    chat_template: bool | str = False,
    batch_tokens: int | None = None,
    **options: Any,
) -> RunForecast:
    """Both budgets of one run; ``options`` are those of ``forecast``.

    Raises:
        RequestError: a fast budget is asked for and gradients do not pass through the model.
    """
    no_gradients = None
    try:
        check_gradients(model)
    except RequestError as refused:
        if budget == "fast":
            raise
        no_gradients = refused.problem
    common: dict[str, Any] = {"concepts": concepts, "chat_template": chat_template, "batch_tokens": batch_tokens}
    choice = choose_budget(model, profile, budget, edits=edits, no_gradients=no_gradients, **common)
    asked: dict[str, Any] = {"edits": edits, "joint": True, "fast_scores": no_gradients is None, **common, **options}
    exact = forecast(model, profile, heads=model.head_set("*"), sets=sets, **asked)
    if no_gradients is not None:
        return RunForecast(choice, exact, None)
    every = every_head(model.heads_per_layer)
    n_top = min(len(every), top_n * len(chosen_concepts(profile, concepts)))
    # The first layers' heads cost most: whichever heads the scores choose, they cost no more.
    heads = HeadSet.of(every[: min(len(every), 2 * n_top)])
    return RunForecast(choice, exact, forecast(model, profile, heads=heads, at_most=True, calibrated=exact, **asked))
