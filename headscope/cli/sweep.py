"""``headscope sweep``: what changes when each head is off alone?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headscope.cli import console, results
from headscope.cli.commands import command
from headscope.cli.forecasting import print_forecast
from headscope.cli.job import LOADING, PROMPTS, TEMPLATE, WORKERS, Job, check_edits, criteria_of
from headscope.errors import RequestError
from headscope.settings import Judging, Sets, Sweeping
from headscope.settings.measuring import Listed, NegativeControl
from headscope.terms import DECIDING_EDIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headscope.study import Study
    from headscope.verbs.result import Result


@command(
    f"model {PROMPTS} concept heads edit own_outcome sets top_k share negative_control minimum_effect "
    f"minimum_attention require_verdicts {TEMPLATE} {LOADING} {WORKERS} shard top_n out dry_run json quiet",
    sets=False,
)
def sweep(job: Job, sweeping: Sweeping, sets: Sets, control: NegativeControl, judging: Judging, listed: Listed) -> None:
    """What changes when each head is off alone: exact, every head, corrected for looking at all of them.

    [bold]Examples[/bold]

    headscope sweep --model demo --concept gratitude --out runs/sweep

    headscope sweep --model gpt2 --heads "1:*,3:0-5" --edit mean

    headscope sweep --model demo --concept gratitude --sets --share 0.8
    """
    job.check_outputs()
    if not sets.sets:
        job.refuse(("top_k", "share"), "without --sets")
    profile = job.profile()

    from headscope.verbs.curves import check_curves, curves
    from headscope.verbs.enough_templates import require_verdicts
    from headscope.verbs.negative_control import check_has_negative_control, negative_control
    from headscope.verbs.rank import rank
    from headscope.verbs.reliability import reliability
    from headscope.verbs.sweep import sweep

    if judging.require_verdicts:
        require_verdicts(profile, job.settings.concepts)
    if control.negative_control:
        check_has_negative_control(profile)
    _check(sweeping.edits)
    job.refuse_outcomes_of_text("by a sweep, which writes none: headscope ablate and headscope run do")
    criteria = criteria_of(judging)
    study = job.study(profile)
    request: dict[str, Any] = {"heads": str(study.model.head_set(sweeping.heads)), "edits": sweeping.edits}
    of_sets: dict[str, Any] = {"top_k": sets.top_k, "share": sets.share}
    if sets.sets:
        check_curves(study.model, heads=sweeping.heads, **of_sets)
    if job.printed.dry_run:
        from headscope.verbs.forecast import forecast_sweep

        forecast = forecast_sweep(study, **request, sets=sets.sets, negative_control=control.negative_control)
        print_forecast(forecast, json=job.printed.json)
        return

    def work(served: Study) -> dict[str, Result]:
        swept = sweep(served, **request)
        made: dict[str, Result] = {"sweep": swept}
        if sets.sets:
            made["curves"] = curves(served, swept, **of_sets)
        if control.negative_control:
            made["negative_control"] = negative_control(served, None, criteria=criteria, **request)
        made["reliability"] = reliability(None, swept, seed=served.seed, criteria=criteria)
        return made | {"rank": rank(None, swept, top_n=listed.top_n, criteria=criteria)}

    settled = {"heads": request["heads"], "criteria": vars(criteria)} | ({"sets": of_sets} if sets.sets else {})
    run = job.serve("sweep", study, job.options(study, sweeping, control, listed, **settled), work)
    ranking = run.table("ranking")
    tables = [
        *results.what_it_shows(run),
        ("Heads by the size of their effect", ranking[ranking["rank"] <= listed.top_n], "ranking"),
    ]
    job.tell(run, {"ranking": console.records(ranking)}, tables)


def _check(edits: Sequence[str]) -> None:
    """Raise RequestError where an edit stands twice, or the one that decides is left out."""
    check_edits(edits)
    if DECIDING_EDIT not in edits:
        raise RequestError(
            f'the edit "{DECIDING_EDIT}" decides and cannot be left out',
            got=", ".join(edits),
            fix="add --edit mean; headscope.sweep in Python takes any edits and ranks nothing",
        )
