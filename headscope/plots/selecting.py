"""Which rows of a run's tables a picture or a section of the report is about.

A table such as ``screen`` holds every query, measure and control side by side. A picture shows one value a head: the
one by which ``stats.ranking`` ranks heads, so that pictures, ranking and report speak of the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from headscope.errors import RequestError
from headscope.stats.ranking import OVERALL, primary_screen, rank_heads, single_effects
from headscope.terms import DAMAGE_OUTCOMES, DECIDING_EDIT, SET_ROLES


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
    """One row a concept and head: ``measure`` at the query and the kind of control by which heads are ranked."""
    require_columns(screen, ("concept", "layer", "head", "query", "measure", "control", "estimate"), "screen")
    return primary_screen(screen, measure=measure)


def lone_effects(effects: pd.DataFrame, edit: str = DECIDING_EDIT, outcome: str | None = None) -> pd.DataFrame:
    """The effects of heads edited one at a time, on the primary outcome or another: one row a concept and head."""
    require_columns(effects, ("concept", "layer", "head", "role", "edit", "outcome", "estimate"), "effects")
    rows = single_effects(effects, edit=edit, outcome=outcome)
    return rows.astype({"layer": int, "head": int}).reset_index(drop=True)


def beside(
    screen: pd.DataFrame, effects: pd.DataFrame, verdicts: pd.DataFrame | None = None, measure: str = "attention"
) -> pd.DataFrame:
    """One row a concept and head for which both a screening difference and an effect were measured.

    Columns as in the ``ranking`` table; best effect first; ``verdict`` empty where there is none.
    """
    if single_effects(effects).empty or screen_rows(screen, measure).empty:
        return pd.DataFrame(columns=["concept", "layer", "head", "screen_delta", "effect_estimate", "verdict"])
    return both_known(rank_heads(screen, effects, verdicts, top_n=None, by="effect", measure=measure))


def both_known(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a ranking of all heads, without the pooled ones, of which both kinds of evidence are known."""
    table = table[(table["concept"] != OVERALL) & table["screen_delta"].notna() & table["effect_estimate"].notna()]
    return table.assign(verdict=table["verdict"].astype("object").where(table["verdict"].notna(), "")).reset_index(
        drop=True
    )


def head_grid(rows: pd.DataFrame, column: str, shape: tuple[int, int]) -> np.ndarray:
    """``column`` of one concept's rows as float64 [layer, head]; NaN where a head has no row or no value."""
    grid = np.full(shape, np.nan)
    grid[rows["layer"].to_numpy(dtype=int), rows["head"].to_numpy(dtype=int)] = numbers(rows, column)
    return grid


def grid_shape(rows: pd.DataFrame) -> tuple[int, int]:
    """(layers, heads) that the rows' addresses need."""
    return (int(rows["layer"].max()) + 1, int(rows["head"].max()) + 1)


def head_sets(effects: pd.DataFrame, roles: Sequence[str] = SET_ROLES) -> list[tuple[str, str]]:
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
