"""``headscope attribute``: fast scores of every head by gradients, the best verified exactly."""

from __future__ import annotations

from typing import Any

import typer

from headscope.cli import console, options, results
from headscope.cli.asking import ask_model, ask_profile, ask_template, one_of, provenance
from headscope.cli.inputs import check_outputs


def command(
    context: typer.Context,
    model: options.Model,
    profile: options.Profile = "baseline",
    data_dir: options.DataDir = None,
    prompts: options.Prompts = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    drop_duplicates: options.DropDuplicates = False,
    concept: options.Concepts = None,
    outcome: options.Outcome = "lexicon_logodds_nats",
    steps: options.Steps = 8,
    verify: options.Verify = 5,
    chat_template: options.ChatTemplate = False,
    chat_template_name: options.ChatTemplateName = None,
    seed: options.Seed = 0,
    batch_tokens: options.BatchTokens = None,
    memory_budget: options.MemoryBudget = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    bos: options.Bos = "auto",
    unchecked: options.Unchecked = False,
    tokenizer: options.Tokenizer = None,
    trust_remote_code: options.TrustRemoteCode = False,
    resume: options.Resume = "auto",
    top_n: options.TopN = 10,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Score every head of every concept by a few passes back through the model, and measure the best exactly.

    [bold]Examples[/bold]

    headscope attribute --model demo --concept gratitude --out runs/attribute

    headscope attribute --model gpt2 --steps 16 --verify 10
    """
    check_outputs(out)
    asked = ask_profile(
        profile, data_dir=data_dir, prompts=prompts, concepts=concept,
        text_column=text_column, label_column=label_column, drop_duplicates=drop_duplicates,
    )  # fmt: skip

    from headscope.engines.engine import Engine
    from headscope.runs.folder import RESUME, Run
    from headscope.settings import Keeping
    from headscope.study import Study
    from headscope.verbs.attribute import CHOOSING, attribute, check_outcome, check_request
    from headscope.verbs.run_folder import begin_run, write_results

    check_outcome(outcome)
    one_of("resume", resume, RESUME)
    loaded = ask_model(
        model, device=device, dtype=dtype, bos=bos, unchecked=unchecked, tokenizer=tokenizer,
        trust_remote_code=trust_remote_code, memory_budget=memory_budget,
    )  # fmt: skip
    check_request(loaded, outcome, steps, verify)
    template = ask_template(chat_template, chat_template_name)
    study = Study(loaded, asked, concepts=concept, chat_template=template, seed=seed, batch_tokens=batch_tokens)
    request: dict[str, Any] = {"outcome": outcome, "steps": steps, "verify": verify}

    def work() -> Run:
        options = request | {"concepts": list(study.names), "chat_template": template}
        folder = begin_run("attribute", study, options, Keeping(out, resume, **provenance(context)))
        with folder, console.progress(quiet or json) as progress:
            result = attribute(study.run_by(Engine(folder.shards), progress), **request)
            write_results(folder, {"attribute": result})
        return folder

    run = results.served(work)
    scores = run.table("scores")
    best = scores[(scores["measure"] == CHOOSING) & (scores["rank"] <= top_n)]
    best = best.sort_values(["concept", "rank"], kind="stable")
    if json:
        console.print_json(results.facts(run) | {"scores": console.records(best)})
        return
    results.print_warnings(run)
    if not quiet:
        results.print_rows("Heads by their fast score", best, results.SCORES)
    console.say(f"run: {run.path}")
