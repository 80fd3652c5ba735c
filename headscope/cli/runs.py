"""``headscope runs``: the runs in a folder, filtered and summed up. Reads folders only."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from headscope.cli import console, options

Root = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of run folders.", callback=options.expanded)]
_COLUMNS = {
    "run": "run",
    "verb": "verb",
    "model": "model",
    "profile": "profile",
    "status": "status",
    "created": "begun",
    "seconds": "seconds",
    "verdicts": "verdicts",
}


def command(
    folder: Root = Path("runs"),
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only runs of this model.")] = None,
    concept: Annotated[str | None, typer.Option("--concept", "--emotion", help="Only runs of this concept.")] = None,
    status: Annotated[
        str | None, typer.Option("--status", help="Only running, finished, failed, stopped or damaged ones.")
    ] = None,
    verdict: Annotated[
        str | None, typer.Option("--verdict", help="Only runs in which a head got this verdict, e.g. carrier.")
    ] = None,
    json: options.Json = False,
) -> None:
    """List the runs in a folder: what was asked of which model, how it went, and the verdicts.

    [bold]Examples[/bold]

    headscope runs

    headscope runs ./lab --concept gratitude --verdict carrier --json
    """
    from headscope.runs.listing import summarize_runs

    found = list(summarize_runs(folder, model=model, concept=concept, status=status, verdict=verdict))
    if json:
        console.print_json({"runs": [asdict(summary) for summary in found]})
        return
    rows = [
        {**asdict(each), "verdicts": ", ".join(f"{n} {name}" for name, n in each.verdicts.items())} for each in found
    ]
    console.print_table("", rows, _COLUMNS)
    counts = Counter(summary.status for summary in found)
    seconds = sum(summary.seconds or 0.0 for summary in found)
    by_status = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    console.say(f"{len(found)} runs" + (f": {by_status}; {seconds:,.0f} seconds of work" if found else ""))
    for summary in found:
        if summary.problem is not None:
            console.warn(f"{summary.run}: {summary.problem}")
