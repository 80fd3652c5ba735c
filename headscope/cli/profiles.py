"""``headscope profiles``: list, show, new, validate, check, import."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from headscope.cli import console, profiles_import
from headscope.cli.commands import command
from headscope.cli.job import reading_of
from headscope.cli.profiles_check import check
from headscope.settings import Option
from headscope.settings.command_line import Columns, Json
from headscope.settings.groups import CONCEPT

app = typer.Typer(no_args_is_help=True, help="List, show, make and check profiles: what a model is asked.")


@dataclass(frozen=True, kw_only=True)
class _Which(Columns, Json):
    profile: Annotated[
        str,
        Option("A bundled profile, a profile folder, or one file of prompts.", "", is_name=True, is_argument=True),
    ]


@dataclass(frozen=True, kw_only=True)
class _New(Json):
    folder: Annotated[Path, Option("Folder to make.", "", is_argument=True)]
    concept: Annotated[str | None, Option("The concept's name; left out: the folder's.", "", CONCEPT)] = None
    words: Annotated[str, Option("The concept's words, joined by commas; the first stand in the prompts.", "")] = ""


_COLUMNS = "profile text_column label_column drop_duplicates json"
_CLASS_COLUMNS = {
    "name": "class",
    "n_prompts": "prompts",
    "n_spans": "with span",
    "n_implicit": "implicit",
    "n_pairs": "with partner",
    "n_templates": "templates",
    "n_words": "words",
}
_TASK_COLUMNS = {
    "name": "class",
    "n_prompts": "prompts",
    "n_spans": "with places",
    "n_pairs": "with partner",
    "n_templates": "templates",
    "n_answers": "answers",
    "n_foils": "foils",
}


@app.command("list")
@command("json")
def list_profiles(printed: Json) -> None:
    """The bundled profiles: what each asks, with an example.

    [bold]Examples[/bold]

    headscope profiles list

    headscope profiles list --json
    """
    from headscope.profiles.catalog import example
    from headscope.profiles.loading import bundled_names, load_profile

    rows = [
        {
            "name": profile.name,
            "concepts": list(profile.concepts),
            "has_tasks": profile.has_tasks,
            "n_prompts": len(profile.prompts),
            "description": profile.description,
            "example": example(profile, next(iter(profile.concepts))),
        }
        for profile in map(load_profile, bundled_names())
    ]
    if printed.json:
        console.print_json({"profiles": rows})
        return
    for row in rows:
        console.say(f"{row['name']}: {row['description']} ({row['n_prompts']} prompts)")
        console.say(f"  {row['example']}")


@app.command("show")
@command(_COLUMNS)
def show(which: _Which) -> None:
    """What is in a profile: its classes, words or answers, and readouts, and what to know about it.

    [bold]Examples[/bold]

    headscope profiles show baseline

    headscope profiles show ioi

    headscope profiles show ./joy --json
    """
    from headscope.profiles.catalog import summarize, summarize_tasks
    from headscope.profiles.loading import load_profile

    loaded = load_profile(which.profile, reading=reading_of(which))
    classes = [asdict(summary) for summary in summarize(loaded)]
    concepts = {name: concept for name, concept in loaded.concepts.items() if not concept.is_task}
    tasks = summarize_tasks(loaded)
    if which.json:
        console.print_json(
            {
                "name": loaded.name,
                "description": loaded.description,
                "source": loaded.source,
                "fingerprint": loaded.fingerprint,
                "classes": classes,
                "lexicons": {name: list(concept.lexicon.words) for name, concept in concepts.items()},
                "control_lexicons": {name: list(concept.control_lexicon.words) for name, concept in concepts.items()},
                "tasks": [asdict(task) for task in tasks],
                "readouts": list(loaded.readouts),
                "warnings": list(loaded.warnings),
            }
        )
        return
    console.say(f"{loaded.name}: {loaded.description}".rstrip(": "))
    console.print_table("", classes, _TASK_COLUMNS if tasks else _CLASS_COLUMNS)
    for name, concept in concepts.items():
        console.say(f"{name}: {', '.join(concept.lexicon.words)}")
    for task in tasks:
        console.say(f"{task.name}: {task.description}".rstrip(": "))
        console.say(f"example: {task.example}")
        places = ", ".join(f"{place} ({count})" for place, count in task.places.items())
        console.say(f"places: {places or 'none'}")
    for readout in loaded.readouts:
        console.say(f'readout: "{readout} ..."')
    for warning in loaded.warnings:
        console.warn(warning)


@app.command("new")
@command("folder concept words json")
def new(asked: _New) -> None:
    """Make a profile folder to fill in. It runs as it is: five prompts and a lexicon are enough.

    [bold]Examples[/bold]

    headscope profiles new joy

    headscope profiles new ./awe --words awe,awed,amazed,wonder
    """
    from headscope.profiles.scaffold import new_profile

    words = tuple(filter(None, (word.strip() for word in asked.words.split(","))))
    made = new_profile(asked.folder, asked.concept, words)
    files = sorted(str(path) for path in made.iterdir())
    if asked.json:
        console.print_json({"folder": str(made), "files": files})
        return
    for file in files:
        console.say(file)


@app.command("validate")
@command(_COLUMNS)
def validate(which: _Which) -> None:
    """Find every contradiction of a profile. Near-duplicate prompts are errors here. Exit code 2 where there is one.

    [bold]Examples[/bold]

    headscope profiles validate baseline

    headscope profiles validate ./joy --json
    """
    from headscope.profiles.catalog import findings

    found = findings(which.profile, reading_of(which))
    errors = [finding for finding in found if finding.is_error(strict=True)]
    if which.json:
        console.print_json({"valid": not errors, "findings": [asdict(finding) for finding in found]})
    else:
        for finding in found:
            kind = "error" if finding.is_error(strict=True) else "warning"
            facts = {
                "expected": finding.expected,
                "got": finding.got,
                "where": finding.where,
                "what to do": finding.fix,
            }
            console.say("\n  ".join([f"{kind}: {finding.problem}", *(f"{k}: {v}" for k, v in facts.items() if v)]))
        console.say(f"{which.profile}: {len(errors)} errors, {len(found) - len(errors)} warnings")
    if errors:
        raise typer.Exit(2)


app.command("import")(profiles_import.import_tasks)
app.command("check")(check)
