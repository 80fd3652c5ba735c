"""The study's options for prompt files: one for each of its four classes, before --data-dir, before --profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headscope.cli import options

GratitudePrompts = Annotated[
    Path | None, typer.Option("--gratitude-prompts", help="File of gratitude prompts.", callback=options.expanded)
]
AngerPrompts = Annotated[
    Path | None, typer.Option("--anger-prompts", help="File of anger prompts.", callback=options.expanded)
]
ApologyPrompts = Annotated[
    Path | None, typer.Option("--apology-prompts", help="File of apology prompts.", callback=options.expanded)
]
NeutralPrompts = Annotated[
    Path | None, typer.Option("--neutral-prompts", help="File of neutral prompts.", callback=options.expanded)
]


def given_files(**files: Path | None) -> dict[str, Path]:
    """The files that were named, by class."""
    return {name: path for name, path in files.items() if path is not None}
