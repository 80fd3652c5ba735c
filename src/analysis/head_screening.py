"""Phase 6 head screening: Δattention of every head, each emotion against neutral, as the study measured it.

    python -m src.analysis.head_screening --model gpt2 --profile baseline --output head_scores_gpt2.json

The study's protocol is the default here; ``--protocol matched`` compares equal positions instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from headscope.cli import console
from headscope.cli.commands import command
from headscope.cli.exits import run_and_exit
from headscope.cli.inputs import check_outputs, read_profile
from headscope.cli.job import load, reading_of
from headscope.settings import Loading, Option, Screening, StudySettings
from headscope.settings.command_line import Asked
from src.prompt_files import PromptFiles

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Where the study's file goes."""

    output: Annotated[Path | None, Option("Default: results/<profile>/alignment/head_scores_<model>.json.", "")] = None


@app.command()
@command(
    "model profile output data_dir text_column label_column drop_duplicates gratitude_prompts anger_prompts "
    "apology_prompts neutral_prompts protocol query seed batch_tokens device",
    model="gpt2",
    protocol="phase6",
)
def head_screening(
    asked: Asked, scores: Scores, files: PromptFiles, screening: Screening, settings: StudySettings, loading: Loading
) -> None:
    """Screen every head of a model against the profile's emotions; write the study's head_scores JSON."""
    from headscope.runs.phase6 import head_scores_path, write_head_scores

    path = scores.output or head_scores_path(asked.profile, asked.model)
    check_outputs(None, path, ".json")
    profile = read_profile(asked.profile, asked.data_dir, files.given(), reading_of(asked))

    from headscope.api import screen
    from headscope.runs.provenance import package_versions
    from headscope.verbs.run_folder import head_scores
    from headscope.verbs.screen import check_protocol

    check_protocol(**vars(screening), bos="auto", chat_template=False)
    model = load(asked.model, loading)
    with console.progress() as progress:
        result = screen(
            model, profile, protocol=screening.protocol, query=screening.query,
            seed=settings.seed, batch_tokens=settings.batch_tokens, progress=progress,
        )  # fmt: skip
    fingerprints = {"model": model.fingerprint, "profile": profile.fingerprint}
    document = head_scores(model.describe(), result, versions=package_versions(), fingerprints=fingerprints)
    for warning in (*profile.warnings, *result.warnings):
        console.warn(warning)
    console.say(f"head scores: {write_head_scores(path, document)}")


if __name__ == "__main__":
    run_and_exit(app, "head_screening")
