"""Refusal sets (``goal, target``, or ``input`` alone): refused, with the way to ask what they ask."""

from __future__ import annotations

from typing import NoReturn

from headscope.errors import ProfileError
from headscope.profiles.columns import Table
from headscope.profiles.importing.kinds import Importer, Wanted


def read(table: Table, _: Wanted) -> NoReturn:
    """Refuse the file.

    Raises:
        ProfileError: always.
    """
    column = _column(table) or "input"
    raise ProfileError(
        "a refusal set is no task: whether a model refuses is read in the text it writes, not in the next words",
        expected="prompts with answers",
        got=f'requests in the column "{column}"',
        where=table.path,
        fix="make a concept of it: headscope profiles new refusal --words sorry,cannot,unable,unfortunately; then "
        f"headscope run ... --profile ./refusal --prompts refusal=FILE --text-column {column}. Its words are counted "
        "in what the model writes with and without a head",
    )


def _column(table: Table) -> str | None:
    columns = {*table.columns}
    if {"goal", "target"} <= columns:
        return "goal"
    return "input" if "input" in columns and "output" not in columns else None


REFUSAL = Importer(
    "refusal",
    "goal and target, or input without output",
    ("goal", "input"),
    lambda table: _column(table) is not None,
    read,
)
