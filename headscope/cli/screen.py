"""``headscope screen``: which heads look at the concept?"""

from __future__ import annotations

from headscope.cli import console, results
from headscope.cli.commands import command
from headscope.cli.job import LOADING, PROMPTS, TEMPLATE, Job
from headscope.settings import Screening


@command(
    f"model {PROMPTS} concept protocol query allow_low_coverage {TEMPLATE} {LOADING} top_n out output json quiet",
)
def screen(job: Job, screening: Screening) -> None:
    """Where every head looks: its attention to the concept's words, minus the same in matched controls.

    [bold]Examples[/bold]

    headscope screen --model demo --output head_scores.json

    headscope screen --model gpt2 --concept anger --query after --out runs/anger
    """
    job.check_outputs(".json")
    profile = job.profile()

    from headscope.runs.atomic import write_bytes_atomic
    from headscope.runs.folder import HEAD_SCORES
    from headscope.verbs.screen import check_protocol, screen

    check_protocol(**vars(screening), bos=job.loading.bos, chat_template=job.template)
    study = job.study(profile)
    options = job.options(study, screening)
    run = job.serve("screen", study, options, lambda served: {"screen": screen(served, **vars(screening))})
    output, top_n = job.printed.output, job.printed.top_n
    if output is not None:
        write_bytes_atomic(output, (run.path / HEAD_SCORES).read_bytes())
    top, coverage = results.top_screen(run.table("screen"), top_n), run.table("coverage")
    job.tell(
        run,
        {"coverage": console.records(coverage), "top": console.records(top), "output": output and str(output)},
        [
            ("Coverage", coverage, "coverage"),
            (f"The {top_n} heads of each concept with the largest difference", top, "screen"),
        ],
        f"run: {run.path}",
        *(() if output is None else (f"head scores: {output}",)),
    )
