"""``headscope show RUN``: what a run asked, how it went, and what it found. Reads the folder only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from headscope.cli import console, results
from headscope.cli.commands import command
from headscope.settings import Option
from headscope.settings.command_line import OneRun, Printed

if TYPE_CHECKING:
    from headscope.runs.folder import Run


@dataclass(frozen=True, kw_only=True)
class _Shown(OneRun):
    table: Annotated[str | None, Option("Print this table of the run, as it is kept (CSV).", "")] = None


@command("run table top_n json", top_n=5)
def show(shown: _Shown, printed: Printed) -> None:
    """What a run asked, how it went, and what it found.

    [bold]Examples[/bold]

    headscope show runs/demo

    headscope show runs/demo --table screen > screen.csv
    """
    from headscope.runs.folder import Run
    from headscope.tables.csv import table_to_text

    opened, table = Run.open(shown.run), shown.table
    results.print_unfinished(opened)
    if table is not None:
        text = table_to_text(table, opened.table(table))
        if printed.json:
            console.print_json({"table": table, "rows": console.records(opened.table(table))})
        else:
            console.say(text.rstrip("\n"))
    elif printed.json:
        console.print_json(opened.manifest.model_dump(mode="json") | {"tables": list(opened.tables)})
    else:
        _print_run(opened, printed.top_n)


def _print_run(run: Run, top_n: int) -> None:
    manifest = run.manifest
    request = manifest.request
    console.say(f"{request.verb} of {manifest.model.get('name')} on {manifest.profile.get('name')}: {manifest.status}")
    console.say(f"request {manifest.request_digest}, seed {request.seed}, {request.dtype} on {request.device}")
    console.say(f"tables: {', '.join(run.tables) or 'none'}")
    results.print_warnings(run)
    if manifest.error is not None:
        console.warn(manifest.error)
    if "ranking" in run.tables:
        ranking = run.table("ranking")
        results.print_rows("", ranking[ranking["rank"] <= top_n], "ranking")
    if "probes" in run.tables and "ranking" not in run.tables:
        results.print_rows("", results.top_probes(run.table("probes"), top_n), "probes")
    for name in ("dose_response", "evaluation"):
        if name in run.tables:
            results.print_rows("", run.table(name), name)
