"""The forms in which prompts are read, each into the same rows. Every row remembers where it came from.

Tables (``.jsonl``, ``.csv``, ``.tsv``, ``.parquet``, and ``.json`` with a list of objects or with JSON lines) go
through ``columns``, which says which column is what. Lists of texts (``.txt`` a prompt a line, ``.json`` a list or the
Phase 6 study's ``{"prompts": ["…", …]}``) are taken as they are. Blank lines and rows of empty cells are skipped.

The delimiter of a CSV file is Excel's ``sep=`` where that stands, else the first of ``, ; tab |`` under which the
header names a column for the text and every row has as many cells as the header. (``csv.Sniffer`` guesses from how
often a sign stands in the text, which is prose here.)
"""

from __future__ import annotations

import csv
import importlib
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from headscope.errors import ProfileError
from headscope.profiles.columns import TEXT_NAMES, Reading, Table, choose, row_of
from headscope.profiles.explaining import describe, fitted
from headscope.profiles.files import PROMPT_FILE_LIMIT_BYTES, PROMPT_LIMIT_COUNT, read_bytes, read_text
from headscope.profiles.json_reading import parse_json
from headscope.profiles.schema import PromptList, PromptRow

_SEP_LINE = re.compile(r'"?sep=(?P<sign>[^\r\n])"?[,;\t]*\r?\n', re.IGNORECASE)
_SIGN_NAMES = {"\t": "tabs", ";": "semicolons", "|": '"|"', ",": "commas"}
_PARQUET_BATCH_ROWS = 1024


@dataclass(frozen=True)
class RawPrompt:
    """A row as read: ``origin`` says where, e.g. ``prompts.jsonl, line 12``."""

    row: PromptRow
    origin: str


@dataclass(frozen=True)
class Prompts:
    """A file of prompts as read, in order; ``notes`` says what was taken for what."""

    rows: list[RawPrompt]
    notes: list[str]


@dataclass(frozen=True)
class _Found:
    """What a form holds: where each record stands and the record, as a table where it has columns."""

    records: list[tuple[str, Any]]
    notes: list[str]
    columns: list[str] | None = None
    is_text: bool = False


def read_prompts(path: Path, reading: Reading | None = None, one_class: str | None = None) -> Prompts:
    """The rows of a file of prompts, all of ``one_class`` where that is known. Its form is known by its suffix.

    Raises:
        ProfileError: the file cannot be read, has another suffix, is broken, or a row does not fit the schema.
    """
    reading = reading or Reading()
    found = _reader_of(path)(path, _names(reading))
    if len(found.records) > PROMPT_LIMIT_COUNT:
        raise ProfileError("too many prompts", expected=f"at most {PROMPT_LIMIT_COUNT:,}", where=str(path))
    if found.columns is None:
        if reading.names_columns:
            raise ProfileError(
                "file has no columns", expected="a table", got="texts alone", where=str(path),
                fix="leave out --text-column and --label-column",
            )  # fmt: skip
        rows = [({"text": text}, at) for at, text in found.records]
        notes = found.notes
    else:
        table = Table(str(path), found.columns, found.records, found.is_text)
        choice = choose(table, reading, one_class)
        places = ((at, cells, f"{path}, {at}") for at, cells in table.records)
        rows = [(row_of(cells, choice, is_text=table.is_text, where=where), at) for at, cells, where in places]
        notes = [*found.notes, *choice.notes]
    if not rows:
        raise ProfileError("file holds no prompts", expected="at least one prompt", where=str(path))
    prompts = [
        RawPrompt(fitted(PromptRow, row, f"{path}, {at}", ProfileError), f"{path.name}, {at}") for row, at in rows
    ]
    return Prompts(prompts, [f"{path.name}: {note}" for note in notes])


def read_table(path: Path, names: Sequence[str]) -> tuple[Table, list[str]]:
    """A file of any program as a table, whatever its columns, and notes on how it was read.

    A JSON mapping of lists of one length is a table by its columns. ``names``: where the header of a CSV file holds one
    of them, its cells are parted.

    Raises:
        ProfileError: the file cannot be read, has another suffix, is broken, or is no table.
    """
    reader = _reader_of(path)
    data = _json_data(path) if reader is _json else reader(path, names)
    found = data if isinstance(data, _Found) else _by_columns(data, path)
    if len(found.records) > PROMPT_LIMIT_COUNT:
        raise ProfileError("too many prompts", expected=f"at most {PROMPT_LIMIT_COUNT:,}", where=str(path))
    if not found.records or found.columns is None:
        raise ProfileError("file is no table", expected="records with columns", got="texts alone", where=str(path))
    return Table(str(path), found.columns, found.records, found.is_text), found.notes


