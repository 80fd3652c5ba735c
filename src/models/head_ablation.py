"""Phase 6 head ablation: text written with and without heads, and the study's counts of both.

    python -m src.models.head_ablation --model gpt2 --profile baseline --head-spec "1:10" --emotion gratitude \
        --max-tokens 15

Defaults are the study's: the head's value vectors are zeroed (its output becomes its value bias), keywords are counted
as substrings of prompt and continuation, and end-of-text does not end a text. Counts of the continuation alone, tests
and intervals stand in added keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from headscope.cli import console
from headscope.cli.commands import Called, command, one_of
from headscope.cli.exits import run_and_exit
from headscope.cli.inputs import check_outputs, read_profile
from headscope.cli.job import load, reading_of, refuse_unused, refuse_unused_sampling
from headscope.settings import Ablating, Loading, Option, StudySettings, Writing
from headscope.settings.command_line import Asked

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What the study's command asks otherwise than ``headscope ablate``."""

    emotion: Annotated[str, Option("Whose prompts are continued.", "", "--emotion --concept")] = "gratitude"
    edit: Annotated[str, Option("What takes the place of the heads' output.", "")] = "zero"
    output: Annotated[
        Path | None,
        Option(
            "Default: results/<profile>/patching/head_ablation/<model>_<emotion>_<heads>.pkl; .json also works.", ""
        ),
    ] = None


@app.command()
@command(
    "heads model profile emotion prompts_file data_dir text_column label_column drop_duplicates max_tokens temperature "
    "top_p samples greedy stop_at_eos seed edit value_bias scope sentiment keyword_counting batch_tokens device output",
    model="gpt2",
    stop_at_eos=False,
    value_bias="keep",
    keyword_counting="phase6",
)
def head_ablation(
    called: Called, asked: Asked, ablating: Ablating, ablation: Ablation, writing: Writing, settings: StudySettings,
    loading: Loading,
) -> None:  # fmt: skip
    """Write text with and without heads; write the study's ablation file."""
    emotion, edit = ablation.emotion, ablation.edit
    check_outputs(None, ablation.output, ".pkl", ".json")
    refuse_unused_sampling(called.context, greedy=writing.greedy)
    if edit != "zero":
        refuse_unused(called.context, ("value_bias",), "without --edit zero")
    files = {} if asked.prompts_file is None else {emotion: asked.prompts_file}
    profile = read_profile(asked.profile, asked.data_dir, files, reading_of(asked))
    one_of("emotion", emotion, tuple(profile.concepts))

    from headscope.api import ablate
    from headscope.measure.edit_kinds import EDIT_KINDS
    from headscope.runs.phase6 import ablation_path, write_ablation
    from headscope.runs.provenance import package_versions
    from headscope.verbs.ablation_file import ablation_document

    one_of("edit", edit, EDIT_KINDS)
    model = load(asked.model, loading)
    chosen = model.head_set(ablating.heads)
    path = ablation.output or ablation_path(asked.profile, asked.model, emotion, chosen)
    check_outputs(None, path, ".pkl", ".json")
    with console.progress() as progress:
        result = ablate(
            model, profile, chosen, concept=emotion, edits=[edit], value_bias=ablating.value_bias, **vars(writing),
            seed=settings.seed, batch_tokens=settings.batch_tokens, progress=progress,
        )  # fmt: skip
    document = ablation_document(
        model.describe(), result.tables, result.record, seed=settings.seed, versions=package_versions()
    )
    for warning in (*profile.warnings, *result.warnings):
        console.warn(warning)
    for arm in ("baseline", "ablation"):
        metrics = document[f"{arm}_metrics"]
        counts = ", ".join(f"{name} {c['mean']:.4f} ({c['total']})" for name, c in metrics["keyword_counts"].items())
        console.say(f"{arm}: keywords {counts}; sentiment {metrics['sentiment']['mean']:.4f}")
    console.say(f"ablation: {write_ablation(path, document)}")


if __name__ == "__main__":
    run_and_exit(app, "head_ablation")
