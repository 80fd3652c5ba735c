"""``headscope gather RUN``: put the parts of a sweep together. Reads and writes folders only."""

from __future__ import annotations

import shlex

from headscope.cli import console, options


def command(run: options.RunFolder, json: options.Json = False) -> None:
    """Put the parts that --shard made (RUN.part-1-of-16, ...) together in the folder RUN, and say how to finish it.

    [bold]Examples[/bold]

    headscope gather runs/sweep

    headscope gather runs/sweep --json
    """
    from headscope.runs.gathering import gather

    count = gather(run)
    if json:
        console.print_json({"run": str(run), "shards_count": count})
        return
    console.say(f"{count} finished pieces are in {run}")
    console.say(f"to finish: the command of the parts without --shard, with --out {shlex.quote(str(run))}")
