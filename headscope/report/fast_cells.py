"""The report's tables on fast scores: agreement with exact effects, where they disagree, direct beside total."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from headscope.plots.fast_vs_exact import both_ways
from headscope.report.document import Foreign, Table, Verbatim
from headscope.report.numbers import count, interval, number
from headscope.report.telling import head_names

SELF_REPAIR = "self_repair_nats"
_SHOWN = 5


def agreement_table(tables: Mapping[str, pd.DataFrame]) -> Table:
    """Each score's agreement with the exact effects of the heads that were measured both ways."""
    values = ("spearman_abs", "spearman_signed", "rank_of_top_effect", "precision_at_k", "recall", "recall_low")
    columns = "concept score n_heads k rho_abs rho_signed rank_of_strongest top_k_found recall recall_low"
    return Table(
        tuple(columns.split()),
        [
            [
                Foreign(row["concept"]),
                Verbatim(str(row["measure"])),
                count(row["n_heads"]),
                count(row["k"]),
                *(number(row[name]) for name in values),
            ]
            for row in tables.get("agreement", pd.DataFrame()).to_dict("records")
        ],
    )


def disagreement_table(tables: Mapping[str, pd.DataFrame]) -> Table:
    """For each concept the heads whose exact effect is farthest from the first-order prediction of the same edit."""
    table = Table(("concept", "head", "predicted", "exact", "sim_ci"))
    scores = tables.get("scores")
    if scores is None:
        return table
    rows = both_ways(scores)
    rows = rows.assign(off=(rows["exact_estimate"] - rows["estimate"]).abs())
    rows = rows.sort_values("off", ascending=False, kind="stable")
    table.rows = [
        [
            Foreign(row["concept"]),
            f"L{int(row['layer'])}H{int(row['head'])}",
            number(row["estimate"]),
            number(row["exact_estimate"]),
            interval(row["exact_sim_low"], row["exact_sim_high"]),
        ]
        for concept in dict.fromkeys(scores["concept"])
        for row in rows[rows["concept"] == concept].head(_SHOWN).to_dict("records")
    ]
    return table


def repair_table(tables: Mapping[str, pd.DataFrame]) -> Table:
    """For each concept the heads whose total effect differs most from their direct one."""
    table = Table(("concept", "head", "direct", "total", "total_minus_direct", "ci"))
    effects = tables.get("effects")
    if effects is None:
        return table
    rows = effects[effects["outcome"] == SELF_REPAIR]
    rows = rows.reindex(rows["estimate"].abs().sort_values(ascending=False, kind="stable").index)
    table.rows = [
        [
            Foreign(row["concept"]),
            head_names(str(row["heads"])),
            number(row["baseline_mean"]),
            number(row["edited_mean"]),
            number(row["estimate"]),
            interval(row["ci_low"], row["ci_high"]),
        ]
        for concept in dict.fromkeys(effects["concept"])
        for row in rows[rows["concept"] == concept].head(_SHOWN).to_dict("records")
    ]
    return table
