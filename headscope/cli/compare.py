"""``headscope compare RUN RUN``: do two runs order heads alike, which verdicts changed? Reads the folders only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from headscope.cli import console
from headscope.cli.commands import command
from headscope.cli.inputs import check_outputs
from headscope.settings import Keeping, Option
from headscope.settings.command_line import Printed
from headscope.settings.groups import OUTPUT

_AGREEMENT = {
    "concept": "concept",
    "measure": "measure",
    "n_heads": "heads",
    "rho": "rank correlation",
    "ci_low": "from",
    "ci_high": "to",
    "largest_difference": "largest difference",
    "at_head": "at head",
}
_CHANGED = {
    "concept": "concept",
    "heads": "heads",
    "verdict_first": "first run",
    "verdict_second": "second run",
    "estimate_first": "effect, first (nats)",
    "estimate_second": "effect, second (nats)",
}


@dataclass(frozen=True, kw_only=True)
class _Compared:
    first: Annotated[Path, Option("A run folder.", "", metavar="RUN", is_argument=True)]
    second: Annotated[Path, Option("Another run folder.", "", metavar="RUN", is_argument=True)]
    folder: Annotated[
        Path | None,
        Option("Folder of the comparison; left out: runs/compare-<request>-<request>.", OUTPUT, name="out"),
    ] = None


@command("first second out force json quiet")
def compare(keeping: Keeping, compared: _Compared, printed: Printed) -> None:
    """Put two runs beside each other: two models, two seeds, two protocols.

    Writes a page and its tables: rank correlation of every measure over the heads, verdicts that changed, heatmaps side
    by side.

    [bold]Examples[/bold]

    headscope compare runs/demo runs/demo-seed-1

    headscope compare runs/gpt2 runs/gpt2-finetuned --out comparisons/finetuning
    """
    check_outputs(compared.folder)
    from headscope.report.compare_page import compare, default_folder

    folder = compared.folder or default_folder(compared.first, compared.second)
    found, page = compare(compared.first, compared.second, folder, force=keeping.force)
    for note in found.notes:
        console.warn(note)
    if printed.json:
        tables = {"agreement": found.agreement, "changed_verdicts": found.changed, "verdict_counts": found.counts}
        rows = {name: console.records(table) for name, table in tables.items()}
        console.print_json({"page": str(page), "notes": list(found.notes), **rows})
        return
    if not printed.quiet:
        if found.agreement.empty:
            console.say("No measure was taken of the same heads in both runs.")
        else:
            console.print_table("Do the runs order the heads alike?", console.records(found.agreement), _AGREEMENT)
        if found.changed.empty:
            console.say("No verdict differs where both runs gave one to the same head.")
        else:
            console.print_table("Verdicts that changed", console.records(found.changed), _CHANGED)
    console.say(f"comparison: {page}")
