"""``headscope ablate``: what changes when these heads are off?"""

from __future__ import annotations

from typing import Any

import typer

from headscope.cli import console, options, results
from headscope.cli.asking import (
    TEXT_OPTIONS,
    ask_edits,
    ask_model,
    ask_profile,
    ask_runner,
    ask_template,
    one_of,
    provenance,
    refuse_unused,
    refuse_unused_sampling,
)
from headscope.cli.forecasting import print_forecast
from headscope.cli.inputs import check_outputs
from headscope.errors import RequestError


def command(
    context: typer.Context,
    model: options.Model,
    heads: options.Heads,
    profile: options.Profile = "baseline",
    data_dir: options.DataDir = None,
    prompts: options.Prompts = None,
    prompts_file: options.PromptsFile = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    drop_duplicates: options.DropDuplicates = False,
    concept: options.Concept = None,
    edit: options.Edits = None,
    value_bias: options.ValueBias = "zero",
    scope: options.Scope = "all",
    chat_template: options.ChatTemplate = False,
    chat_template_name: options.ChatTemplateName = None,
    seed: options.Seed = 0,
    no_generate: options.NoGenerate = False,
    max_tokens: options.MaxTokens = 30,
    temperature: options.Temperature = 1.0,
    top_p: options.TopP = 0.9,
    samples: options.Samples = 1,
    greedy: options.Greedy = False,
    stop_token: options.StopTokens = None,
    stop_at_eos: options.StopAtEos = True,
    sentiment: options.Sentiment = "vader",
    keyword_counting: options.KeywordCounting = "continuation",
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
    out: options.Out = None,
    dry_run: options.DryRun = False,
    output: options.Output = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """What changes when these heads are off together: log-odds of the concept, damage, and the text itself.

    [bold]Examples[/bold]

    headscope ablate --model demo --heads 1:2 --concept gratitude --out runs/one_head

    headscope ablate --model gpt2 --head-spec "1:10,3:2" --concept gratitude --edit mean --output two_heads.pkl
    """
    check_outputs(out, output, ".json", ".pkl")
    if output is not None and no_generate:
        raise RequestError("--output needs texts, and --no-generate writes none", fix="leave out one of the two")
    refuse_unused_sampling(context, greedy=greedy)
    if no_generate:
        refuse_unused(context, ("scope", *TEXT_OPTIONS), "with --no-generate, which writes no text")
    if prompts_file is not None:
        if concept is None:
            raise RequestError("--prompts-file needs to know whose prompts these are", fix="add --concept NAME")
        prompts = [*(prompts or ()), f"{concept}={prompts_file}"]
    asked = ask_profile(
        profile, data_dir=data_dir, prompts=prompts, concepts=None if concept is None else [concept],
        text_column=text_column, label_column=label_column, drop_duplicates=drop_duplicates,
    )  # fmt: skip

    from headscope.engines.engine import Engine
    from headscope.measure.outcomes.keywords import KEYWORD_COUNTING
    from headscope.measure.sampling import Sampling
    from headscope.runs.folder import RESUME, Run
    from headscope.runs.phase6 import write_ablation
    from headscope.settings import Keeping, Writing
    from headscope.study import Study
    from headscope.verbs.ablate import ablate
    from headscope.verbs.ablation_file import ablation_document
    from headscope.verbs.run_folder import begin_run, write_results

    one_of("resume", resume, RESUME)
    edits = ask_edits(edit)
    one_of("value bias", value_bias, ("zero", "keep"))
    if "zero" not in edits:
        refuse_unused(context, ("value_bias",), "without --edit zero")
    one_of("keyword counting", keyword_counting, KEYWORD_COUNTING)
    Sampling(max_tokens, temperature, top_p, samples, greedy, stop_at_eos, scope, seed)
    runner_for = ask_runner(engine, address)
    loading: dict[str, Any] = {
        "device": device, "device_map": device_map, "dtype": dtype, "bos": bos, "unchecked": unchecked,
        "tokenizer": tokenizer, "trust_remote_code": trust_remote_code, "memory_budget": memory_budget,
    }  # fmt: skip
    loaded = ask_model(model, **loading)
    request: dict[str, Any] = {
        "heads": str(loaded.head_set(heads)),
        "concept": concept,
        "edits": list(edits),
        "value_bias": value_bias,
        "scope": scope,
        "generate": not no_generate,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "samples": samples,
        "greedy": greedy,
        "stop_at_eos": stop_at_eos,
        "sentiment": sentiment,
        "keyword_counting": keyword_counting,
        "stop_tokens": stop_token or [],
        "chat_template": ask_template(chat_template, chat_template_name),
    }
    study = Study(
        loaded, asked, concepts=concept, chat_template=request["chat_template"], seed=seed, batch_tokens=batch_tokens
    )
    if dry_run:
        from headscope.verbs.forecast import forecast_ablation

        text_tokens = 0 if no_generate else max_tokens * samples
        forecast = forecast_ablation(study, loaded.head_set(heads), edits=edits, text_tokens=text_tokens)
        print_forecast(forecast, json=json)
        return
    writing = Writing(
        max_tokens, temperature, top_p, samples, greedy, scope, stop_at_eos, stop_token or (), sentiment,
        keyword_counting,
    )  # fmt: skip

    def work() -> Run:
        folder = begin_run("ablate", study, request, Keeping(out, resume, **provenance(context)))
        with folder, console.progress(quiet or json) as progress:
            causal = study.run_by(Engine(folder.shards, runner_for(loaded, loading)), progress)
            result = ablate(
                causal, request["heads"],
                edits=edits, value_bias=value_bias, writing=None if no_generate else writing,
            )  # fmt: skip
            write_results(folder, {"ablate": result})
        return folder

    run = results.served(work)
    effects = run.table("effects")
    if output is not None:
        manifest = run.manifest
        tables = {"effects": effects, "texts": run.table("texts")}
        record: Any = manifest.record["ablate"]
        versions, seed_used = manifest.versions, manifest.request.seed
        write_ablation(output, ablation_document(manifest.model, tables, record, seed=seed_used, versions=versions))
    if json:
        console.print_json(results.facts(run) | {"effects": console.records(effects), "output": output and str(output)})
        return
    results.print_warnings(run)
    if not quiet:
        results.print_rows("Does the model show the concept?", run.table("assay"), results.ASSAY)
        own = effects[~effects["outcome"].str.contains(":")]
        results.print_rows(f"Without {request['heads']}", own, results.EFFECTS)
    console.say(f"run: {run.path}")
    if output is not None:
        console.say(f"ablation: {output}")
