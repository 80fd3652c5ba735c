"""The four forms in which prompts are read, each into the same rows.

``.jsonl``: a row of ``schema.PromptRow`` a line. ``.csv``: the same with a header; the span in the columns
``span_start`` and ``span_end``. ``.json``: the Phase 6 study's ``{"prompts": ["…", …]}``. ``.txt``: a prompt a line.
Blank lines between rows are skipped. Every row remembers where it came from.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from headscope.errors import ProfileError
from headscope.profiles.explaining import describe, first_misfit
from headscope.profiles.files import PROMPT_LIMIT_COUNT, read_text
from headscope.profiles.schema import PromptList, PromptRow

M = TypeVar("M", bound=BaseModel)

_CSV_COLUMNS = ("id", "concept", "text", "span_start", "span_end", "template", "pair", "implicit")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}


@dataclass(frozen=True)
class RawPrompt:
    """A row as read: ``origin`` says where, e.g. ``prompts.jsonl, line 12``."""

    row: PromptRow
    origin: str


def read_prompts(path: Path) -> list[RawPrompt]:
    """The rows of a file of prompts, in order. Its form is known by its suffix.

    Raises:
        ProfileError: the file cannot be read, has another suffix, is broken, or a row does not fit the schema.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ProfileError(
            f'prompt file "{path.name}" has no known form',
            expected=f"a file that ends in {', '.join(_READERS)}",
            got=path.suffix or "no suffix",
            where=str(path),
        )
    rows: list[RawPrompt] = []
    for row in reader(read_text(path), path):
        rows.append(row)
        if len(rows) > PROMPT_LIMIT_COUNT:
            raise ProfileError("too many prompts", expected=f"at most {PROMPT_LIMIT_COUNT:,}", where=str(path))
    if not rows:
        raise ProfileError("file holds no prompts", expected="at least one prompt", where=str(path))
    return rows


def parse_json(text: str, where: Callable[[int], str]) -> Any:
    """JSON into plain data; a key that stands twice, NaN and infinities are refused as JSON itself refuses them.

    Args:
        text: the JSON.
        where: from a line of ``text``, counted from 1, to the place a message names.

    Raises:
        ProfileError: broken or nested too deeply.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ProfileError(f'key "{twice}" stands twice', expected="each key once", where=where(1))
        return content

    def refuse_constant(name: str) -> NoReturn:
        raise ProfileError("JSON is broken", got=f"{name}, which is no JSON value", where=where(1))

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        raise ProfileError(
            "JSON is broken", got=f"{error.msg}, column {error.colno}", where=where(error.lineno)
        ) from error
    except ValueError as error:  # an integer of more digits than Python reads
        raise ProfileError("JSON is broken", got=str(error), where=where(1)) from error
    except RecursionError as error:
        raise ProfileError("JSON is nested too deeply", where=where(1)) from error


def _jsonl(text: str, path: Path) -> Iterator[RawPrompt]:
    # Not splitlines: it also cuts at characters that may stand inside a JSON string, such as U+2028.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{path}, line {number}"
            data = parse_json(line.removesuffix("\r"), lambda _, place=place: place)
            if not isinstance(data, dict):
                raise ProfileError(
                    "row has the wrong shape",
                    expected='an object, {"text": "…", "concept": "…"}',
                    got=describe(data),
                    where=place,
                )
            yield RawPrompt(_fit(PromptRow, data, place), f"{path.name}, line {number}")


def _json(text: str, path: Path) -> Iterator[RawPrompt]:
    data = parse_json(text, lambda line: f"{path}, line {line}")
    if not isinstance(data, dict):
        raise ProfileError(
            "file has the wrong shape", expected='{"prompts": ["…", …]}', got=describe(data), where=str(path)
        )
    for index, prompt in enumerate(_fit(PromptList, data, str(path)).prompts):
        yield RawPrompt(PromptRow(text=prompt), f"{path.name}, prompts[{index}]")


def _text(text: str, path: Path) -> Iterator[RawPrompt]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            row = _fit(PromptRow, {"text": line.removesuffix("\r")}, f"{path}, line {number}")
            yield RawPrompt(row, f"{path.name}, line {number}")


def _csv(text: str, path: Path) -> Iterator[RawPrompt]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] | None = None
    try:
        for cells in reader:
            place = f"{path}, line {reader.line_num}"
            if not cells:
                continue
            if columns is None:
                columns = _checked_columns(cells, place)
                continue
            if len(cells) != len(columns):
                raise ProfileError(
                    "row has the wrong number of cells",
                    expected=f"{len(columns)}: {', '.join(columns)}",
                    got=f"{len(cells)}",
                    where=place,
                    fix="put text that holds a comma in double quotes",
                )
            row = _csv_row(dict(zip(columns, cells, strict=True)), place)
            yield RawPrompt(_fit(PromptRow, row, place), f"{path.name}, line {reader.line_num}")
    except csv.Error as error:
        raise ProfileError("CSV is broken", got=str(error), where=f"{path}, line {reader.line_num}") from error


def _checked_columns(cells: list[str], place: str) -> list[str]:
    columns = [cell.strip() for cell in cells]
    unknown = [column for column in columns if column not in _CSV_COLUMNS]
    if unknown or "text" not in columns or len(set(columns)) < len(columns):
        problem = 'CSV has no column "text"' if "text" not in columns else "CSV has unknown or repeated columns"
        raise ProfileError(
            problem,
            expected=f"a header with text, and any of {', '.join(_CSV_COLUMNS)}",
            got=", ".join(columns),
            where=place,
        )
    if ("span_start" in columns) != ("span_end" in columns):
        raise ProfileError(
            "CSV has half a span", expected="both columns span_start and span_end", got=", ".join(columns), where=place
        )
    return columns


def _csv_row(cells: dict[str, str], place: str) -> dict[str, Any]:
    row: dict[str, Any] = {key: cells[key] for key in ("id", "concept", "template", "pair") if cells.get(key)}
    row["text"] = cells["text"]
    edges = [cells.get(key, "").strip() for key in ("span_start", "span_end")]
    if any(edges):
        if not all(edge.isascii() and edge.isdigit() and len(edge) < 10 for edge in edges):
            raise ProfileError(
                "span is no pair of numbers",
                expected="two whole numbers",
                got=" and ".join(map(repr, edges)),
                where=place,
            )
        row["span"] = [int(edge) for edge in edges]
    implicit = cells.get("implicit", "").strip().lower()
    if implicit not in _TRUTH:
        raise ProfileError('"implicit" is neither true nor false', expected="true or false", got=implicit, where=place)
    row["implicit"] = _TRUTH[implicit]
    return row


def _fit(schema: type[M], data: dict[str, Any], place: str) -> M:
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        misfit = first_misfit(error, data)
        raise ProfileError(
            f"{misfit.name} has the wrong shape", expected=misfit.expected, got=misfit.got, where=place
        ) from error


_READERS: dict[str, Callable[[str, Path], Iterator[RawPrompt]]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".json": _json,
    ".txt": _text,
}
