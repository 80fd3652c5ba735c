"""``headscope screen``: which heads look at the concept?"""

from __future__ import annotations

from typing import Any

import typer

from headscope.cli import console, options, results
from headscope.cli.asking import ask_model, ask_profile, ask_template, provenance
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
    protocol: options.Protocol = "matched",
    query: options.Query = "last",
    allow_low_coverage: options.AllowLowCoverage = False,
    chat_template: options.ChatTemplate = False,
    chat_template_name: options.ChatTemplateName = None,
    seed: options.Seed = 0,
    batch_tokens: options.BatchTokens = None,
    memory_budget: options.MemoryBudget = None,
    device: options.Device = "auto",
    device_map: options.DeviceMap = None,
    dtype: options.Dtype = "auto",
    bos: options.Bos = "auto",
    unchecked: options.Unchecked = False,
    tokenizer: options.Tokenizer = None,
    trust_remote_code: options.TrustRemoteCode = False,
    top_n: options.TopN = 10,
    out: options.Out = None,
    output: options.Output = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Where every head looks: its attention to the concept's words, minus the same in matched controls.

    [bold]Examples[/bold]

    headscope screen --model demo --output head_scores.json

    headscope screen --model gpt2 --concept anger --query after --out runs/anger
    """
    check_outputs(out, output, ".json")
    asked = ask_profile(
        profile, data_dir=data_dir, prompts=prompts, concepts=concept,
        text_column=text_column, label_column=label_column, drop_duplicates=drop_duplicates,
    )  # fmt: skip

    from headscope.engines.engine import Engine
    from headscope.runs.atomic import write_bytes_atomic
    from headscope.runs.folder import HEAD_SCORES, Run
    from headscope.settings import Keeping
    from headscope.study import Study
    from headscope.verbs.run_folder import begin_run, write_results
    from headscope.verbs.screen import check_protocol, screen

    template = ask_template(chat_template, chat_template_name)
    check_protocol(protocol, query, bos=bos, allow_low_coverage=allow_low_coverage, chat_template=template)
    loaded = ask_model(
        model, device=device, device_map=device_map, dtype=dtype, bos=bos, unchecked=unchecked,
        tokenizer=tokenizer, trust_remote_code=trust_remote_code, memory_budget=memory_budget,
    )  # fmt: skip
    study = Study(loaded, asked, concepts=concept, chat_template=template, seed=seed, batch_tokens=batch_tokens)
    request: dict[str, Any] = {"protocol": protocol, "query": query, "allow_low_coverage": allow_low_coverage}

    def work() -> Run:
        options = request | {"concepts": list(study.names), "chat_template": template}
        folder = begin_run("screen", study, options, Keeping(out, **provenance(context)))
        with folder, console.progress(quiet or json) as progress:
            write_results(folder, {"screen": screen(study.run_by(Engine(), progress), **request)})
        return folder

    run = results.served(work)
    if output is not None:
        write_bytes_atomic(output, (run.path / HEAD_SCORES).read_bytes())
    top = results.top_screen(run.table("screen"), top_n)
    if json:
        coverage = console.records(run.table("coverage"))
        console.print_json(
            results.facts(run) | {"coverage": coverage, "top": console.records(top), "output": output and str(output)}
        )
        return
    results.print_warnings(run)
    if not quiet:
        results.print_rows("Coverage", run.table("coverage"), results.COVERAGE)
        results.print_rows(f"The {top_n} heads of each concept with the largest difference", top, results.SCREEN)
    console.say(f"run: {run.path}")
    if output is not None:
        console.say(f"head scores: {output}")
