"""Heads that a file names: ``@FILE``, where a head spec is asked for.

1. The file is read into rows, each with the heads it names and the place where it stands: a line of text, a row of a
   table (columns ``layer`` and ``head``, or ``heads``, or ``head``), a member of a JSON list, a node of a circuit.
   Of MIB's circuits only nodes count that are heads and in the graph.
2. What follows a ``?`` chooses among rows with columns: ``verdict=carrier&concept=anger`` by their cells, ``top=10``
   the first heads by the column ``rank``, or by the size of the one that ``sort=COLUMN`` names. A folder is a run, and
   means its verdicts; there something must choose, because verdicts name every head.
3. A head that several rows name is taken once: tables have a row a concept. (In a typed spec it is an error.)

A request holds the heads, not the file's name, so the same heads from another file are the same request.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from headscope.errors import RequestError
from headscope.heads import Head, HeadSet
from headscope.profiles.explaining import describe, some_of
from headscope.profiles.files import expanded, read_text
from headscope.profiles.formats import read_table
from headscope.profiles.json_reading import parse_json

MARK = "@"
FILE_LIMIT_BYTES = 64 * 2**20
_TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
_VERDICTS = Path("tables") / "verdicts.csv"
_COLUMNS = ("layer", "heads", "head")
_TOP, _SORT, _RANK = "top", "sort", "rank"
_SMALLEST_FIRST = (_RANK, "p_value", "q_value")
_EXPECTED = "columns layer and head, or one of heads such as 1:10 or L1H10, called heads or head"
_JSON = 'a list of heads such as [[1, 10], "3:2"] or [{"layer": 1, "head": 10}], {"heads": [...]}, or a circuit'
_NODE = re.compile(r"a(\d+)\.h(\d+)", re.I | re.A)
_DOTTED = re.compile(r"(\d+)\.(\d+)", re.A)
_WHOLE = re.compile(r"(\d+)(?:\.0*)?", re.A)


@dataclass(frozen=True)
class HeadRow:
    """One row of a file.

    Attributes:
        spec: the heads it names, as in ``heads``.
        where: it stands.
        cells: by column, in lower case; empty where the file has no columns.
    """

    spec: str
    where: str
    cells: Mapping[str, str] = field(default_factory=dict[str, str])


def read_heads(spec: str, heads_per_layer: Sequence[int]) -> HeadSet:
    """The heads of a spec, or of the file it names with ``@FILE`` or ``@FILE?COLUMN=VALUE``.

    Raises:
        RequestError: see ``HeadSet.parse`` and ``rows_of``; of a file also where the rows that were chosen are fewer
            than ``top``.
    """
    if not spec.strip().startswith(MARK):
        return HeadSet.parse(spec, heads_per_layer)
    named = _Named.of(spec)
    heads = dict.fromkeys(head for row in named.rows() for head in _heads_of(row, heads_per_layer))
    if named.top is not None:
        if len(heads) < named.top:
            raise RequestError(
                "file names fewer heads", expected=f"{_TOP}={named.top}", got=str(len(heads)), where=str(named.path)
            )
        heads = list(heads)[: named.top]
    return HeadSet.of(heads)


def rows_of(spec: str) -> list[HeadRow]:
    """The rows that ``@FILE`` chooses, without a model: what can be told before one is loaded; none of another spec.

    Raises:
        RequestError: the file is missing, cannot be read, is empty or broken, has no column of heads, or no row is
            chosen.
    """
    return _Named.of(spec).rows() if spec.strip().startswith(MARK) else []


@dataclass(frozen=True)
class _Named:
    """What a spec names: the file, and which of its rows."""

    path: Path
    wanted: Mapping[str, Sequence[str]]
    top: int | None
    sort: str | None

    @classmethod
    def of(cls, spec: str) -> _Named:
        name, _, choice = spec.strip().removeprefix(MARK).partition("?")
        if not name:
            raise RequestError("no file is named", expected="@FILE, e.g. @heads.csv", got=spec)
        wanted: dict[str, list[str]] = {}
        for each in choice.split("&") if choice else ():
            column, equals, value = each.partition("=")
            if not (column and equals):
                raise RequestError(
                    "choice of rows is malformed", expected="COLUMN=VALUE, joined by &", got=f'"{each}"', where=spec
                )
            wanted.setdefault(column.casefold(), []).append(value)
        top, sort = (_once(name, wanted.pop(name, []), spec) for name in (_TOP, _SORT))
        if top is not None and not (top.isdecimal() and int(top)):
            raise RequestError("number of heads is malformed", expected=f"{_TOP}=N, from 1", got=top, where=spec)
        return cls(expanded(name), wanted, None if top is None else int(top), None if sort is None else sort.casefold())

    def rows(self) -> list[HeadRow]:
        """The rows that are chosen, in order."""
        path = self.path
        if path.is_dir():
            path = path / _VERDICTS
            if not path.is_file():
                raise RequestError(
                    "folder holds no verdicts", expected=f"a run folder with {_VERDICTS}", where=str(self.path),
                    fix="headscope rank RUN judges a sweep's heads; or name a file",
                )  # fmt: skip
            if not self.wanted and self.top is None:
                raise RequestError(
                    "run names every head that it judged", expected="which of them", where=str(self.path),
                    fix=f"'@{self.path}?verdict=carrier&concept=NAME'",
                )  # fmt: skip
        rows = list(_read(path))
        if not rows:
            raise RequestError("file names no heads", expected="at least one", where=str(path))
        for column, values in self.wanted.items():
            rows = _having(rows, column, values, path)
        return rows if self.top is None and self.sort is None else self._sorted(rows)

    def _sorted(self, rows: list[HeadRow]) -> list[HeadRow]:
        column = self.sort or _RANK
        _check_column(rows, column, self.path)
        found = [(value, row) for row in rows if not math.isnan(value := _number(row, column))]
        if column == _RANK and len({value for value, _ in found}) < len(found):
            raise RequestError(
                "file holds several rankings", expected="one", got="ranks that stand twice", where=str(self.path),
                fix=f"choose one, e.g. '@{self.path}?concept=NAME&by=effect&top=10'",
            )  # fmt: skip
        sign = 1 if column in _SMALLEST_FIRST else -1
        return [row for _, row in sorted(found, key=lambda each: sign * abs(each[0]))]


def _once(name: str, values: Sequence[str], spec: str) -> str | None:
    if len(values) > 1:
        raise RequestError(f"{name} stands twice", expected="once", got=", ".join(values), where=spec)
    return values[0] if values else None


def _having(rows: list[HeadRow], column: str, values: Sequence[str], path: Path) -> list[HeadRow]:
    _check_column(rows, column, path)
    chosen = [row for row in rows if row.cells.get(column) in values]
    if not chosen:
        there = sorted({row.cells.get(column, "") for row in rows})
        raise RequestError(
            f'no row has the {column} "{" or ".join(values)}"', expected=some_of(there), got="none", where=str(path)
        )
    return chosen


def _check_column(rows: Sequence[HeadRow], column: str, path: Path) -> None:
    if not any(column in row.cells for row in rows):
        columns = list(dict.fromkeys(name for row in rows for name in row.cells))
        raise RequestError(
            f'file has no column "{column}"', expected=", ".join(columns) or "a file with columns", got=column,
            where=str(path), fix=f"what follows ? names columns; {_TOP}=N needs {_RANK}, or {_SORT}=COLUMN",
        )  # fmt: skip


def _number(row: HeadRow, column: str) -> float:
    try:
        return float(row.cells.get(column) or math.nan)
    except ValueError as error:
        raise RequestError(
            f'column "{column}" holds no number', expected="numbers", got=row.cells[column], where=row.where
        ) from error


def _heads_of(row: HeadRow, heads_per_layer: Sequence[int]) -> Iterator[Head]:
    for item in row.spec.split(","):
        yield from HeadSet.parse(_NODE.sub(r"\1:\2", item), heads_per_layer, row.where)


# --- the forms ------------------------------------------------------------------------------------------------------


def _read(path: Path) -> Iterator[HeadRow]:
    if path.suffix.lower() == ".parquet":
        return _of_table(path)
    text = read_text(path, FILE_LIMIT_BYTES, "at least one head")
    if path.suffix.lower() in _TABLES:
        return _of_table(path)
    if path.suffix.lower() == ".json":
        data = parse_json(text, lambda line: f"{path}, line {line}")
        return _of_circuit(data["nodes"], path) if _holds(data, "nodes") else _of_json(data, path)
    return _of_lines(text, path)


def _of_lines(text: str, path: Path) -> Iterator[HeadRow]:
    for number, line in enumerate(text.splitlines(), start=1):
        for item in line.partition("#")[0].replace(";", ",").split(","):
            if spec := item.strip():
                yield HeadRow(_undotted(spec), f"{path}, line {number}")


def _of_table(path: Path) -> Iterator[HeadRow]:
    table, _ = read_table(path, _COLUMNS)
    for at, record in table.records:
        yield from _of_record(record, f"{path}, {at}")


def _of_record(record: Mapping[str, Any], where: str) -> Iterator[HeadRow]:
    cells = {str(name).strip().casefold(): "" if cell is None else str(cell).strip() for name, cell in record.items()}
    if {"layer", "head"} <= set(cells):
        yield HeadRow(f"{_whole(cells, 'layer', where)}:{_whole(cells, 'head', where)}", where, cells)
        return
    column = next((name for name in ("heads", "head") if name in cells), None)
    if column is None:
        raise RequestError("row names no head", expected=_EXPECTED, got=some_of(list(cells)), where=where)
    if "verdict" in cells and "," in cells[column]:
        return  # a set's verdict, which is none of its heads
    if not cells[column]:
        raise RequestError("row names no head", expected=_EXPECTED, got=f"an empty cell of {column}", where=where)
    yield HeadRow(cells[column], where, cells)


def _whole(cells: Mapping[str, str], column: str, where: str) -> str:
    found = _WHOLE.fullmatch(cells[column])
    if found is None:
        raise RequestError(
            f"{column} is no whole number", expected="a number from 0", got=f'"{cells[column]}"', where=where
        )
    return found[1]


def _of_json(data: Any, path: Path) -> Iterator[HeadRow]:
    place = "[{}]"
    for name in ("heads", "scores"):
        if _holds(data, name):
            data, place = data[name], f"{name}[{{}}]"
            break
    if not isinstance(data, list):
        raise RequestError("JSON names no heads", expected=_JSON, got=describe(data), where=str(path))
    for index, one in enumerate(cast("list[Any]", data)):
        where = f"{path}, {place.format(index)}"
        if isinstance(one, dict):
            yield from _of_record(cast("dict[str, Any]", one), where)
        elif isinstance(one, str) and one.strip():
            yield HeadRow(_undotted(one.strip()), where)
        elif _is_pair(one):
            yield HeadRow(f"{one[0]}:{one[1]}", where)
        else:
            raise RequestError("JSON names no head here", expected=_JSON, got=describe(one), where=where)


def _of_circuit(nodes: Any, path: Path) -> Iterator[HeadRow]:
    """Nodes by name, each with ``in_graph`` as MIB writes them now, or that alone, as once."""
    if not isinstance(nodes, dict):
        raise RequestError("nodes has the wrong shape", expected="nodes by name", got=describe(nodes), where=str(path))
    for name, node in cast("dict[str, Any]", nodes).items():
        is_in = node.get("in_graph") if isinstance(node, dict) else node
        if not isinstance(is_in, bool):
            raise RequestError(
                f'node "{name}" does not say whether it is in the circuit', expected='"in_graph": true or false',
                got=describe(node), where=str(path),
            )  # fmt: skip
        if is_in and _NODE.fullmatch(name):
            cells = {str(key): str(cell) for key, cell in node.items()} if isinstance(node, dict) else {}
            yield HeadRow(name, f"{path}, nodes.{name}", cells)


def _holds(data: Any, name: str) -> bool:
    return isinstance(data, dict) and name in data


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and all(type(one) is int and one >= 0 for one in value)  # no bool
    )


def _undotted(spec: str) -> str:
    """``9.6`` of papers as ``9:6``. Only of text: as a number of a table 9.10 is 9.1."""
    found = _DOTTED.fullmatch(spec)
    return spec if found is None else f"{found[1]}:{found[2]}"
