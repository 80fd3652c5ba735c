"""What the user sees: tables on standard output, progress and warnings on standard error, or one JSON object.

Standard output carries results only, so that it can be piped; progress is bars on a terminal and lines elsewhere. A
console that cannot show a sign (Windows' cp1252 and cp932 lack many) gets its ASCII spelling. Files are UTF-8 whatever
it can show.
"""

from __future__ import annotations

import codecs
import io
import json
import math
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from headscope.cli.progress_lines import ProgressLines

if TYPE_CHECKING:
    import pandas as pd

_PIPE_COLUMNS = 240
_ERRORS = "headscope.console"
_SPELLED = {
    "−": "-",
    "–": "-",
    "—": "-",
    "×": "x",
    "Δ": "Delta",
    "→": "->",
    "…": "...",
    "≥": ">=",
    "≤": "<=",
}

ProgressCall: TypeAlias = Callable[[str, int, int], None]


def show_what_can_be_shown() -> None:
    """From here on standard output and error spell what their encoding lacks, instead of failing at it."""
    codecs.register_error(_ERRORS, _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(_SPELLED.get(each) or each.encode("ascii", "backslashreplace").decode() for each in signs), error.end


@contextmanager
def progress(quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> Generator[ProgressCall | None]:
    """On standard error a bar with the time left for each stage that runs, where that is a terminal; else lines.

    The yielded function takes a stage's name, how much of it is done, and how much there is; None where ``quiet``.
    ``clock`` gives the seconds that the lines tell.
    """
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield ProgressLines(note, clock)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)
            if done >= total:
                bars.remove_task(tasks.pop(stage))

        yield advance


def say(text: str) -> None:
    """One line on standard output, never wrapped or styled."""
    print(text)


def note(text: str) -> None:
    """One remark on standard error."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """One warning on standard error."""
    print(f"warning: {text}", file=sys.stderr)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on standard output; missing numbers are null, because JSON has no NaN.

    Where the console lacks a sign all of them are written as JSON's escapes, which a reader turns back.
    """
    from headscope.runs.atomic import plain

    content = plain(value)
    text = json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(content, indent=2, sort_keys=True)
    print(text)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as mappings; what is missing is None."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(column): value for column, value in row.items()} for row in rows]


def print_table(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    styles: Mapping[str, str] | None = None,
) -> None:
    """A table on standard output.

    ``columns``: key in the row -> heading, in order; None in a row (see ``records``) is printed as a dash; ``styles``:
    a cell's whole text -> rich's style for it, on a terminal.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for key, heading in columns.items():
        numeric = all(isinstance(row.get(key), int | float | None) for row in rows)
        table.add_column(heading, justify="right" if numeric else "left")
    for row in rows:
        cells = [_cell(row.get(key)) for key in columns]
        # As text: a cell may hold what rich would take for its own markup ("[/INST]").
        table.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in cells))
    # Rich takes a pipe for 80 columns wide and would fold cells into it.
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)
