"""``headscope runs``: the runs in a folder, filtered and summed up. Reads folders only."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from headscope.cli import console
from headscope.cli.commands import command
from headscope.settings import Option
from headscope.settings.command_line import Json
from headscope.settings.groups import CONCEPT

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


@dataclass(frozen=True, kw_only=True)
class _Listed(Json):
    folder: Annotated[Path, Option("A folder of run folders.", "", metavar="FOLDER", is_argument=True)] = Path("runs")
    model: Annotated[str | None, Option("Only runs of this model.", "", "--model -m")] = None
    concept: Annotated[str | None, Option("Only runs of this concept.", "", CONCEPT)] = None
    status: Annotated[str | None, Option("Only running, finished, failed, stopped or damaged ones.", "")] = None
    verdict: Annotated[str | None, Option("Only runs in which a head got this verdict, e.g. carrier.", "")] = None


@command("folder model concept status verdict json")
def runs(asked: _Listed) -> None:
    """List the runs in a folder: what was asked of which model, how it went, and the verdicts.

    [bold]Examples[/bold]

    headscope runs

    headscope runs ./lab --concept gratitude --verdict carrier --json
    """
    from headscope.runs.listing import summarize_runs

    found = list(
        summarize_runs(
            asked.folder, model=asked.model, concept=asked.concept, status=asked.status, verdict=asked.verdict
        )
    )
    if asked.json:
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
