"""``headscope probe``: which heads know the concept?"""

from __future__ import annotations

from headscope.cli import console, results
from headscope.cli.commands import command
from headscope.cli.job import LOADING, PROMPTS, TEMPLATE, Job


@command(f"model {PROMPTS} concept {TEMPLATE} {LOADING} top_n out json quiet")
def probe(job: Job) -> None:
    """What can be read off every head: a probe of its output, on templates left out, against shuffled labels.

    Templates left out share their words: a head that only passes these on can be read as well, and the AUROC of the
    residual stream says how far anything in its layer could. A head may know without doing: whether anything changes
    without it, `headscope sweep` says.

    [bold]Examples[/bold]

    headscope probe --model demo

    headscope probe --model gpt2 --profile ioi --out runs/ioi-probes
    """
    job.check_outputs()
    profile = job.profile()

    from headscope.verbs.probe import check_can_be_probed, probe

    study = job.study(profile)
    check_can_be_probed(study)
    run = job.serve("probe", study, job.options(study), lambda served: {"probe": probe(served)})
    top = results.top_probes(run.table("probes"), job.printed.top_n)
    job.tell(
        run,
        {"top": console.records(top)},
        [(f"The {job.printed.top_n} heads that tell each concept, or its words, best", top, "probes")],
        f"run: {run.path}",
    )
