"""The command ``headscope`` and its verbs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

import headscope
from headscope.cli import (
    ablate,
    attribute,
    check,
    circuit,
    compare,
    edits,
    eval,  # noqa: A004 - the verb's name
    explore,
    export,
    gather,
    inspect,
    patch,
    plot,
    probe,
    profiles,
    query,
    rank,
    report,
    run,
    runs,
    screen,
    selfcheck,
    show,
    steer,
    sweep,
)
from headscope.cli.exits import DEBUG, run_and_exit

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _verb in (
    run, screen, ablate, sweep, patch, steer, probe, attribute, eval, inspect, explore, rank, plot, report, show,
    compare, check, runs, query, gather, circuit, export, selfcheck,
):  # fmt: skip
    _name = _verb.__name__.rpartition(".")[2]
    app.command(_name)(getattr(_verb, _name))
app.add_typer(profiles.app, name="profiles")
app.add_typer(edits.app, name="edits")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(headscope.__version__)
        raise typer.Exit


@app.callback()
def settings(
    debug: Annotated[bool, typer.Option("--debug", envvar=DEBUG, help="Show the stack trace of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Which attention heads carry a concept, and what does the model say without them?

    `headscope run --model demo --profile baseline` does the whole job on the bundled model.
    """
    if debug:
        os.environ[DEBUG] = "1"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``headscope`` with ``arguments`` (those of the process by default) and leave with its exit code."""
    run_and_exit(app, "headscope", arguments)
