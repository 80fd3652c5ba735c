"""``headscope sweep``: what changes when each head is off alone?"""

from __future__ import annotations

from typing import Any

import typer

from headscope.cli import console, options, results
from headscope.cli.asking import (
    ask_criteria,
    ask_edits,
    ask_model,
    ask_part,
    ask_profile,
    ask_runner,
    ask_template,
    one_of,
    provenance,
    refuse_unused,
)
from headscope.cli.forecasting import print_forecast
from headscope.cli.inputs import check_outputs
from headscope.errors import RequestError


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
    heads: options.SweptSpec = "*",
    edit: options.Edits = None,
    sets: options.Sets = False,
    top_k: options.TopK = 4,
    share: options.Share = 0.5,
    negative_control: options.NegativeControl = False,
    minimum_effect: options.MinimumEffect = None,
    minimum_attention: options.MinimumAttention = None,
    require_verdicts: options.RequireVerdicts = False,
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
    engine: options.EngineName = "local",
    address: options.Address = None,
    resume: options.Resume = "auto",
    shard: options.Shard = None,
    top_n: options.TopN = 10,
    out: options.Out = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """What changes when each head is off alone: exact, every head, corrected for looking at all of them.

    [bold]Examples[/bold]

    headscope sweep --model demo --concept gratitude --out runs/sweep

    headscope sweep --model gpt2 --heads "1:*,3:0-5" --edit mean

    headscope sweep --model demo --concept gratitude --sets --share 0.8
    """
    out, part = ask_part(shard, out)
    check_outputs(out)
    if not sets:
        refuse_unused(context, ("top_k", "share"), "without --sets")
    asked = ask_profile(
        profile, data_dir=data_dir, prompts=prompts, concepts=concept,
        text_column=text_column, label_column=label_column, drop_duplicates=drop_duplicates,
    )  # fmt: skip

    from headscope.engines.engine import Engine
    from headscope.runs.folder import RESUME, Run
    from headscope.settings import Keeping
    from headscope.study import Study
    from headscope.verbs.curves import check_curves, curves
    from headscope.verbs.effect_rows import DECIDING_EDIT
    from headscope.verbs.enough_templates import require_verdicts as refuse_too_few
    from headscope.verbs.negative_control import negative_control as with_random_words
    from headscope.verbs.rank import rank
    from headscope.verbs.reliability import reliability
    from headscope.verbs.result import Result
    from headscope.verbs.run_folder import begin_run, write_results
    from headscope.verbs.sweep import sweep

    one_of("resume", resume, RESUME)
    if require_verdicts:
        refuse_too_few(asked, concept)
    edits = ask_edits(edit)
    if DECIDING_EDIT not in edits:
        raise RequestError(
            f'the edit "{DECIDING_EDIT}" decides and cannot be left out',
            got=", ".join(edits),
            fix="add --edit mean; headscope.sweep in Python takes any edits and ranks nothing",
        )
    criteria = ask_criteria(minimum_effect, minimum_attention)
    runner_for = ask_runner(engine, address)
    loading: dict[str, Any] = {
        "device": device, "device_map": device_map, "dtype": dtype, "bos": bos, "unchecked": unchecked,
        "tokenizer": tokenizer, "trust_remote_code": trust_remote_code, "memory_budget": memory_budget,
    }  # fmt: skip
    loaded = ask_model(model, **loading)
    template = ask_template(chat_template, chat_template_name)
    study = Study(loaded, asked, concepts=concept, chat_template=template, seed=seed, batch_tokens=batch_tokens)
    request: dict[str, Any] = {"heads": str(loaded.head_set(heads)), "edits": list(edits)}
    of_sets: dict[str, Any] = {"top_k": top_k, "share": share} if sets else {}
    if sets:
        check_curves(loaded, heads=heads, **of_sets)
    if dry_run:
        from headscope.verbs.forecast import forecast_sweep

        forecast = forecast_sweep(study, **request, sets=sets, negative_control=negative_control)
        print_forecast(forecast, json=json)
        return

    def work() -> Run:
        options = request | {"concepts": list(study.names), "chat_template": template}
        options |= {"sets": of_sets} if sets else {}
        options |= {"criteria": vars(criteria)}
        options |= {"negative_control": True} if negative_control else {}
        folder = begin_run("sweep", study, options, Keeping(out, resume, **provenance(context)))
        with folder, console.progress(quiet or json) as progress:
            causal = study.run_by(Engine(folder.shards, runner_for(loaded, loading), part), progress)
            swept = sweep(causal, **request)
            tables: dict[str, Result] = {"sweep": swept}
            if sets:
                tables["curves"] = curves(causal, swept, **of_sets)
            if negative_control:
                tables["negative_control"] = with_random_words(causal, None, criteria=criteria, **request)
            tables["reliability"] = reliability(None, swept, seed=seed, criteria=criteria)
            write_results(folder, tables | {"rank": rank(None, swept, top_n=top_n, criteria=criteria)})
        return folder

    run = results.served(work)
    ranking = run.table("ranking")
    if json:
        console.print_json(results.facts(run) | {"ranking": console.records(ranking)})
        return
    results.print_warnings(run)
    if not quiet:
        results.print_rows("Does the model show the concept?", run.table("assay"), results.ASSAY)
        results.print_rows("Heads by the size of their effect", ranking[ranking["rank"] <= top_n], results.RANKING)
    console.say(f"run: {run.path}")
