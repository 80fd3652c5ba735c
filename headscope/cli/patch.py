"""``headscope patch``: what do heads bring, and what do they take?"""

from __future__ import annotations

from typing import Any

import typer

from headscope.cli import console, options, results
from headscope.cli.asking import (
    TEXT_OPTIONS,
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

_DIRECTIONS = {"both": ("sufficiency", "necessity"), "sufficiency": ("sufficiency",), "necessity": ("necessity",)}


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
    heads: options.PatchedSpec = "*",
    each: options.Each = False,
    direction: options.Direction = "both",
    what: options.What = "z",
    source: options.Source = "partner",
    target: options.Target = "from_span",
    alpha: options.Alpha = 1.0,
    alignment: options.Alignment = "end",
    n_random: options.RandomSets = 100,
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
    sentiment: options.Sentiment = "vader",
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
    top_n: options.TopN = 10,
    out: options.Out = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """What heads bring to neutral text, and what they take from a concept's: one prompt's output, put into another.

    [bold]Examples[/bold]

    headscope patch --model demo --concept gratitude --out runs/patch

    headscope patch --model gpt2 --heads "1:10,3:2" --concept gratitude --direction sufficiency
    """
    check_outputs(out)
    asked = ask_profile(
        profile, data_dir=data_dir, prompts=prompts, concepts=concept,
        text_column=text_column, label_column=label_column, drop_duplicates=drop_duplicates,
    )  # fmt: skip
    one_of("direction", direction, tuple(_DIRECTIONS))
    alone = each or heads.strip() == "*"
    refuse_unused_sampling(context, greedy=greedy)
    if no_generate:
        refuse_unused(context, TEXT_OPTIONS, "with --no-generate, which writes no text")
    if alone:
        refuse_unused(context, ("n_random", *TEXT_OPTIONS), "where each head is patched alone, only for a set of heads")

    from headscope.engines.engine import Engine
    from headscope.measure.alignment import STUDY_NAMES, Recipe
    from headscope.measure.sampling import Sampling
    from headscope.runs.folder import RESUME, Run
    from headscope.settings import Keeping, Writing
    from headscope.study import Study
    from headscope.verbs.patch import PatchRequest, patch
    from headscope.verbs.patch_pairs import ALIGNMENTS
    from headscope.verbs.run_folder import begin_run, write_results

    one_of("alignment", alignment, ALIGNMENTS)
    one_of("resume", resume, RESUME)
    Sampling(max_tokens, temperature, top_p, samples, greedy, seed=seed)
    recipe = Recipe(STUDY_NAMES.get(what, what), target, alpha)
    if recipe.what != "z":
        refuse_unused(context, TEXT_OPTIONS, f'where "{recipe.what}" is patched, which is in fixed text only')
    runner_for = ask_runner(engine, address)
    loading: dict[str, Any] = {
        "device": device, "device_map": device_map, "dtype": dtype, "bos": bos, "unchecked": unchecked,
        "tokenizer": tokenizer, "trust_remote_code": trust_remote_code, "memory_budget": memory_budget,
    }  # fmt: skip
    loaded = ask_model(model, **loading)
    request: dict[str, Any] = {
        "concepts": [name for name in asked.concepts if concept is None or name in concept],
        "heads": str(loaded.head_set(heads)),
        "each": alone,
        "directions": list(_DIRECTIONS[direction]),
        "what": recipe.what,
        "source": source,
        "target": target,
        "alpha": alpha,
        "alignment": alignment,
        "n_random": n_random,
        "generate": not no_generate and not alone,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "samples": samples,
        "greedy": greedy,
        "sentiment": sentiment,
        "stop_tokens": stop_token or [],
        "chat_template": ask_template(chat_template, chat_template_name),
    }
    study = Study(
        loaded, asked, concepts=concept, chat_template=request["chat_template"], seed=seed, batch_tokens=batch_tokens
    )
    patching_of = PatchRequest(request["directions"], alone, recipe.what, source, target, alpha, alignment, n_random)
    if dry_run:
        from headscope.verbs.forecast_patch import forecast_patch

        text_tokens = 0 if no_generate else max_tokens * samples
        forecast = forecast_patch(study, loaded.head_set(heads), patching_of, text_tokens=text_tokens)
        print_forecast(forecast, json=json)
        return
    writing = Writing(
        max_tokens, temperature, top_p, samples, greedy, stop_tokens=stop_token or (), sentiment=sentiment
    )

    def work() -> Run:
        folder = begin_run("patch", study, request, Keeping(out, resume, **provenance(context)))
        with folder, console.progress(quiet or json) as progress:
            causal = study.run_by(Engine(folder.shards, runner_for(loaded, loading)), progress)
            result = patch(causal, request["heads"], patching_of, writing=writing if request["generate"] else None)
            write_results(folder, {"patch": result})
        return folder

    run = results.served(work)
    patching = run.table("patching")
    if json:
        console.print_json(results.facts(run) | {"patching": console.records(patching)})
        return
    results.print_warnings(run)
    if not quiet:
        results.print_rows("Does the model show the concept?", run.table("assay"), results.ASSAY)
        results.print_rows("Patch − control patch", results.top_patches(patching, top_n), results.PATCHING)
        if "texts" in run.tables:
            from headscope.stats.patching import written_patches

            results.print_rows("What is written", written_patches(patching), results.WRITTEN_PATCHED)
        if "dissociation" in run.tables:
            results.print_rows("Own heads against other concepts'", run.table("dissociation"), results.DISSOCIATION)
    console.say(f"run: {run.path}")
