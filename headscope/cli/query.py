"""``headscope query SQL``: one SELECT over the tables of many runs. Reads folders only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from headscope.cli import console
from headscope.cli.commands import command
from headscope.settings import Option
from headscope.settings.command_line import Json


@dataclass(frozen=True, kw_only=True)
class _Query(Json):
    sql: Annotated[str, Option("One SELECT, in DuckDB's words.", "", metavar="SQL", is_argument=True)]
    runs: Annotated[Path, Option("A folder of run folders.", "")] = Path("runs")


@command("sql runs json")
def query(asked: _Query) -> None:
    """Ask all runs at once. Their tables are the tables, with the run's folder in the column run; runs lists them.

    Nothing can be changed. Needs DuckDB: pip install "headscope\\[query]".

    [bold]Examples[/bold]

    headscope query "SELECT run, concept, heads, verdict FROM verdicts WHERE verdict = 'carrier'"

    headscope query "SELECT model, count(*) AS n FROM runs GROUP BY model" --runs ./lab --json
    """
    from headscope.runs.listing import query_runs, summarize_runs

    answer = query_runs(asked.runs, asked.sql)
    if unfinished := sum(1 for each in summarize_runs(asked.runs) if each.status != "finished"):
        console.warn(f"{unfinished} runs are not finished or cannot be read; headscope runs tells which")
    if asked.json:
        console.print_json({"rows": console.records(answer)})
        return
    console.print_table("", console.records(answer), {str(column): str(column) for column in answer.columns})
