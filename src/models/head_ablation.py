"""Phase 6 head ablation: text written with and without heads, and the study's counts of both.

    python -m src.models.head_ablation --model gpt2 --profile baseline --head-spec "1:10" --emotion gratitude \
        --max-tokens 15

Defaults are the study's: the head's value vectors are zeroed (its output becomes its value bias), keywords are counted
as substrings of prompt and continuation, and end-of-text does not end a text. Counts of the continuation alone, tests
and intervals stand in added keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headscope.cli import console, options
from headscope.cli.asking import ask_model, one_of, refuse_unused, refuse_unused_sampling
from headscope.cli.exits import run_and_exit
from headscope.cli.inputs import check_outputs, read_profile
from headscope.heads import HeadSet
from src.prompt_files import given_files

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def head_ablation(
    context: typer.Context,
    heads: options.Heads,
    model: options.Model = "gpt2",
    profile: options.Profile = "baseline",
    emotion: Annotated[str, typer.Option("--emotion", "--concept", help="Whose prompts are continued.")] = "gratitude",
    prompts_file: options.PromptsFile = None,
    data_dir: options.DataDir = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    drop_duplicates: options.DropDuplicates = False,
    max_tokens: options.MaxTokens = 30,
    temperature: options.Temperature = 1.0,
    top_p: options.TopP = 0.9,
    samples: options.Samples = 1,
    greedy: options.Greedy = False,
    stop_at_eos: options.StopAtEos = False,
    seed: options.Seed = 0,
    edit: Annotated[str, typer.Option("--edit", help="What takes the place of the heads' output.")] = "zero",
    value_bias: options.ValueBias = "keep",
    scope: options.Scope = "all",
    sentiment: options.Sentiment = "vader",
    keyword_counting: options.KeywordCounting = "phase6",
    batch_tokens: options.BatchTokens = None,
    device: options.Device = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Default: results/<profile>/patching/head_ablation/<model>_<emotion>_<heads>.pkl; .json also works.",
            callback=options.expanded,
        ),
    ] = None,
) -> None:
    """Write text with and without heads; write the study's ablation file."""
    check_outputs(None, output, ".pkl", ".json")
    refuse_unused_sampling(context, greedy=greedy)
    if edit != "zero":
        refuse_unused(context, ("value_bias",), "without --edit zero")
    from headscope.profiles.columns import Reading

    asked = read_profile(
        profile, data_dir, given_files(**{emotion: prompts_file}), Reading(text_column, label_column, drop_duplicates)
    )
    one_of("emotion", emotion, tuple(asked.concepts))

    from headscope.api import ablate
    from headscope.measure.edits import EDIT_KINDS
    from headscope.measure.outcomes.keywords import KEYWORD_COUNTING
    from headscope.runs.phase6 import ablation_path, write_ablation
    from headscope.runs.provenance import package_versions
    from headscope.verbs.ablation_file import ablation_document

    one_of("edit", edit, EDIT_KINDS)
    one_of("value bias", value_bias, ("zero", "keep"))
    one_of("keyword counting", keyword_counting, KEYWORD_COUNTING)
    loaded = ask_model(model, device=device, dtype="auto", unchecked=False)
    chosen = HeadSet.parse(heads, loaded.heads_per_layer)
    path = output or ablation_path(profile, model, emotion, chosen)
    check_outputs(None, path, ".pkl", ".json")
    with console.progress() as progress:
        result = ablate(
            loaded,
            asked,
            chosen,
            concept=emotion,
            edits=[edit],
            value_bias=value_bias,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            samples=samples,
            greedy=greedy,
            scope=scope,
            stop_at_eos=stop_at_eos,
            sentiment=sentiment,
            keyword_counting=keyword_counting,
            seed=seed,
            batch_tokens=batch_tokens,
            progress=progress,
        )
    document = ablation_document(
        loaded.describe(), result.tables, result.record, seed=seed, versions=package_versions()
    )
    for warning in (*asked.warnings, *result.warnings):
        console.warn(warning)
    for arm in ("baseline", "ablation"):
        metrics = document[f"{arm}_metrics"]
        counts = ", ".join(f"{name} {c['mean']:.4f} ({c['total']})" for name, c in metrics["keyword_counts"].items())
        console.say(f"{arm}: keywords {counts}; sentiment {metrics['sentiment']['mean']:.4f}")
    console.say(f"ablation: {write_ablation(path, document)}")


if __name__ == "__main__":
    run_and_exit(app, "head_ablation")