def _names(reading: Reading) -> Sequence[str]:
    return TEXT_NAMES if reading.text_column is None else (reading.text_column,)


def _reader_of(path: Path) -> Callable[[Path, Sequence[str]], _Found]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        is_workbook = path.suffix.lower() in (".xlsx", ".xls", ".ods")
        raise ProfileError(
            f'prompt file "{path.name}" has no known form',
            expected=f"a file that ends in {', '.join(SUFFIXES)}",
            got=path.suffix or "no suffix",
            where=str(path),
            fix='save the sheet as "CSV UTF-8"' if is_workbook else None,
        )
    return reader


def _json_data(path: Path) -> Any:
    """What a JSON file holds, or the records of JSON lines."""
    text = read_text(path)
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and _is_object(lines[0]):  # no JSON document goes on after its first object
        found = _lines(text, path)
        return _Found(found.records, ["read as JSON lines, an object a line"], found.columns)
    return parse_json(text, lambda line: f"{path}, line {line}")


def _by_columns(data: Any, path: Path) -> _Found:
    if isinstance(data, list):
        return _listed(cast("list[Any]", data), path)
    columns = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    if not columns or not all(isinstance(cells, list) for cells in columns.values()):
        return _table([("line 1", data)]) if columns else _Found([], [])
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len({*lengths.values()}) > 1:
        raise ProfileError(
            "lists have different lengths", expected="one entry for each prompt in each",
            got=", ".join(f"{length} {name}" for name, length in lengths.items()), where=str(path),
        )  # fmt: skip
    rows = zip(*columns.values(), strict=True)
    return _table([(f"[{index}]", dict(zip(columns, row, strict=True))) for index, row in enumerate(rows)])


def _json(path: Path, names: Sequence[str]) -> _Found:
    data = _json_data(path)
    if isinstance(data, _Found):
        return data
    if isinstance(data, list):
        return _listed(cast("list[Any]", data), path)
    if not isinstance(data, dict):
        raise ProfileError(
            "file has the wrong shape",
            expected='a list of texts or of objects, or {"prompts": ["…", …]}',
            got=describe(data),
            where=str(path),
        )
    if "prompts" in data:
        prompts = fitted(PromptList, {"prompts": data["prompts"]}, str(path), ProfileError).prompts
        further = [f'not read: the field "{key}"' for key in data if key != "prompts"]
        return _Found([(f"prompts[{index}]", prompt) for index, prompt in enumerate(prompts)], further)
    if any(_is_said(data.get(name)) for name in (*TEXT_NAMES, *names)):
        return _table([("line 1", data)])  # JSON lines of one line
    raise ProfileError(
        "prompts has the wrong shape",
        expected='{"prompts": ["…", …]}, or a list of texts or of objects',
        got=describe(data),
        where=str(path),
        fix='of a pandas table, to_json(path, orient="records") makes a list of objects',
    )


def _listed(data: list[Any], path: Path) -> _Found:
    is_table = bool(data) and isinstance(data[0], dict)
    for index, item in enumerate(data):
        if not isinstance(item, dict if is_table else str):
            raise ProfileError(
                f"[{index}] has the wrong shape",
                expected="an object, as the first one" if is_table else "text",
                got=describe(item),
                where=str(path),
            )
    records = [(f"[{index}]", item) for index, item in enumerate(data)]
    return _table(records) if is_table else _Found(records, [])


def _lines(text: str, path: Path) -> _Found:
    records: list[tuple[str, Any]] = []
    # Not splitlines: it also cuts at characters that may stand inside a JSON string, such as U+2028.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{path}, line {number}"
            data = parse_json(line.removesuffix("\r"), lambda _, place=place: place)
            if not isinstance(data, dict):
                is_list = isinstance(data, list) and number == 1
                raise ProfileError(
                    "row has the wrong shape",
                    expected='an object, {"text": "…", "concept": "…"}',
                    got=describe(data),
                    where=place,
                    fix="name it .json, if the whole file is one list" if is_list else None,
                )
            records.append((f"line {number}", data))
            if len(records) > PROMPT_LIMIT_COUNT:
                break
    return _table(records)


