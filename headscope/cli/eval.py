"""``headscope eval``: what do benchmarks say without these heads?"""

from __future__ import annotations

from headscope.cli import console
from headscope.cli.commands import command
from headscope.cli.job import LOADING, PROMPTS, Job
from headscope.settings.evaluating import Evaluating


@command(
    f"model heads tasks edit dose include_path limit num_fewshot {PROMPTS} chat_template chat_template_name seed "
    f"batch_size confirm_unsafe_code {LOADING} out json quiet"
)
def eval(job: Job, evaluating: Evaluating) -> None:  # noqa: A001 - the verb's name
    """Run tasks of lm-evaluation-harness with and without an edit, on the same model, paired item by item.

    Their data must be local, in the cache of the package datasets, or within reach of the network.

    [bold]Examples[/bold]

    headscope eval --model gpt2 --heads "9:6,9:9" --tasks lambada_openai --limit 200 --out runs/lambada

    headscope eval --model demo --heads 1:2 --edit mean --tasks mine --include-path ./tasks
    """
    job.check_outputs()
    if evaluating.edit != "mean":
        job.refuse(PROMPTS.split(), f"with --edit {evaluating.edit}: control prompts are what means are of")
    profile = job.profile()

    from headscope.measure.benchmarks import find_benchmarks, require_lm_eval
    from headscope.verbs.evaluate import check_edit, evaluate

    check_edit(evaluating.edit, evaluating.dose)
    lm_eval = require_lm_eval()
    found = find_benchmarks(
        evaluating.tasks, evaluating.include_path,
        n_fewshot=evaluating.num_fewshot, limit=evaluating.limit, unsafe_code=evaluating.confirm_unsafe_code,
    )  # fmt: skip
    study = job.study(profile)
    bos = job.loading.bos
    settled = {"lm_eval": lm_eval, "task_identity": dict(found.identity), "task_bos": bos}
    options = job.options(study, evaluating, **settled)
    run = job.serve("eval", study, options, lambda served: {"eval": evaluate(served, found, evaluating, bos=bos)})
    rows = run.table("evaluation")
    job.tell(run, {"evaluation": console.records(rows)}, [("Benchmarks, edited − unedited", rows, "evaluation")])
