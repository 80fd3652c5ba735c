"""SQL over the tables of many runs, with DuckDB, in memory: no file is written, and SQL can reach none.

Every table is a view of its own name, all runs one below the other, with the run's folder in the column ``run``; the
view ``runs`` has a row for each run. Files are read by headscope before SQL is; then DuckDB is cut off from files,
network and its own settings.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from headscope.errors import RequestError
from headscope.runs.folder import Run
from headscope.runs.listing import run_folders, summarize_runs
from headscope.tables import TABLES

_SETTINGS = ("enable_external_access = false", "autoload_known_extensions = false", "lock_configuration = true")


def query_runs(root: Path, sql: str) -> pd.DataFrame:
    """The answer to one SELECT over all tables of the runs in ``root``.

    Raises:
        RequestError: DuckDB is not installed, there are no runs, a table is damaged, or the SQL is no single SELECT
            or cannot be answered.
    """
    try:
        duckdb: Any = importlib.import_module("duckdb")
    except ImportError as error:
        raise RequestError("DuckDB is not installed", fix='pip install "headscope[query]"') from error
    folders = run_folders(root)
    if not folders:
        raise RequestError("there are no runs to query", where=str(root), fix="name their folder with --runs")
    with duckdb.connect(":memory:") as connection:
        try:
            statements: Sequence[Any] = connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise RequestError("only one SELECT can be asked", expected="SELECT ...", got=sql[:80])
            for name, table in _tables(root, folders).items():
                connection.register(name, table)
            for setting in _SETTINGS:
                connection.execute(f"SET {setting}")
            return connection.execute(statements[0]).df()
        except duckdb.Error as error:
            raise RequestError("the query cannot be answered", got=str(error), where=str(root)) from error


def _tables(root: Path, folders: Sequence[Path]) -> dict[str, pd.DataFrame]:
    runs = list(summarize_runs(root))
    damaged = {each.run for each in runs if each.problem is not None}
    found: dict[str, list[pd.DataFrame]] = {}
    for folder in folders:
        if str(folder) not in damaged:
            run = Run.open(folder)
            for name in run.tables:
                found.setdefault(name, []).append(run.table(name).assign(run=str(folder)))
    tables = {
        name: pd.concat(parts, ignore_index=True)[["run", *TABLES[name].columns]] for name, parts in found.items()
    }
    rows = [
        asdict(each)
        | {
            "concepts": ", ".join(each.concepts),
            "verdicts": ", ".join(f"{count} {name}" for name, count in each.verdicts.items()),
        }
        for each in runs
    ]
    return tables | {"runs": pd.DataFrame(rows)}
