"""Many runs: what is in a folder of run folders, and SQL over the tables of all of them.

For the list only manifests and the short tables of verdicts, of removal and of steering, are read. A folder whose
manifest cannot be read is listed with the reason; it stops nobody.
"""

from __future__ import annotations

import csv
import importlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from headscope.errors import RequestError
from headscope.runs.folder import MANIFEST, Run
from headscope.tables import TABLES

_TABLES_OF_VERDICTS = ("verdicts", "dose_response")
_SETTINGS = ("enable_external_access = false", "autoload_known_extensions = false", "lock_configuration = true")


@dataclass(frozen=True)
class RunSummary:
    """One run in a few facts.

    ``status`` is ``damaged``, and ``problem`` says why, where the manifest cannot be read; ``seconds`` are of work, by
    the run's own clock, None where none was written; ``verdicts``: how many heads or sets got each.
    """

    run: str
    verb: str = ""
    model: str = ""
    profile: str = ""
    concepts: tuple[str, ...] = ()
    status: str = "damaged"
    created: str = ""
    seconds: float | None = None
    verdicts: dict[str, int] = field(default_factory=dict[str, int])
    problem: str | None = None


def run_folders(root: Path) -> list[Path]:
    """The run folders in ``root``, and ``root`` itself where it is one; sorted.

    Raises:
        RequestError: there is no such folder.
    """
    try:
        children = sorted(root.iterdir())
    except OSError as error:
        raise RequestError("folder of runs cannot be read", got=error.strerror, where=str(root)) from error
    return [folder for folder in (root, *children) if (folder / MANIFEST).is_file()]


def summarize_runs(
    root: Path,
    *,
    model: str | None = None,
    concept: str | None = None,
    status: str | None = None,
    verdict: str | None = None,
) -> Iterator[RunSummary]:
    """The runs in ``root`` that fit; a run fits ``verdict`` where one of its heads or sets got it."""
    for folder in run_folders(root):
        summary = _summary(folder)
        if (
            (model is None or summary.model == model)
            and (concept is None or concept in summary.concepts)
            and (status is None or summary.status == status)
            and (verdict is None or verdict in summary.verdicts)
        ):
            yield summary


def _summary(folder: Path) -> RunSummary:
    try:
        manifest = Run.open(folder).manifest
    except RequestError as error:
        return RunSummary(str(folder), problem=error.problem)
    asked = manifest.request.options.get("concepts") or manifest.request.options.get("concept") or []
    names = [asked] if isinstance(asked, str) else asked if isinstance(asked, list) else []
    return RunSummary(
        run=str(folder),
        verb=manifest.request.verb,
        model=str(manifest.model.get("name", "")),
        profile=str(manifest.profile.get("name", "")),
        concepts=tuple(map(str, names)),
        status=manifest.status,
        created=manifest.created,
        seconds=sum(manifest.timings.values()) if manifest.timings else None,
        verdicts=_verdicts([folder / "tables" / f"{name}.csv" for name in _TABLES_OF_VERDICTS]),
    )


def _verdicts(paths: Sequence[Path]) -> dict[str, int]:
    """Counted without pandas: a thousand tables are read in the time of a few. Rows without a verdict do not count."""
    counted = Counter[str]()
    try:
        for path in paths:
            if path.is_file() and not path.is_symlink():
                with path.open(encoding="utf-8", newline="") as file:
                    counted.update(verdict for row in csv.DictReader(file) if (verdict := row.get("verdict")))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {"unreadable": 1}
    return dict(sorted(counted.items()))


def query_runs(root: Path, sql: str) -> pd.DataFrame:
    """The answer to one SELECT over all tables of the runs in ``root``, by DuckDB in memory: it can reach no file.

    Every table is a view of its own name, all runs one below the other, with the run's folder in the column ``run``;
    the view ``runs`` has a row for each run. Files are read by headscope before SQL is; then DuckDB is cut off from
    files, network and its own settings.

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
