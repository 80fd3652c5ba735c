"""What was turned up, with all that belongs to it: rows of the steering tables, grouped for pictures and report.

Doses are measured from where nothing is edited: 0, of `scale` 1. No row stands there, because nothing happens there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from headscope.plots.selecting import numbers, require_columns
from headscope.terms import DAMAGE_OUTCOMES, KL, PERPLEXITY_RATIO, PRIMARIES, RESIDUAL

_SETTINGS = ["concept", "target", "heads", "edit", "vector", "scope"]
_OF_DOSE = ("estimate", "ci_low", "ci_high", "sim_low", "sim_high", "n_prompts", "n_templates")


@dataclass(frozen=True)
class Steered:
    """A head or a set that was turned up one way.

    Attributes:
        doses: a row a dose, ascending: ``dose``; ``estimate`` (nats), ``ci_low`` .. ``sim_high`` of the primary
            outcome; ``ratio``, ``ratio_low``, ``ratio_high``, the perplexity ratio of control text, and ``kl``, its
            divergence in nats per token, NaN where they were not measured.
        others: what the same doses do to other concepts' log-odds: ``concept``, ``dose``, ``estimate`` (nats),
            ``ci_low``, ``ci_high``; no rows for a task, or where there are no others.
        slope: its row of ``dose_response``; empty where there is none.
        residual: the same doses in the residual stream, as ``doses``; no rows where they were not tried.
        residual_slope: as ``slope``.
        nulls: its rows of ``steering_nulls``.
    """

    concept: str
    target: str
    heads: str
    edit: str
    vector: str
    scope: str
    doses: pd.DataFrame
    others: pd.DataFrame
    slope: Mapping[Any, Any]
    residual: pd.DataFrame
    residual_slope: Mapping[Any, Any]
    nulls: pd.DataFrame

    @property
    def unedited(self) -> float:
        """The dose at which nothing is edited."""
        return unedited_dose(self.edit)

    @property
    def judged(self) -> pd.DataFrame:
        """The doses that a verdict is about: those above no edit, where there are none those below it."""
        above = self.doses[self.doses["dose"] > self.unedited]
        return above if len(above) else self.doses

    @property
    def measured_damage(self) -> bool:
        """Whether the damage of any dose is known."""
        return bool(self.doses["ratio"].notna().any())

    @property
    def reach(self) -> float:
        """The largest effect of any dose in magnitude, nats; NaN where none was measured."""
        return float(self.doses["estimate"].abs().max())

    def drawn(self, null: str) -> pd.DataFrame:
        """The rows of one kind of null, by draw and dose."""
        return self.nulls[self.nulls["null"] == null].sort_values(["draw", "dose"], kind="stable")


def unedited_dose(edit: str) -> float:
    """The dose at which nothing is edited."""
    return 1.0 if edit == "scale" else 0.0


def steered_of(tables: Mapping[str, pd.DataFrame]) -> list[Steered]:
    """Every head or set that was turned up, in the order of the table ``steering``.

    Args:
        tables: ``steering``; ``dose_response`` and ``steering_nulls`` where there are such.

    Raises:
        RequestError: a table lacks a column.
    """
    steering = tables.get("steering")
    if steering is None or steering.empty:
        return []
    require_columns(steering, (*_SETTINGS, "role", "dose", "outcome", "estimate"), "steering")
    slopes, nulls = tables.get("dose_response", pd.DataFrame()), tables.get("steering_nulls", pd.DataFrame())
    primary = steering[steering["outcome"].isin(PRIMARIES) & (steering["role"] != RESIDUAL)]
    found: list[Steered] = []
    for key in dict.fromkeys(primary[_SETTINGS].astype(str).itertuples(index=False, name=None)):
        one = dict(zip(_SETTINGS, key, strict=True))
        mine, residual = (_matching(steering, one, of_heads=of_heads) for of_heads in (True, False))
        found.append(
            Steered(
                **one,
                doses=_by_dose(mine),
                others=_others(mine),
                slope=_first(_matching(slopes, one, of_heads=True)),
                residual=_by_dose(residual),
                residual_slope=_first(_matching(slopes, one, of_heads=False)),
                nulls=_nulls(nulls, one),
            )
        )
    return found


def _matching(table: pd.DataFrame, one: Mapping[str, str], *, of_heads: bool) -> pd.DataFrame:
    """The rows of one setting: of its heads, else of the residual stream that is compared with them."""
    if table.empty:
        return table
    rows = table[(table["role"] != RESIDUAL) == of_heads]
    for name in ("concept", "heads", "edit", "vector", "scope"):
        rows = rows[rows[name].astype(str) == one[name]]
    mine = rows["target"].astype(str) == one["target"]
    # Damage is measured on control text, whatever the prompts that are steered.
    return rows[mine | rows["outcome"].isin(DAMAGE_OUTCOMES)] if "outcome" in rows.columns else rows[mine]


def _by_dose(rows: pd.DataFrame) -> pd.DataFrame:
    if rows.empty:
        return pd.DataFrame(columns=["dose", *_OF_DOSE, "ratio", "ratio_low", "ratio_high", "kl"], dtype=float)
    effects = rows[rows["outcome"].isin(PRIMARIES)].drop_duplicates("dose").sort_values("dose", kind="stable")
    table = pd.DataFrame({name: numbers(effects, name) for name in ("dose", *_OF_DOSE)})
    for name, outcome, column in (
        ("ratio", PERPLEXITY_RATIO, "estimate"), ("ratio_low", PERPLEXITY_RATIO, "ci_low"),
        ("ratio_high", PERPLEXITY_RATIO, "ci_high"), ("kl", KL, "estimate"),
    ):  # fmt: skip
        damage = rows[rows["outcome"] == outcome].drop_duplicates("dose").set_index("dose")
        known = dict(zip(damage.index.astype(float), numbers(damage, column), strict=True))
        table[name] = [known.get(dose, np.nan) for dose in table["dose"]]
    return table


def _others(rows: pd.DataFrame) -> pd.DataFrame:
    names = ("dose", "estimate", "ci_low", "ci_high")
    mine = rows[rows["outcome"].astype(str).str.startswith(tuple(f"{name}:" for name in PRIMARIES))]
    concepts = [str(name).partition(":")[2] for name in mine["outcome"]]
    return pd.DataFrame({"concept": concepts, **{name: numbers(mine, name) for name in names}})


def _first(rows: pd.DataFrame) -> Mapping[Any, Any]:
    return next(iter(rows.to_dict("records")), {})


def _nulls(nulls: pd.DataFrame, one: Mapping[str, str]) -> pd.DataFrame:
    if nulls.empty:
        return pd.DataFrame(columns=["null", "draw", "dose", "estimate", "perplexity_ratio"])
    require_columns(nulls, ("concept", "heads", "vector", "null", "draw", "dose", "estimate"), "steering_nulls")
    for name in ("concept", "heads", "vector"):
        nulls = nulls[nulls[name].astype(str) == one[name]]
    return nulls
