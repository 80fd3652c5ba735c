"""Phase 6 head screening: Δattention of every head, each emotion against neutral, as the study measured it.

    python -m src.analysis.head_screening --model gpt2 --profile baseline --output head_scores_gpt2.json

The study's protocol is the default here; ``--protocol matched`` compares equal positions instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headscope.cli import console, options
from headscope.cli.asking import ask_model
from headscope.cli.exits import run_and_exit
from headscope.cli.inputs import check_outputs, read_profile
from src.prompt_files import AngerPrompts, ApologyPrompts, GratitudePrompts, NeutralPrompts, given_files

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def head_screening(
    model: options.Model = "gpt2",
    profile: options.Profile = "baseline",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Default: results/<profile>/alignment/head_scores_<model>.json.",
            callback=options.expanded,
        ),
    ] = None,
    data_dir: options.DataDir = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    drop_duplicates: options.DropDuplicates = False,
    gratitude_prompts: GratitudePrompts = None,
    anger_prompts: AngerPrompts = None,
    apology_prompts: ApologyPrompts = None,
    neutral_prompts: NeutralPrompts = None,
    protocol: options.Protocol = "phase6",
    query: options.Query = "last",
    seed: options.Seed = 0,
    batch_tokens: options.BatchTokens = None,
    device: options.Device = "auto",
) -> None:
    """Screen every head of a model against the profile's emotions; write the study's head_scores JSON."""
    from headscope.runs.phase6 import head_scores_path, write_head_scores

    path = output or head_scores_path(profile, model)
    check_outputs(None, path, ".json")
    files = given_files(
        gratitude=gratitude_prompts, anger=anger_prompts, apology=apology_prompts, neutral=neutral_prompts
    )
    from headscope.profiles.columns import Reading

    asked = read_profile(profile, data_dir, files, Reading(text_column, label_column, drop_duplicates))

    from headscope.api import screen
    from headscope.runs.provenance import package_versions
    from headscope.verbs.run_folder import head_scores
    from headscope.verbs.screen import check_protocol

    check_protocol(protocol, query, bos="auto", allow_low_coverage=False, chat_template=False)
    loaded = ask_model(model, device=device, dtype="auto", unchecked=False)
    with console.progress() as progress:
        result = screen(
            loaded, asked, protocol=protocol, query=query, seed=seed, batch_tokens=batch_tokens, progress=progress
        )
    fingerprints = {"model": loaded.fingerprint, "profile": asked.fingerprint}
    document = head_scores(loaded.describe(), result, versions=package_versions(), fingerprints=fingerprints)
    for warning in (*asked.warnings, *result.warnings):
        console.warn(warning)
    console.say(f"head scores: {write_head_scores(path, document)}")


if __name__ == "__main__":
    run_and_exit(app, "head_screening")
