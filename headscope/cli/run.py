"""``headscope run``: the whole line, from prompts to a report."""

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
    refuse_unused_sampling,
)
from headscope.cli.forecasting import print_run_forecast
from headscope.cli.inputs import check_outputs

_SHOWN = 3  # heads of each concept; the report has them all


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
    query: options.RunQuery = None,
    budget: options.Budget = "auto",
    edit: options.Edits = None,
    top_k: options.TopK = 4,
    n_random: options.RandomSets = 100,
    sets: options.Sets = True,
    share: options.Share = 0.5,
    patching: options.Patching = True,
    allow_low_coverage: options.AllowLowCoverage = False,
    negative_control: options.NegativeControl = False,
    minimum_effect: options.MinimumEffect = None,
    minimum_attention: options.MinimumAttention = None,
    require_verdicts: options.RequireVerdicts = False,
    chat_template: options.ChatTemplate = False,
    chat_template_name: options.ChatTemplateName = None,
    seed: options.Seed = 0,
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
    shard: options.Shard = None,
    top_n: options.TopN = 10,
    out: options.Out = None,
    dry_run: options.DryRun = False,
    language: options.Languages = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Screen every head, switch each one off, judge them, let the model speak without them, and report.

    [bold]Examples[/bold]

    headscope run --model demo --profile baseline --out runs/demo

    headscope run --model gpt2 --profile ./joy --concept joy --seed 1
    """
    out, part = ask_part(shard, out)
    check_outputs(out)
    refuse_unused_sampling(context, greedy=greedy)
    if budget == "fast":
        refuse_unused(context, ("sets", "share"), "with --budget fast, which measures no growing sets")
    if not sets:
        refuse_unused(context, ("share",), "with --no-sets")
    template = ask_template(chat_template, chat_template_name)
    asked = ask_profile(
        profile, data_dir=data_dir, prompts=prompts, concepts=concept,
        text_column=text_column, label_column=label_column, drop_duplicates=drop_duplicates,
    )  # fmt: skip

    from headscope.api import Study
    from headscope.pipeline import run
    from headscope.report.words import check_language
    from headscope.runs.folder import RESUME
    from headscope.settings import Keeping, Writing
    from headscope.verbs.budget import BUDGETS
    from headscope.verbs.enough_templates import require_verdicts as refuse_too_few
    from headscope.verbs.run_request import RunRequest
    from headscope.verbs.screen import QUERIES

    criteria = ask_criteria(minimum_effect, minimum_attention)
    if query is not None:
        one_of("query", query, QUERIES)
    one_of("resume", resume, RESUME)
    one_of("budget", budget, BUDGETS)
    languages = tuple(language or ("en", "ja"))
    check_language(*languages)
    if require_verdicts:
        refuse_too_few(asked, concept)
    edits = ask_edits(edit)
    runner_for = ask_runner(engine, address)
    loading: dict[str, Any] = {
        "device": device, "device_map": device_map, "dtype": dtype, "bos": bos, "unchecked": unchecked,
        "tokenizer": tokenizer, "trust_remote_code": trust_remote_code, "memory_budget": memory_budget,
    }  # fmt: skip
    loaded = ask_model(model, **loading)
    study = Study(loaded, asked, concepts=concept, chat_template=template, seed=seed, batch_tokens=batch_tokens)
    writing = Writing(
        max_tokens, temperature, top_p, samples, greedy, stop_tokens=stop_token or (), sentiment=sentiment
    )
    request = RunRequest(
        query, budget, edits, top_k, top_n, n_random, sets, patching, negative_control, criteria, share,
        allow_low_coverage, languages, writing,
    )  # fmt: skip
    if dry_run:
        from headscope.verbs.budget import forecast_run

        print_run_forecast(forecast_run(study, request), json=json)
        return
    with console.progress(quiet or json) as progress:
        keeping = Keeping(out, resume, force, **provenance(context))
        done = results.served(
            lambda: run(
                study.run_by(study.engine, progress), request, keeping, runner=runner_for(loaded, loading), part=part
            )
        )
    page = done.path / "report.html"
    report = page if page.is_file() else done.path / "report.md"  # a run of before there were pages
    if json:
        console.print_json(results.facts(done) | {"report": str(report)})
        return
    results.print_warnings(done)
    if not quiet:
        results.print_rows("Does the model show the concept?", done.table("assay"), results.ASSAY)
        ranking = done.table("ranking")
        best = ranking[(ranking["by"] == "effect") & (ranking["rank"] <= _SHOWN)]
        results.print_rows("The heads whose removal changes it most", best, results.RANKING)
    console.say(f"report: {report}")
