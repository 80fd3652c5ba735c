"""``headscope run``: the whole line, from prompts to a report."""

from __future__ import annotations

from headscope.cli import console, results
from headscope.cli.commands import command
from headscope.cli.forecasting import print_run_forecast
from headscope.cli.job import (
    LOADING,
    PROMPTS,
    SAMPLING,
    TEMPLATE,
    WORKERS,
    Job,
    check_edits,
    criteria_of,
    refuse_unused_sampling,
)
from headscope.settings import Judging, RunSettings, Writing

_SHOWN = 3  # heads of each concept; the report has them all


@command(
    f"model {PROMPTS} concept query budget edit own_outcome top_k n_random sets share patching complete "
    f"allow_low_coverage negative_control minimum_effect minimum_attention require_verdicts {TEMPLATE} {SAMPLING} "
    f"sentiment {LOADING} {WORKERS} shard until time top_n out dry_run language force json quiet"
)
def run(job: Job, settings: RunSettings, judging: Judging, writing: Writing) -> None:
    """Screen every head, switch each one off, judge them, let the model speak without them, and report.

    [bold]Examples[/bold]

    headscope run --model demo --profile baseline --out runs/demo

    headscope run --model gpt2 --profile ./joy --concept joy --seed 1

    headscope run --model gpt2 --outcome refusal --outcome my_outcomes.py:politeness --samples 4
    """
    job.check_outputs()
    refuse_unused_sampling(job.called.context, greedy=writing.greedy)
    if settings.budget == "fast":
        job.refuse(("sets", "share"), "with --budget fast, which measures no growing sets")
    if not settings.sets:
        job.refuse(("share",), "with --no-sets")
    profile = job.profile()

    from headscope.pipeline import run
    from headscope.pipeline.pace import seconds_of
    from headscope.report.words import check_language
    from headscope.verbs.enough_templates import require_verdicts
    from headscope.verbs.run_request import RunRequest

    check_language(*settings.languages)
    if judging.require_verdicts:
        require_verdicts(profile, job.settings.concepts)
    check_edits(settings.edits)
    if settings.time is not None:
        seconds_of(settings.time)
    request = RunRequest(**vars(settings), criteria=criteria_of(judging), writing=writing)
    study = job.study(profile)
    if job.printed.dry_run:
        from headscope.verbs.budget import forecast_run

        print_run_forecast(forecast_run(study, request), json=job.printed.json)
        return
    runner, part = job.runner(study.model)
    with job.progress() as progress:
        told = study.run_by(study.engine, progress)
        done = results.served(lambda: run(told, request, job.kept, runner=runner, part=part))
    page = done.path / "report.html"
    report = page if page.is_file() else done.path / "report.md"  # a run of before there were pages
    tables = results.what_it_shows(done)
    if "ranking" in done.tables:
        ranking = done.table("ranking")
        best = ranking[(ranking["by"] == "effect") & (ranking["rank"] <= _SHOWN)]
        tables += [("The heads whose removal changes it most", best, "ranking")] if len(best) else []
    if done.manifest.status == "stopped":
        console.note(f"stopped {done.manifest.error}; the same command goes on")
    job.tell(done, {"report": str(report)}, tables, f"report: {report}")
