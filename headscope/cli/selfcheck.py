"""``headscope selfcheck``: does this installation find what is known to be there?"""

from __future__ import annotations

import typer

from headscope.cli import console
from headscope.cli.commands import command
from headscope.settings.command_line import Printed

COLUMNS = {
    "world": "world",
    "heads": "heads",
    "part": "part",
    "concept": "concept",
    "planted": "planted",
    "found": "found",
    "planted_nats": "planted (nats)",
    "found_nats": "found (nats)",
    "planted_attends": "attends",
    "found_attends": "found to attend",
    "agrees": "agrees",
}


@command("json quiet")
def selfcheck(printed: Printed) -> None:
    """Measure models that were set by hand, and say whether their known heads were found.

    Nothing is downloaded. The exit code is 1 where anything planted was not found.

    [bold]Examples[/bold]

    headscope selfcheck

    headscope selfcheck --json
    """
    from headscope.worlds.catalog import worlds
    from headscope.worlds.checking import check_worlds

    with console.progress(printed.quiet or printed.json) as progress:
        found = check_worlds(progress=progress)
    wrong = int((~found["agrees"].astype(bool)).sum())
    rows = console.records(found)
    if printed.json:
        questions = {world.name: world.question for world in worlds()}
        console.print_json({"agrees": wrong == 0, "n_wrong": wrong, "worlds": questions, "findings": rows})
    else:
        if not printed.quiet:
            console.print_table("What was planted and what was found", rows, COLUMNS)
        console.say(
            f"selfcheck passed: {len(rows)} of {len(rows)} findings agree with what was planted"
            if wrong == 0
            else f"selfcheck FAILED: {wrong} of {len(rows)} findings do not agree with what was planted"
        )
    if wrong:
        raise typer.Exit(1)
