"""Writes docs/reference_cli.md from the command line itself; a test holds the two together.

python docs/reference_cli.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from headscope.cli.app import app

PAGE = Path(__file__).with_name("reference_cli.md")
_HEAD = """# The command line

`headscope VERB --help` says the same. Exit codes: 0 done, 1 the work failed, 2 the request was wrong, 70 a fault of
headscope (the message names a file with its stack trace), 130 and 143 stopped by Ctrl-C or SIGTERM. Results go to
standard output; warnings, errors and progress to standard error; signs that the console lacks are spelled in ASCII.
Progress is a bar for each stage on a terminal. Elsewhere, in a log file, it is a line as a stage begins and as it ends,
and one a minute between: `sweep: 62 of 144, 3 min left`. `--quiet` and `--json` leave it out.
A leading `~` of a path is the home folder, also in `--out=~/runs/mine`.
`headscope --debug VERB ...` (or `HEADSCOPE_DEBUG=1`) shows the stack trace of an error.

This page is written by `docs/reference_cli.py`.
"""


def page() -> str:
    """The whole page."""
    root: Any = typer.main.get_command(app)
    return "\n".join([_HEAD, *(_verb(name, command) for name, command in _commands("", root))])


def _commands(prefix: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(f"{name} ", command)
        else:
            yield prefix + name, command


def _verb(name: str, command: Any) -> str:
    told, _, examples = (command.help or "").partition("[bold]Examples[/bold]")
    lines = [f"## `headscope {name}`\n", told.strip(), ""]
    lines += [f"- `{example.strip()}`" for example in examples.strip().splitlines() if example.strip()]
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    return "\n".join([*lines, "\n| option | default | what it does |\n|---|---|---|", *rows, ""])


def _row(parameter: Any) -> str:
    is_option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts] if is_option else [parameter.name.upper()]
    default = parameter.default
    shown = "" if default in (None, False, "") else f"`{default}`"
    text = re.sub(r"\s+", " ", parameter.help or "").replace("|", "\\|").replace("<", "&lt;")
    return f"| {', '.join(f'`{name}`' for name in names)} | {'required' if parameter.required else shown} | {text} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
