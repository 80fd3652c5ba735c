"""``headscope attribute``: fast scores of every head by gradients, the best verified exactly."""

from __future__ import annotations

from headscope.cli import console
from headscope.cli.commands import command
from headscope.cli.job import LOADING, PROMPTS, TEMPLATE, Job
from headscope.settings import Attributing

_LOADING = LOADING.replace("device_map ", "")  # gradients pass through a model in one place


@command(f"model {PROMPTS} concept outcome steps verify {TEMPLATE} {_LOADING} resume top_n out json quiet")
def attribute(job: Job, attributing: Attributing) -> None:
    """Score every head of every concept by a few passes back through the model, and measure the best exactly.

    [bold]Examples[/bold]

    headscope attribute --model demo --concept gratitude --out runs/attribute

    headscope attribute --model gpt2 --steps 16 --verify 10
    """
    job.check_outputs()
    profile = job.profile()

    from headscope.verbs.attribute import CHOOSING, attribute, check_outcome, check_request

    check_outcome(attributing.outcome)
    study = job.study(profile)
    check_request(study.model, **vars(attributing))
    options = job.options(study, attributing)
    run = job.serve("attribute", study, options, lambda served: {"attribute": attribute(served, **vars(attributing))})
    scores = run.table("scores")
    best = scores[(scores["measure"] == CHOOSING) & (scores["rank"] <= job.printed.top_n)]
    best = best.sort_values(["concept", "rank"], kind="stable")
    tables = [("Heads by their fast score", best, "scores")]
    job.tell(run, {"scores": console.records(best)}, tables)
