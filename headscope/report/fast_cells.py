"""Cells of the report's part on fast scores: agreement with exact effects, where they disagree, direct beside total."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from headscope.plots.fast_vs_exact import both_ways
from headscope.report.cells import Table
from headscope.report.escaping import code, plain
from headscope.report.numbers import count, interval, number
from headscope.report.phrases import named

SELF_REPAIR = "self_repair_nats"
_SHOWN = 5


def agreement_cells(tables: Mapping[str, pd.DataFrame]) -> Table:
    """Each score's agreement with the exact effects of the heads that were measured both ways."""
    table = tables.get("agreement", pd.DataFrame())
    columns = ("spearman_abs", "spearman_signed", "rank_of_top_effect", "precision_at_k", "recall", "recall_low")
    return Table(
        [
            [
                plain(row["concept"]),
                code(row["measure"]),
                count(row["n_heads"]),
                count(row["k"]),
                *(number(row[c]) for c in columns),
            ]
            for row in table.to_dict("records")
        ]
    )


def agreement_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Which heads the agreement is about, in a sentence each."""
    table = tables.get("agreement")
    return [] if table is None else [str(note) for note in dict.fromkeys(table["note"])]


def disagreement_cells(tables: Mapping[str, pd.DataFrame]) -> Table:
    """For each concept the heads whose exact effect is farthest from the first-order prediction of the same edit."""
    scores = tables.get("scores")
    if scores is None:
        return Table()
    rows = both_ways(scores)
    rows = rows.assign(off=(rows["exact_estimate"] - rows["estimate"]).abs())
    rows = rows.sort_values("off", ascending=False, kind="stable")
    return Table(
        [
            [
                plain(row["concept"]),
                f"L{int(row['layer'])}H{int(row['head'])}",
                number(row["estimate"]),
                number(row["exact_estimate"]),
                interval(row["exact_sim_low"], row["exact_sim_high"]),
            ]
            for concept in dict.fromkeys(scores["concept"])
            for row in rows[rows["concept"] == concept].head(_SHOWN).to_dict("records")
        ]
    )


def repair_cells(tables: Mapping[str, pd.DataFrame]) -> Table:
    """For each concept the heads whose total effect differs most from their direct one."""
    effects = tables.get("effects")
    if effects is None:
        return Table()
    rows = effects[effects["outcome"] == SELF_REPAIR]
    rows = rows.reindex(rows["estimate"].abs().sort_values(ascending=False, kind="stable").index)
    return Table(
        [
            [
                plain(row["concept"]),
                named(str(row["heads"])),
                number(row["baseline_mean"]),
                number(row["edited_mean"]),
                number(row["estimate"]),
                interval(row["ci_low"], row["ci_high"]),
            ]
            for concept in dict.fromkeys(effects["concept"])
            for row in rows[rows["concept"] == concept].head(_SHOWN).to_dict("records")
        ]
    )
