"""The report's tables on fast scores: agreement with exact effects, where they disagree, direct beside total."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from headscope.plots.fast_vs_exact import both_ways
from headscope.report.cells import CONCEPT, INTERVAL, head_at, of, records, table_of
from headscope.report.document import Table, Verbatim
from headscope.report.numbers import count, interval, number
from headscope.report.telling import head_names

SELF_REPAIR = "self_repair_nats"
_SHOWN = 5


def agreement_table(tables: Mapping[str, pd.DataFrame]) -> Table:
    """Each score's agreement with the exact effects of the heads that were measured both ways."""
    return table_of(
        records(tables.get("agreement", pd.DataFrame())),
        CONCEPT,
        of(lambda measure: Verbatim(str(measure)), score="measure"),
        of(count, n_heads="n_heads", k="k"),
        of(number, rho_abs="spearman_abs", rho_signed="spearman_signed", rank_of_strongest="rank_of_top_effect"),
        of(number, top_k_found="precision_at_k", recall="recall", recall_low="recall_low"),
    )


def disagreement_table(tables: Mapping[str, pd.DataFrame]) -> Table:
    """For each concept the heads whose exact effect is farthest from the first-order prediction of the same edit."""
    scores = tables.get("scores")
    rows = pd.DataFrame() if scores is None else both_ways(scores)
    return table_of(
        [] if scores is None else _largest(rows, rows["exact_estimate"] - rows["estimate"], scores),
        CONCEPT,
        of(head_at, head="layer head"),
        of(number, predicted="estimate", exact="exact_estimate"),
        of(interval, sim_ci="exact_sim_low exact_sim_high"),
    )


def repair_table(tables: Mapping[str, pd.DataFrame]) -> Table:
    """For each concept the heads whose total effect differs most from their direct one."""
    effects = tables.get("effects")
    rows = pd.DataFrame() if effects is None else effects[effects["outcome"] == SELF_REPAIR]
    return table_of(
        [] if effects is None else _largest(rows, rows["estimate"], effects),
        CONCEPT,
        of(head_names, head="heads"),
        of(number, direct="baseline_mean", total="edited_mean", total_minus_direct="estimate"),
        INTERVAL,
    )


def _largest(rows: pd.DataFrame, by: pd.Series, whole: pd.DataFrame) -> list[dict[object, object]]:
    """Of each concept of the ``whole`` table the rows that are largest in size."""
    rows = rows.loc[by.abs().sort_values(ascending=False, kind="stable").index]
    concepts = dict.fromkeys(whole["concept"])
    return [row for concept in concepts for row in records(rows[rows["concept"] == concept].head(_SHOWN))]
