"""``headscope eval``: what do benchmarks say without these heads?"""

from __future__ import annotations

from typing import Any

from headscope.cli import console
from headscope.cli.commands import command
from headscope.cli.job import LOADING, PROMPTS, Job
from headscope.errors import RequestError
from headscope.settings.evaluating import Evaluating


@command(
    f"model heads edit_file tasks edit factor include_path limit num_fewshot {PROMPTS} chat_template "
    f"chat_template_name seed batch_size confirm_unsafe_code {LOADING} out json quiet"
)
def eval(job: Job, evaluating: Evaluating) -> None:  # noqa: A001 - the verb's name
    """Run tasks of lm-evaluation-harness with and without an edit, on the same model, paired item by item.

    Their data must be local, in the cache of the package datasets, or within reach of the network.

    [bold]Examples[/bold]

    headscope eval --model gpt2 --heads "9:6,9:9" --tasks lambada_openai --limit 200 --out runs/lambada

    headscope eval --model demo --heads 1:2 --edit mean --tasks mine --include-path ./tasks
    """
    job.check_outputs()
    if evaluating.edit_file is not None:
        job.refuse(("heads", "edit", "factor", *PROMPTS.split()), "with --edit-file, which says it all")
    elif evaluating.heads is None:
        raise RequestError("no edit is asked for", expected="--heads, or --edit-file")
    elif evaluating.edit != "mean":
        job.refuse(PROMPTS.split(), f"with --edit {evaluating.edit}: control prompts are what means are of")
    profile = job.profile()

    from headscope.measure.benchmarks import find_benchmarks, require_lm_eval
    from headscope.models.edit_files import load_edit
    from headscope.verbs.evaluate import evaluate
    from headscope.verbs.making_edits import check_kind
    from headscope.verbs.making_edits import edit as edit_of

    given = None if evaluating.edit_file is None else load_edit(evaluating.edit_file)
    if given is None:
        check_kind(evaluating.edit, factor=evaluating.factor, has_values=False, may_take_mean=True)
    lm_eval = require_lm_eval()
    found = find_benchmarks(
        evaluating.tasks, evaluating.include_path,
        n_fewshot=evaluating.num_fewshot, limit=evaluating.limit, unsafe_code=evaluating.confirm_unsafe_code,
    )  # fmt: skip
    study = job.study(profile)
    bos = job.loading.bos
    edit = given or edit_of(study, evaluating.heads or "", kind=evaluating.edit, factor=evaluating.factor)
    settled: dict[str, Any] = {"lm_eval": lm_eval, "task_identity": dict(found.identity), "task_bos": bos}
    settled |= {"heads": str(study.model.head_set(edit.heads)), "edit": edit.kind}
    settled |= {} if given is None else {"factor": edit.factor, "edit_values": edit.record(study.model).fingerprint}
    options = job.options(study, evaluating, **settled)
    run = job.serve("eval", study, options, lambda served: {"eval": evaluate(served, found, evaluating, edit, bos=bos)})
    rows = run.table("evaluation")
    job.tell(run, {"evaluation": console.records(rows)}, [("Benchmarks, edited − unedited", rows, "evaluation")])
