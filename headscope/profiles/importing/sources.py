"""Where a file of tasks is: a file, a data set on the Hugging Face hub (``hf:NAME[:CONFIG][@SPLIT]``), or a folder that
``datasets`` saved one to. The last two need the package ``datasets``; of data sets that bring code nothing is run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, cast

from headscope.errors import ProfileError
from headscope.profiles.columns import Table
from headscope.profiles.explaining import some_of
from headscope.profiles.files import PROMPT_LIMIT_COUNT, expanded
from headscope.profiles.formats import read_table
from headscope.profiles.importing.registry import COLUMNS

HUB = "hf:"
_SAVED = ("dataset_info.json", "dataset_dict.json")


def read_source(source: str) -> tuple[Table, list[str], str]:
    """The table that ``source`` names, notes on how it was read, and a name for the profile.

    Raises:
        ProfileError: there is none, it cannot be read, or a package is missing.
    """
    if source.startswith(HUB):
        name, _, split = source.removeprefix(HUB).partition("@")
        name, _, config = name.partition(":")
        # A data set's own name may hold a slash, never a colon or an @.
        table = _of_datasets(source, lambda sets: sets.load_dataset(name, config or None, split=split or None))
        return table, [], config or name.rpartition("/")[2]
    path = expanded(source)
    if any((path / file).is_file() for file in _SAVED):
        return _of_datasets(str(path), lambda sets: sets.load_from_disk(str(path))), [], path.resolve().name
    table, notes = read_table(path, COLUMNS)
    return table, notes, path.stem


def _of_datasets(source: str, load: Callable[[Any], Any]) -> Table:
    try:
        sets: Any = importlib.import_module("datasets")
    except ImportError as error:
        raise ProfileError(
            "a data set of the package datasets needs a package that is not installed", got="no datasets",
            where=source, fix='pip install "headscope[datasets]", or export its rows as JSONL or Parquet',
        ) from error  # fmt: skip
    try:
        loaded = load(sets)
        loaded = _one_split(loaded, source) if isinstance(loaded, Mapping) else loaded
        columns: list[str] = list(map(str, loaded.column_names))
        if len(loaded) > PROMPT_LIMIT_COUNT:
            raise ProfileError("too many rows", expected=f"at most {PROMPT_LIMIT_COUNT:,}", where=source)
        records = [(f"row {number}", dict(row)) for number, row in enumerate(loaded, start=1)]
    except (OSError, ValueError, RuntimeError, sets.exceptions.DatasetsError) as error:  # offline is an OSError
        raise ProfileError(
            "data set cannot be read",
            expected="hf:NAME, hf:NAME:CONFIG, or either with @SPLIT, and a hub that can be reached",
            got=(str(error).splitlines() or [type(error).__name__])[0][:300],
            where=source,
            fix="without a network: export its rows as JSONL or Parquet elsewhere and import that file",
        ) from error
    if not records:
        raise ProfileError("data set is empty", expected="at least one row", where=source)
    return Table(source, columns, records, is_text=False)


def _one_split(splits: Any, source: str) -> Any:
    names = list(map(str, cast("Mapping[str, Any]", splits)))
    if len(names) != 1:
        of_hub = source.startswith(HUB)
        raise ProfileError(
            "data set has several splits", expected="one of them", got=some_of(names), where=source,
            fix=f"{source}@{names[0]}" if of_hub and names else "name the folder of one of them",
        )  # fmt: skip
    return splits[names[0]]
