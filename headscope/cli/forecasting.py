"""What ``--dry-run`` prints: the work of a request, its time and memory, and what its prompts can show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headscope.cli import console

if TYPE_CHECKING:
    from headscope.verbs.budget import RunForecast
    from headscope.verbs.forecast import Forecast

_STAGES = {"stage": "stage", "forward_passes": "passes", "tokens": "tokens", "bound": ""}
_BUDGETS = {"budget": "budget", "forward_passes": "passes", "tokens": "tokens", "time": "time", "chosen": ""}
_REACH = {
    "concept": "concept",
    "n_prompts": "prompts",
    "n_templates": "templates",
    "n_tests": "tests in the family",
    "smallest_p": "smallest p",
    "smallest_d": "smallest effect (d)",
    "templates_for_half_d": "templates for d = 0.5",
}


def print_forecast(found: Forecast, *, json: bool) -> None:
    """The forecast for people, or as one JSON object."""
    if json:
        console.print_json(found.record())
        return
    _print_work(found)
    console.say("dry run: nothing was measured, nothing was written")


def print_run_forecast(found: RunForecast, *, json: bool) -> None:
    """The forecast of the chosen budget, and what each budget costs."""
    record = found.record()
    if json:
        console.print_json(record)
        return
    _print_work(found.chosen)
    rows = [
        cost | {"time": f"about {_duration(cost['seconds'])}", "chosen": "chosen" if cost["chosen"] else ""}
        for cost in record["budgets"]
    ]
    console.print_table("What each budget costs at most", rows, _BUDGETS)
    console.say(f"budget {found.choice.budget}: {found.choice.why}")
    console.say("dry run: nothing was measured, nothing was written")


def _print_work(found: Forecast) -> None:
    record = found.record()
    rows = [stage | {"bound": "at most" if stage["is_bound"] else ""} for stage in record["stages"]]
    console.print_table("Teacher-forced work", rows, _STAGES)
    if found.text_tokens:
        console.say(f"text: at most {found.text_tokens:,} tokens, written one by one; not in the time below")
    at_most = "at most " if any(stage.is_bound for stage in found.stages) else ""
    console.say(
        f"time: {at_most}about {_duration(found.seconds)}, an estimate: {found.calibration['seconds']:.2f} s measured "
        f"for {found.calibration['tokens']:,.0f} tokens, times the work"
    )
    console.say(f"memory: {found.weights_mib:,.0f} MiB of weights; {found.peak_mib:,.0f} MiB held in calibration")
    console.print_table("The smallest effect that is found with 80 % power", list(record["reach"]), _REACH)
    console.say("d: standard deviations over templates, at the level left to one test of the family (Bonferroni)")
    for note in found.notes:
        console.warn(note)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
