"""Heads in order, and what each is to each concept: from tables alone, without the model."""

from __future__ import annotations

from typing import Any

import pandas as pd
import xarray as xr

from headscope.stats.attending import attending
from headscope.stats.ranking import By, layer_table, rank_heads
from headscope.stats.verdicts import Criteria, judge
from headscope.verbs.result import Result


class RankResult(Result):
    """``tables``: ranking, layers and, where there are effects, verdicts."""


def rank(
    screen: Result | pd.DataFrame | None,
    effects: Result | pd.DataFrame | None = None,
    *,
    assay: pd.DataFrame | None = None,
    regions: pd.DataFrame | None = None,
    probes: pd.DataFrame | None = None,
    top_n: int | None = 10,
    by: By | None = None,
    signed: bool = False,
    criteria: Criteria | None = None,
) -> RankResult:
    """Rank heads, sum them up by layer, and judge them.

    Args:
        screen: result or table of ``screen``; None where none was made.
        effects: result or table of ``sweep`` or ``ablate``; None where none was made.
        assay: the assay table that belongs to ``effects``; taken from the result where one is given.
        regions: table ``attention_by_region``, whose shares the verdicts' reasons name; None where it was not made.
        probes: table ``probes``, shown beside the ranks; None where it was not made.
        top_n: heads for each concept and overall; None for all.
        by: ``screen`` or ``effect``; None ranks by each that was measured, one after the other.
        signed: keep the sign instead of ranking by magnitude.
        criteria: what decides a verdict.
    """
    looked = screen.table if isinstance(screen, Result) else screen
    if isinstance(effects, Result):
        assay = effects.tables.get("assay") if assay is None else assay
        done: pd.DataFrame | None = effects.table
    else:
        done = effects
    used = criteria or Criteria()
    tables: dict[str, pd.DataFrame] = {}
    if done is not None and assay is not None:
        tables["verdicts"] = judge(done, looked, assay, regions=regions, criteria=used)
    measured: dict[By, pd.DataFrame | None] = {"screen": looked, "effect": done}
    orders: list[By] = [kind for kind, table in measured.items() if table is not None] if by is None else [by]
    ranking = pd.concat(
        [
            rank_heads(looked, done, tables.get("verdicts"), top_n=top_n, probes=probes, by=order, signed=signed)
            for order in orders
        ],
        ignore_index=True,
    )
    answers = attending(looked, used.minimum_attention_share, query=used.query)
    tables = {"ranking": ranking, "layers": layer_table(looked, done, answers=answers), **tables}
    record: dict[str, Any] = {"by": orders, "top_n": top_n, "signed": signed, "criteria": vars(used)}
    return RankResult(tables, xr.Dataset(), record, "ranking")