def _table(records: list[tuple[str, Any]]) -> _Found:
    return _Found(records, [], list(dict.fromkeys(key for _, record in records for key in record)))


def _text(path: Path, _: Sequence[str]) -> _Found:
    lines = enumerate(read_text(path).split("\n"), start=1)
    return _Found([(f"line {number}", line.removesuffix("\r")) for number, line in lines if line.strip()], [])


def _delimited(path: Path, names: Sequence[str], signs: Sequence[str]) -> _Found:
    text, skipped_lines = read_text(path), 0
    if said := _SEP_LINE.match(text):
        text, signs, skipped_lines = text[said.end() :], said["sign"], 1
    asked = {name.casefold() for name in names}
    headers = {sign: _header(text, sign, path) for sign in signs}
    fitting = [sign for sign, columns in headers.items() if asked & {column.casefold() for column in columns}]
    widest = max(headers, key=lambda sign: len(headers[sign]))  # only to say what is not there
    errors: list[ProfileError] = []
    for sign in fitting or [widest]:
        try:
            found = _cells(text, sign, headers[sign], path, skipped_lines)
        except ProfileError as error:
            errors.append(error)
            continue
        notes = [] if sign in (",", signs[0]) and not said else [f"cells are parted by {_SIGN_NAMES.get(sign, sign)}"]
        return _Found(found, notes, headers[sign], is_text=True)
    raise errors[0]


def _header(text: str, sign: str, path: Path) -> list[str]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign)
    try:
        cells = next((cells for cells in reader if any(cell.strip() for cell in cells)), [])
    except csv.Error as error:
        raise ProfileError("CSV is broken", got=str(error), where=f"{path}, line {reader.line_num}") from error
    columns = [cell.strip() for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    return columns


def _cells(text: str, sign: str, columns: list[str], path: Path, skipped_lines: int) -> list[tuple[str, Any]]:
    twice = [column for column in columns if column and columns.count(column) > 1]
    if twice:
        raise ProfileError(f'column "{twice[0]}" stands twice', expected="each column once", where=str(path))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True)
    records: list[tuple[str, Any]] = []
    has_header = False
    try:
        for cells in reader:
            at = f"line {reader.line_num + skipped_lines}"
            if not any(cell.strip() for cell in cells):
                continue
            if not has_header:
                has_header = True
                continue
            if len(cells) < len(columns) or any(cell.strip() for cell in cells[len(columns) :]):
                raise ProfileError(
                    "row has the wrong number of cells",
                    expected=f"{len(columns)}: {', '.join(columns)}",
                    got=f"{len(cells)}",
                    where=f"{path}, {at}",
                    fix=f"put text that holds {_SIGN_NAMES.get(sign, sign)} in double quotes",
                )
            records.append((at, dict(zip(columns, cells, strict=False))))
            if len(records) > PROMPT_LIMIT_COUNT:
                break
    except csv.Error as error:
        where = f"{path}, line {reader.line_num + skipped_lines}"
        raise ProfileError("CSV is broken", got=str(error), where=where) from error
    return records


def _parquet(path: Path, _: Sequence[str]) -> _Found:
    try:
        pa: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ProfileError(
            "Parquet needs a package that is not installed", got="no pyarrow", where=str(path),
            fix='pip install "headscope[parquet]"',
        ) from error  # fmt: skip
    data = read_bytes(path, PROMPT_FILE_LIMIT_BYTES)
    records: list[tuple[str, Any]] = []
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        columns = list(map(str, file.schema_arrow.names))
        # A small file can unfold into a large one, so it is read by pieces, and only so far.
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH_ROWS, use_threads=False):
            records += [(f"row {len(records) + at}", cells) for at, cells in enumerate(batch.to_pylist(), start=1)]
            if len(records) > PROMPT_LIMIT_COUNT:
                break
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise ProfileError("Parquet is broken", got=str(error).splitlines()[0][:200], where=str(path)) from error
    return _Found(records, [], columns)


def _is_said(value: object) -> bool:
    """Whether a value can be a prompt: a text, or messages."""
    return isinstance(value, str) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


_READERS: dict[str, Callable[[Path, Sequence[str]], _Found]] = {
    ".jsonl": lambda path, _: _lines(read_text(path), path),
    ".csv": lambda path, names: _delimited(path, names, ",;\t|"),
    ".json": _json,
    ".txt": _text,
    ".tsv": lambda path, names: _delimited(path, names, "\t"),
    ".parquet": _parquet,
}
SUFFIXES = tuple(_READERS)
