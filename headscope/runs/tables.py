"""Tables of a run folder, from their files; ``tables.csv`` says what stands in them."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pandas as pd

from headscope.errors import RequestError
from headscope.profiles.files import open_plain
from headscope.tables.csv import check_name, text_to_table

TABLE_LIMIT_BYTES = 2**30


def read_table(path: str | Path, name: str) -> pd.DataFrame:
    """The table ``name`` from a CSV file, its columns in the table's order and of its kinds.

    Raises:
        RequestError: no such table, missing, too large, not UTF-8, or not what ``tables.csv.text_to_table`` reads.
    """
    check_name(name)
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
            return text_to_table(name, lines, str(path))
    except FileNotFoundError as error:
        raise RequestError(f'table "{name}" is missing', where=str(path)) from error
    except (OSError, ValueError, csv.Error) as error:
        raise RequestError(f'table "{name}" cannot be read', got=str(error), where=str(path)) from error
