"""``headscope gather RUN``: put the parts of a sweep together. Reads and writes folders only."""

from __future__ import annotations

import shlex

from headscope.cli import console
from headscope.cli.commands import command
from headscope.settings.command_line import Json, OneRun


@command("run json")
def gather(one: OneRun, printed: Json) -> None:
    """Put the parts that --shard made (RUN.part-1-of-16, ...) together in the folder RUN, and say how to finish it.

    [bold]Examples[/bold]

    headscope gather runs/sweep

    headscope gather runs/sweep --json
    """
    from headscope.runs.gathering import gather

    count, folder = gather(one.run), str(one.run)
    if printed.json:
        console.print_json({"run": folder, "shards_count": count})
        return
    console.say(f"{count} finished pieces are in {folder}")
    console.say(f"to finish: the command of the parts without --shard, with --out {shlex.quote(folder)}")
