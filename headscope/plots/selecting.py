"""Which rows of a run's tables a picture or a section of the report is about.

A table such as ``screen`` holds every query, measure and control side by side. A picture shows one value a head, so
each concept contributes the rows of the first query and the first control it has, in the order in which the science
prefers them; a concept without equal pairs, for example, is shown by its length-matched controls and not left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from headscope.errors import RequestError

ALPHA = 0.05
"""The level at which a q or a family-wise p counts as evidence."""

PRIMARY_OUTCOME = "lexicon_logodds_nats"
"""The one outcome that decides: log-odds of the concept's lexicon against its control lexicon, in nats."""

DAMAGE_OUTCOMES = ("kl_nats_per_token", "perplexity_ratio")
"""What an edit does to control prompts; their rows carry the control class in the place of a concept."""

DECIDING_EDIT = "mean"
OVERALL = "overall"
QUERIES = ("last", "after", "self", "phase6")
CONTROLS = ("paired_equal", "length_matched", "paired_unequal_per_token", "phase6_unpaired")


def require_columns(table: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    """Raise RequestError where ``table`` lacks one of ``columns``; ``name`` is the table's name for the message."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise RequestError(
            f'table "{name}" lacks {", ".join(missing)}',
            expected=", ".join(columns),
            got=", ".join(map(str, table.columns)) or "no columns",
            fix="make the run folder again, or take the table from an unedited one",
        )


def concepts_of(table: pd.DataFrame) -> list[str]:
    """The concepts of a table in order of first appearance, without the pooled ``overall``."""
    return [str(concept) for concept in dict.fromkeys(table["concept"]) if concept != OVERALL]


def numbers(table: pd.DataFrame, column: str) -> np.ndarray:
    """A column as float64 [rows], NaN where the column or the value is missing."""
    if column not in table.columns:
        return np.full(len(table), np.nan)
    return pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def screen_rows(screen: pd.DataFrame, measure: str = "attention") -> pd.DataFrame:
    """One row a concept and head: ``measure`` at each concept's preferred query and control (see the module)."""
    require_columns(screen, ("concept", "layer", "head", "estimate"), "screen")
    rows = screen[screen["measure"] == measure] if "measure" in screen.columns else screen
    parts = [
        _preferred(_preferred(part, "query", QUERIES), "control", CONTROLS)
        for _, part in rows.groupby("concept", sort=False)
    ]
    return pd.concat(parts, ignore_index=True) if parts else rows.copy()


def _preferred(rows: pd.DataFrame, column: str, order: Sequence[str]) -> pd.DataFrame:
    """The rows whose ``column`` is the first of ``order`` that has any value; all rows where there is no column."""
    if column not in rows.columns:
        return rows
    measured = rows.loc[rows["estimate"].notna(), column]
    present = set(measured if len(measured) else rows[column])
    for choice in (*order, *sorted(map(str, present - set(order)))):
        if choice in present:
            return rows[rows[column] == choice]
    return rows


def single_effects(effects: pd.DataFrame, edit: str = DECIDING_EDIT, outcome: str = PRIMARY_OUTCOME) -> pd.DataFrame:
    """The effects of heads edited one at a time: one row a concept and head."""
    require_columns(effects, ("concept", "layer", "head", "role", "edit", "outcome", "estimate"), "effects")
    chosen = effects[(effects["role"] == "single") & (effects["edit"] == edit) & (effects["outcome"] == outcome)]
    return chosen.astype({"layer": int, "head": int}).reset_index(drop=True)


def head_grid(rows: pd.DataFrame, column: str, shape: tuple[int, int]) -> np.ndarray:
    """``column`` of one concept's rows as float64 [layer, head]; NaN where a head has no row or no value."""
    grid = np.full(shape, np.nan)
    grid[rows["layer"].to_numpy(dtype=int), rows["head"].to_numpy(dtype=int)] = numbers(rows, column)
    return grid


def grid_shape(rows: pd.DataFrame) -> tuple[int, int]:
    """(layers, heads) that the rows' addresses need."""
    return (int(rows["layer"].max()) + 1, int(rows["head"].max()) + 1)


def head_sets(effects: pd.DataFrame, roles: Sequence[str] = ("requested", "joint_top")) -> list[tuple[str, str]]:
    """(concept, heads) of every edited set in order of first appearance, sets asked for before the top sets.

    The control class, on whose prompts only damage is measured, is not among the concepts.
    """
    require_columns(effects, ("concept", "heads", "role", "outcome"), "effects")
    on_concepts = effects[~effects["outcome"].isin(DAMAGE_OUTCOMES)]
    found: dict[tuple[str, str], None] = {}
    for role in roles:
        rows = on_concepts[on_concepts["role"] == role]
        found.update(dict.fromkeys((str(c), str(h)) for c, h in zip(rows["concept"], rows["heads"], strict=True)))
    return list(found)


def head_name(row: Any) -> str:
    """The head of a table row (a mapping with layer and head) as papers write it, e.g. ``L1H10``."""
    return f"L{int(row['layer'])}H{int(row['head'])}"
