"""What ``--dry-run`` prints: the work of a request, its time and memory, and what its prompts can show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headscope.cli import console
from headscope.cli.progress_lines import duration

if TYPE_CHECKING:
    from headscope.verbs.budget import RunForecast
    from headscope.verbs.forecast import Forecast

_STAGES = {"stage": "stage", "forward_passes": "passes", "tokens": "tokens", "time": "time", "bound": ""}
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
        cost | {"time": _about(cost["seconds"]), "chosen": "chosen" if cost["chosen"] else ""}
        for cost in record["budgets"]
    ]
    console.print_table("What each budget costs", rows, _BUDGETS)
    console.say(f"budget {found.choice.budget}: {found.choice.why}")
    console.say("dry run: nothing was measured, nothing was written")


def _print_work(found: Forecast) -> None:
    from headscope.verbs.forecast import TEXTS

    record = found.record()
    rows = list(record["stages"])
    if found.text_tokens and TEXTS not in {row["stage"] for row in rows}:
        rows.append({"stage": TEXTS, "tokens": found.text_tokens, "is_bound": True, "is_assumed": False})
    shown = [
        row
        | {
            "time": _about(found.seconds_of[row["stage"]]),
            "bound": "assumed" if row["is_assumed"] else _bound(row["is_bound"]),
        }
        for row in rows
    ]
    console.print_table("Work", shown, _STAGES)
    if any(row["is_assumed"] for row in rows):
        console.say("assumed: how many heads and sets are taken up depends on what is measured (docs/statistics.md)")
    if len(rows) == len(record["stages"]) and found.text_tokens:
        console.say(f"texts: {found.text_tokens:,} tokens are written, one by one, beside the passes counted here")
    at_most = _bound(any(row["is_bound"] for row in rows), after=" ")
    console.say(
        f"time: {at_most}{_about(found.seconds)}, an estimate from a few passes "
        f"that took {duration(found.calibration.measured_seconds)} here; statistics and pictures are not in it"
    )
    console.say(f"memory: {found.weights_mib:,.0f} MiB of weights; {found.peak_mib:,.0f} MiB held in calibration")
    console.print_table("The smallest effect that is found with 80 % power", list(record["reach"]), _REACH)
    console.say("d: standard deviations over templates, at the level left to one test of the family (Bonferroni)")
    for note in found.notes:
        console.warn(note)


def _about(seconds: float) -> str:
    return f"about {duration(seconds)}"


def _bound(is_bound: bool, after: str = "") -> str:
    return f"at most{after}" if is_bound else ""
