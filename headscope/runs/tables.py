"""Tables as CSV, with one order of columns, and numbers that come back as they were.

The columns of every table and their kinds stand here once. Floats are written in the shortest form that reads back
to the same bits; a missing number is an empty cell and reads as NaN (or <NA> in a column of whole numbers); text is
never missing, only empty. Lines end in a line feed. So the same table gives the same bytes.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from headscope.errors import RequestError, WorkError
from headscope.profiles.files import open_plain
from headscope.runs.atomic import write_text_atomic

TABLE_LIMIT_BYTES = 2**30
_NEEDS_QUOTES = re.compile(r'[",\r\n]')

Kind = Literal["text", "int", "float", "bool"]

_INTERVAL = "ci_low:float ci_high:float"
_COUNTS = "n_prompts:int n_templates:int"
_VERDICTS = (
    "concept heads verdict reason estimate:float sim_low:float sim_high:float threshold_nats:float attends "
    "attention_measure attention_share:float attention_share_low:float attention_share_high:float "
    "threshold_share:float specificity:float specificity_low:float specificity_high:float perplexity_ratio_low:float "
    "perplexity_ratio_high:float templates_needed:int"
)
_TABLES = {
    "coverage": "concept n_prompts:int n_spans:int n_implicit:int n_paired_equal:int n_paired_unequal:int "
    "n_length_matched:int n_unmatched:int n_without_query:int n_without_remainder:int coverage_share:float "
    "protocol note",
    "screen": "concept layer:int head:int query measure control estimate:float unit concept_mean:float "
    f"control_mean:float {_INTERVAL} sim_low:float sim_high:float p_value:float q_value:float d_z:float mde:float "
    f"{_COUNTS} family status",
    "attention_by_region": "concept layer:int head:int region share:float share_low:float share_high:float "
    f"written_norm:float written_norm_low:float written_norm_high:float {_COUNTS}",
    "assay": f"concept outcome estimate:float unit concept_mean:float control_mean:float {_INTERVAL} p_value:float "
    f"share_right:float {_COUNTS} shown:bool note",
    "effects": "concept layer:int head:int heads role k:int edit scope outcome estimate:float unit "
    f"baseline_mean:float edited_mean:float {_INTERVAL} sim_low:float sim_high:float d_z:float p_value:float "
    f"p_max_t:float q_value:float mde:float skewness:float {_COUNTS} family status",
    "ranking": "concept rank:int layer:int head:int score:float by screen_delta:float screen_ci_low:float "
    "screen_ci_high:float screen_q:float value_weighted_delta:float effect_estimate:float effect_ci_low:float "
    "effect_ci_high:float effect_p_max_t:float effect_zero_estimate:float verdict",
    "layers": "concept layer:int n_heads:int mean_delta:float mean_abs_delta:float max_delta:float max_delta_head:int "
    "n_attending:float effect_sum:float effect_min:float effect_min_head:int",
    "verdicts": _VERDICTS,
    "negative_control": _VERDICTS,
    "texts": "concept prompt_id sample:int prompt heads edit direction source_id baseline_text edited_text",
    "nulls": "concept heads k:int outcome estimate:float percentile:float floor:float n_random:int layer_matched:bool "
    "note",
    "areas": "concept area estimate:float ci_low:float ci_high:float n_heads:int sizes n_templates:int note",
    "smallest": "concept half:int heads k:int share_asked:float share_chosen_on:float share:float share_ci_low:float "
    "share_ci_high:float reached:bool n_templates:int note",
    "reliability": "concept by n_heads:int n_templates:int split_half_r:float spearman_brown:float "
    "spearman_brown_low:float spearman_brown_high:float k:int jaccard:float jaccard_low:float jaccard_high:float",
    "stability": "concept layer:int head:int answer stable_share:float changes_without",
    "orders": "concept half:int rank:int layer:int head:int effect_nats:float",
    "patching": "concept direction layer:int head:int heads role k:int what source target alpha:float outcome "
    "compared_with estimate:float unit unpatched_mean:float patched_mean:float control_patched_mean:float "
    f"{_INTERVAL} sim_low:float sim_high:float d_z:float p_value:float p_max_t:float q_value:float mde:float "
    f"skewness:float share_recovered:float share_low:float share_high:float {_COUNTS} family status",
    "dissociation": "concept other direction own_heads other_heads own_estimate:float other_estimate:float "
    f"estimate:float unit {_INTERVAL} d_z:float p_value:float q_value:float mde:float {_COUNTS} double:bool "
    "family status",
    "scores": "concept layer:int head:int measure edit rank:int estimate:float unit mean_abs:float "
    "exact_estimate:float exact_sim_low:float exact_sim_high:float n_prompts:int n_templates:int",
    "components": "concept component layer:int head:int estimate:float unit n_prompts:int n_templates:int",
    "agreement": "concept measure edit k:int n_heads:int spearman_abs:float spearman_signed:float "
    "rank_of_top_effect:float precision_at_k:float n_causal:int auroc:float recall:float recall_low:float "
    "n_random:int threshold_nats:float note",
}
COLUMNS: dict[str, dict[str, Kind]] = {
    table: {name: kind or "text" for name, _, kind in (column.partition(":") for column in columns.split())}  # pyright: ignore[reportAssignmentType]
    for table, columns in _TABLES.items()
}
DERIVED_TABLES = frozenset({"ranking", "layers", "verdicts"})


def table_to_text(name: str, table: pd.DataFrame) -> str:
    """The CSV of a table.

    Raises:
        WorkError: no such table, other columns than it has, or a cell of another kind than its column.
    """
    columns = _columns(name)
    missing, unknown = [c for c in columns if c not in table.columns], [c for c in table.columns if c not in columns]
    if missing or unknown:
        raise WorkError(
            f'table "{name}" has other columns than it should',
            expected=", ".join(columns),
            got="; ".join(
                f"{what} {', '.join(map(str, names))}"
                for what, names in (("missing", missing), ("unknown", unknown))
                if names
            ),
        )
    cells = [_cells(f"{name}.{column}", table[column], _TO_TEXT[kind]) for column, kind in columns.items()]
    return "".join(",".join(row) + "\n" for row in (tuple(columns), *zip(*cells, strict=True)))


def write_table(path: str | Path, name: str, table: pd.DataFrame) -> Path:
    """Write a table to ``path`` in one step; see ``table_to_text``."""
    return write_text_atomic(path, table_to_text(name, table))


def read_table(path: str | Path, name: str) -> pd.DataFrame:
    """The table ``name`` from a CSV file, its columns in the table's order and of its kinds.

    Raises:
        RequestError: no such table, missing, not UTF-8, other columns, or a cell that does not fit.
    """
    if name not in COLUMNS:
        raise RequestError(f'no table is called "{name}"', expected=", ".join(COLUMNS), got=name)
    columns = COLUMNS[name]
    try:
        with open_plain(Path(path)) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as lines:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > TABLE_LIMIT_BYTES:
                raise RequestError(
                    f'table "{name}" is too large',
                    expected=f"at most {TABLE_LIMIT_BYTES:,} bytes",
                    got=f"{size_bytes:,} bytes",
                    where=str(path),
                )
            rows = list(csv.reader(lines, strict=True))
    except FileNotFoundError as error:
        raise RequestError(f'table "{name}" is missing', where=str(path)) from error
    except (OSError, ValueError, csv.Error) as error:
        raise RequestError(f'table "{name}" cannot be read', got=str(error), where=str(path)) from error
    if not rows or rows[0] != list(columns) or any(len(row) != len(columns) for row in rows):
        raise RequestError(
            f'table "{name}" has other columns than it should',
            expected=", ".join(columns),
            got=", ".join(rows[0]) if rows else "an empty file",
            where=str(path),
            fix="the run is of another version of headscope, or the file was changed: run again into another folder",
        )
    cells = (
        dict(zip(columns, zip(*rows[1:], strict=True), strict=True)) if len(rows) > 1 else dict.fromkeys(columns, ())
    )
    try:
        return pd.DataFrame({column: _READERS[kind](cells[column]) for column, kind in columns.items()})
    except (ValueError, OverflowError) as error:
        raise RequestError(f'table "{name}" holds a cell that does not fit', got=str(error), where=str(path)) from error


def _columns(name: str) -> dict[str, Kind]:
    if name not in COLUMNS:
        raise WorkError(f'no table is called "{name}"', expected=", ".join(COLUMNS), got=name)
    return COLUMNS[name]


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
