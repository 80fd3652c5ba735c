"""``headscope query SQL``: one SELECT over the tables of many runs. Reads folders only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headscope.cli import console, options


def command(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT, in DuckDB's words.", show_default=False)],
    runs: Annotated[Path, typer.Option("--runs", help="A folder of run folders.", callback=options.expanded)] = Path(
        "runs"
    ),
    json: options.Json = False,
) -> None:
    """Ask all runs at once. Their tables are the tables, with the run's folder in the column run; runs lists them.

    Nothing can be changed. Needs DuckDB: pip install "headscope\\[query]".

    [bold]Examples[/bold]

    headscope query "SELECT run, concept, heads, verdict FROM verdicts WHERE verdict = 'carrier'"

    headscope query "SELECT model, count(*) AS n FROM runs GROUP BY model" --runs ./lab --json
    """
    from headscope.runs.listing import summarize_runs
    from headscope.runs.query import query_runs

    answer = query_runs(runs, sql)
    if unfinished := sum(1 for each in summarize_runs(runs) if each.status != "finished"):
        console.warn(f"{unfinished} runs are not finished or cannot be read; headscope runs tells which")
    if json:
        console.print_json({"rows": console.records(answer)})
        return
    console.print_table("", console.records(answer), {str(column): str(column) for column in answer.columns})
