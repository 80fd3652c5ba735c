"""``headscope profiles check``: is my data fit, with this model?"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Annotated

import typer

from headscope.cli import console
from headscope.cli.commands import command
from headscope.cli.job import load, reading_of
from headscope.errors import one_of
from headscope.settings import Loading, Option, StudySettings
from headscope.settings.command_line import Columns, Json
from headscope.settings.groups import ASKED


@dataclass(frozen=True, kw_only=True)
class _Fitted(Columns, Json):
    profile: Annotated[
        str,
        Option("A bundled profile, a profile folder, or one file of prompts.", "", is_name=True, is_argument=True),
    ]
    model: Annotated[
        str,
        Option(
            "'demo', a checkpoint folder, a GGUF file, or a hub model's name.", ASKED, "--model -m", is_name=True
        ),
    ]  # fmt: skip


_SHOWN = {"light": "light", "name": "check", "concept": "of", "says": "what was found", "fix": "what to do"}
_STYLES = {"red": "bold red", "yellow": "yellow", "green": "green"}


@command(
    "profile model concept text_column label_column drop_duplicates chat_template seed batch_tokens memory_budget "
    "device device_map dtype bos unchecked tokenizer trust_remote_code json"
)
def check(fitted: _Fitted, settings: StudySettings, loading: Loading) -> None:
    """Is my data fit? What would weaken a result of this profile with this model, each with a light and what to do.

    Green: nothing here weakens a result. Yellow: something does. Red: no result can be had as it is; exit code 1.

    [bold]Examples[/bold]

    headscope profiles check baseline --model demo

    headscope profiles check ./joy --model gpt2 --json
    """
    from headscope.profiles.loading import load_profile

    profile = load_profile(fitted.profile, reading=reading_of(fitted))
    for concept in settings.concepts or ():
        one_of("concept", concept, tuple(profile.concepts))

    from headscope.study import Study
    from headscope.verbs.fitness import LIGHTS, fitness

    model = load(fitted.model, loading)
    with console.progress(fitted.json) as progress:
        rows = fitness(Study(model, profile, **vars(replace(settings, progress=progress))))
    counts = Counter(row.light for row in rows)
    lights = {light: counts[light] for light in LIGHTS}
    if fitted.json:
        console.print_json(
            {"profile": profile.name, "model": model.name, "lights": lights, "rows": [asdict(row) for row in rows]}
        )
    else:
        console.print_table("", [asdict(row) for row in rows], _SHOWN, styles=_STYLES)
        console.say(f"{profile.name} with {model.name}: " + ", ".join(f"{n} {light}" for light, n in lights.items()))
    if lights["red"]:
        raise typer.Exit(1)
