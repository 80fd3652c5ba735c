"""Tables as CSV, with one order of columns, and numbers that come back as they were.

Floats are written in the shortest form that reads back to the same bits; a missing number is an empty cell and reads as
NaN (or <NA> in a column of whole numbers); text is never missing, only empty. Lines end in a line feed. So the same
table gives the same bytes. No two rows have the same key.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from headscope.errors import RequestError, WorkError
from headscope.tables import TABLES, Kind, Table

_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def table_to_text(name: str, table: pd.DataFrame) -> str:
    """The CSV of a table.

    Raises:
        WorkError: no such table, other columns than it has, a cell of another kind than its column, or two rows of one
            key.
    """
    if name not in TABLES:
        raise WorkError(f'no table is called "{name}"', expected=", ".join(TABLES), got=name)
    kinds = TABLES[name].kinds
    missing, unknown = [c for c in kinds if c not in table.columns], [c for c in table.columns if c not in kinds]
    if missing or unknown:
        raise WorkError(
            f'table "{name}" has other columns than it should',
            expected=", ".join(kinds),
            got="; ".join(
                f"{what} {', '.join(map(str, names))}"
                for what, names in (("missing", missing), ("unknown", unknown))
                if names
            ),
        )
    cells = {column: _cells(f"{name}.{column}", table[column], _TO_TEXT[kind]) for column, kind in kinds.items()}
    if repeated := _repeated_key(TABLES[name], cells):
        raise WorkError(f'table "{name}" has two rows of one key', **repeated)
    return "".join(",".join(row) + "\n" for row in (tuple(kinds), *zip(*cells.values(), strict=True)))


def text_to_table(name: str, lines: Iterable[str], where: str) -> pd.DataFrame:
    """The table ``name`` from the lines of a CSV, its columns in the table's order and of its kinds.

    ``lines`` come with their ends, as a file opened with ``newline=""`` gives them; ``where`` they come from is for
    messages.

    Raises:
        RequestError: no such table, other columns, a cell that does not fit, or two rows of one key.
        csv.Error: this is no CSV.
    """
    check_name(name)
    kinds = TABLES[name].kinds
    rows = list(csv.reader(lines, strict=True))
    if not rows or rows[0] != list(kinds) or any(len(row) != len(kinds) for row in rows):
        raise RequestError(
            f'table "{name}" has other columns than it should',
            expected=", ".join(kinds),
            got=", ".join(rows[0]) if rows else "an empty file",
            where=where,
            fix="the run is of another version of headscope, or the file was changed: run again into another folder",
        )
    cells = dict(zip(kinds, zip(*rows[1:], strict=True), strict=True)) if len(rows) > 1 else dict.fromkeys(kinds, ())
    if repeated := _repeated_key(TABLES[name], cells):
        raise RequestError(f'table "{name}" has two rows of one key', where=where, **repeated)
    try:
        return pd.DataFrame({column: _READERS[kind](cells[column]) for column, kind in kinds.items()})
    except (ValueError, OverflowError) as error:
        raise RequestError(f'table "{name}" holds a cell that does not fit', got=str(error), where=where) from error


def check_name(name: str) -> None:
    """Raise RequestError where no table has this name."""
    if name not in TABLES:
        raise RequestError(f'no table is called "{name}"', expected=", ".join(TABLES), got=name)


def _repeated_key(table: Table, cells: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """``expected`` and ``got`` of an error about the first two rows of one key, counted from 1; empty where none."""
    first_rows: dict[tuple[str, ...], int] = {}
    roles = cells["role"] if table.unkeyed_roles else ()
    for row, key in enumerate(zip(*(cells[column] for column in table.key), strict=True)):
        if roles and roles[row] in table.unkeyed_roles:
            continue
        first = first_rows.setdefault(key, row)
        if first != row:
            values = ", ".join(f"{column} {value or '(empty)'}" for column, value in zip(table.key, key, strict=True))
            return {
                "expected": f"one row for each {', '.join(table.key)}",
                "got": f"rows {first + 1} and {row + 1}: {values}",
            }
    return {}


def _cells(label: str, column: pd.Series, to_text: Callable[[Any], str]) -> list[str]:
    try:
        return [to_text(value) for value in column.tolist()]
    except (TypeError, ValueError) as error:
        raise WorkError(f'column "{label}" holds a cell of another kind', got=str(error)) from error


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    if _is_missing(value):
        return ""
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__} {value!r}")
    # Not csv.writer: before Python 3.13 it leaves a lone carriage return unquoted, which then reads as a line's end.
    return '"' + value.replace('"', '""') + '"' if _NEEDS_QUOTES.search(value) else value


def _int(value: Any) -> str:
    if _is_missing(value):
        return ""
    # A column of whole numbers in which one is missing comes as floats.
    if isinstance(value, bool) or int(value) != value:
        raise TypeError(f"expected a whole number, got {value!r}")
    return str(int(value))


def _float(value: Any) -> str:
    return "" if _is_missing(value) or math.isnan(value) else repr(float(value))


def _bool(value: Any) -> str:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"expected true or false, got {value!r}")
    return "true" if value else "false"


def _read_ints(cells: Iterable[str]) -> pd.Series:
    values = [int(cell) if cell else None for cell in cells]
    if None in values:
        return pd.Series(values, dtype="Int64")
    return pd.Series(values, dtype="int64")


def _read_bools(cells: Iterable[str]) -> pd.Series:
    values = list(cells)
    if bad := next((cell for cell in values if cell not in ("true", "false")), None):
        raise ValueError(f"expected true or false, got {bad!r}")
    return pd.Series([cell == "true" for cell in values], dtype="bool")


_TO_TEXT: dict[Kind, Callable[[Any], str]] = {"text": _text, "int": _int, "float": _float, "bool": _bool}
_READERS: dict[Kind, Callable[[Iterable[str]], pd.Series]] = {
    "text": lambda cells: pd.Series(list(cells), dtype="object"),
    "int": _read_ints,
    "float": lambda cells: pd.Series([float(cell) if cell else math.nan for cell in cells], dtype="float64"),
    "bool": _read_bools,
}
