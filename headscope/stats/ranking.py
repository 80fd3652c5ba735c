"""Heads in order, by what they look at or by what they do, with the other beside it.

Rankings read tables, not arrays, so they can be made again from a run folder. The screen is never called importance:
every row carries the screening difference and the causal effect where both were measured. ``overall`` is the mean over
concepts of the signed score, as in the Phase 6 study. ``by |score|`` or signed: a signed ranking by screen starts at
the largest positive difference, a signed ranking by effect at the most negative one, because removing a head that
carries a concept lowers it. Beside both stands, where heads were probed, whether the concept can be read off a head's
output: a head may know without doing.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from headscope.errors import RequestError
from headscope.tables import TABLES
from headscope.terms import AGREEING_EDIT, DECIDING_EDIT, EVEN_SPREAD, PRIMARIES, REQUESTED, SINGLE

OVERALL = "overall"
_CONTROLS = (EVEN_SPREAD, "paired_equal", "length_matched", "phase6_unpaired")
_KEYS = ["concept", "layer", "head"]

By = Literal["screen", "effect"]


def primary_screen(screen: pd.DataFrame, *, query: str | None = None, measure: str = "attention") -> pd.DataFrame:
    """The screening rows that rank heads: one a concept and head.

    Args:
        screen: ``screen`` table.
        query: default ``last`` where there is one, else the table's first.
        measure: e.g. ``attention`` or ``value_weighted``.

    Returns:
        Rows of one query and measure; for each concept of the kind of control that is matched best: of a task an even
        spread over the prompt's own tokens; equal pairs, then
        length-matched controls, then the study's unpaired ones. Unequal pairs are a sensitivity row and never rank.
    """
    rows = screen[screen["measure"] == measure]
    if rows.empty:
        return rows
    queries = list(rows["query"].unique())
    wanted = query if query is not None else ("last" if "last" in queries else queries[0])
    rows = rows[rows["query"] == wanted]
    best: list[pd.DataFrame] = []
    for _, of_concept in rows.groupby("concept", sort=False):
        for control in _CONTROLS:
            found = of_concept[of_concept["control"] == control]
            if found["estimate"].notna().any():
                best.append(found)
                break
    return pd.concat(best, ignore_index=True) if best else rows.iloc[:0]


def single_effects(
    effects: pd.DataFrame | None, *, edit: str = DECIDING_EDIT, scope: str = "all", outcome: str | None = None
) -> pd.DataFrame:
    """The rows of single heads for one edit, scope and outcome: one a concept and head; empty for no effects.

    ``outcome``: None for the primary one.
    """
    if effects is None or effects.empty:
        return pd.DataFrame(columns=[*_KEYS, "estimate", "ci_low", "ci_high", "p_max_t", "sim_low", "sim_high"])
    alone = (effects["role"] == SINGLE) | ((effects["role"] == REQUESTED) & (effects["k"] == 1))
    outcomes = PRIMARIES if outcome is None else (outcome,)
    rows = effects[
        alone & (effects["edit"] == edit) & (effects["scope"] == scope) & effects["outcome"].isin(outcomes)
    ]  # a head that was both swept and requested stands once, as swept
    return rows.sort_values("role", key=lambda role: role != SINGLE, kind="stable").drop_duplicates(_KEYS)


def rank_heads(
    screen: pd.DataFrame | None,
    effects: pd.DataFrame | None = None,
    verdicts: pd.DataFrame | None = None,
    *,
    top_n: int | None = 10,
    probes: pd.DataFrame | None = None,
    by: By = "screen",
    signed: bool = False,
    measure: str = "attention",
) -> pd.DataFrame:
    """The ``ranking`` table: the top heads of each concept and overall.

    Args:
        screen: ``screen`` table; may be None where ``by`` is ``effect``.
        effects: ``effects`` table; may be None where ``by`` is ``screen``.
        verdicts: ``verdicts`` table; its single-head verdicts are shown beside the ranks.
        top_n: heads for each concept; None is all.
        probes: ``probes`` table, shown beside the ranks; None where none was made.
        by: rank by screening difference or by causal effect.
        signed: keep the sign instead of ranking by magnitude; see the module's docstring for the direction.
        measure: screening measure that ranks.

    Raises:
        RequestError: there is nothing to rank by, or ``top_n`` is not positive.
    """
    if top_n is not None and top_n < 1:
        raise RequestError("a ranking of no heads was asked for", expected="top_n >= 1", got=f"{top_n}")
    if by not in ("screen", "effect"):
        raise RequestError(f'heads cannot be ranked by "{by}"', expected="screen or effect")
    table = _beside(screen, effects, verdicts, measure, probes)
    column = "screen_delta" if by == "screen" else "effect_estimate"
    table = table[table[column].notna()]
    if table.empty:
        raise RequestError(
            f"there is nothing to rank heads by: no {by} was measured",
            expected=f"{measure} rows in the screen" if by == "screen" else f"single-head rows of edit {DECIDING_EDIT}",
            fix="screen first" if by == "screen" else "sweep or ablate heads one by one first",
        )
    everything = pd.concat([table, _overall(table)], ignore_index=True)
    everything["score"], everything["by"] = everything[column].astype(float), by
    if signed:
        everything["_key"] = everything["score"] * (-1.0 if by == "screen" else 1.0)
    else:
        everything["_key"] = -everything["score"].abs()
    ranked: list[pd.DataFrame] = []
    for _, rows in everything[everything["_key"].notna()].groupby("concept", sort=False):
        ordered = rows.sort_values(["_key", "layer", "head"], kind="stable")
        ordered = ordered.assign(rank=np.arange(1, len(ordered) + 1))
        ranked.append(ordered if top_n is None else ordered.head(top_n))
    return pd.concat(ranked, ignore_index=True)[TABLES["ranking"].columns].astype({"layer": "Int64", "head": "Int64"})


def layer_table(
    screen: pd.DataFrame | None, effects: pd.DataFrame | None = None, *, answers: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The ``layers`` table: screening differences and single-head effects by layer, for each concept and overall.

    ``n_attending`` counts heads whose answer is yes in ``answers`` (``attending.attending`` of the screen), by a
    simultaneous interval beyond the smallest attention that matters; NaN where there is none, and overall the mean over
    concepts. ``effect_sum`` is NaN where not a single head of the layer was edited.
    """
    table = _beside(screen, effects, None, "attention")
    known = {} if answers is None else {tuple(r[k] for k in _KEYS): r["answer"] for r in answers.to_dict("records")}
    found = [known.get((r["concept"], r["layer"], r["head"]), "") for r in table.to_dict("records")]
    table["_attends"] = [float(answer == "yes") if answer else np.nan for answer in found]
    everything = pd.concat([table, _overall(table)], ignore_index=True)
    rows: list[tuple[object, ...]] = []
    for (concept, layer), heads in everything.groupby(["concept", "layer"], sort=False):
        delta, effect = heads["screen_delta"].astype(float), heads["effect_estimate"].astype(float)
        values = (
            concept,
            layer,
            len(heads),
            delta.mean(),
            delta.abs().mean(),
            delta.max(),
            heads["head"].iloc[int(np.nanargmax(delta))] if delta.notna().any() else pd.NA,
            heads["_attends"].sum(min_count=1),
            effect.sum(min_count=1),
            effect.min(),
            heads["head"].iloc[int(np.nanargmin(effect))] if effect.notna().any() else pd.NA,
        )
        rows.append(values)
    columns = {"layer": "Int64", "max_delta_head": "Int64", "effect_min_head": "Int64"}
    return pd.DataFrame(rows, columns=TABLES["layers"].columns).astype(columns)


def _beside(
    screen: pd.DataFrame | None,
    effects: pd.DataFrame | None,
    verdicts: pd.DataFrame | None,
    measure: str,
    probes: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row a concept and head with every kind of evidence."""
    parts: list[pd.DataFrame] = []
    if screen is not None:
        names = {"estimate": "screen_delta", "ci_low": "screen_ci_low", "ci_high": "screen_ci_high"}
        looked = primary_screen(screen, measure=measure).rename(columns={**names, "q_value": "screen_q"})
        parts.append(looked[[*_KEYS, *names.values(), "screen_q"]])
        weighted = primary_screen(screen, measure="value_weighted")
        parts.append(weighted[[*_KEYS, "estimate"]].rename(columns={"estimate": "value_weighted_delta"}))
    names = {"estimate": "effect_estimate", "ci_low": "effect_ci_low", "ci_high": "effect_ci_high"}
    done = single_effects(effects)
    parts.append(
        done.rename(columns={**names, "p_max_t": "effect_p_max_t"})[[*_KEYS, *names.values(), "effect_p_max_t"]]
    )
    zeroed = single_effects(effects, edit=AGREEING_EDIT)
    parts.append(zeroed[[*_KEYS, "estimate"]].rename(columns={"estimate": "effect_zero_estimate"}))
    if probes is not None:
        parts.append(probes.rename(columns={"p_max_t": "probe_p_max_t"})[[*_KEYS, "probe_auroc", "probe_p_max_t"]])
    if verdicts is not None and len(verdicts):
        alone = verdicts[~verdicts["heads"].str.contains(",")]
        place = alone["heads"].str.split(":", expand=True).astype("Int64")
        parts.append(alone.assign(layer=place[0], head=place[1])[[*_KEYS, "verdict"]])
    table = pd.DataFrame(columns=_KEYS)
    for part in parts:
        part = part.astype({"concept": object, "layer": "Int64", "head": "Int64"})
        table = part if table.empty else table.merge(part, on=_KEYS, how="outer", sort=False)
    for column in TABLES["ranking"].columns:
        if column not in table and column not in ("rank", "score", "by"):
            table[column] = np.nan
    order = {
        concept: place for place, concept in enumerate(dict.fromkeys(c for part in parts for c in part["concept"]))
    }
    table["_order"] = table["concept"].map(order)
    return table.sort_values(["_order", "layer", "head"], kind="stable").drop(columns="_order").reset_index(drop=True)


def _overall(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over concepts; NaN for a head that one concept lacks. Intervals and verdicts belong to concepts."""
    n_concepts = table["concept"].nunique()
    columns = ["screen_delta", "value_weighted_delta", "effect_estimate", "effect_zero_estimate"]
    columns += ["_attends"] if "_attends" in table else []
    grouped = table.astype(dict.fromkeys(columns, float)).groupby(["layer", "head"], sort=False)[columns]
    complete = grouped.count() == n_concepts
    return grouped.mean().where(complete).reset_index().assign(concept=OVERALL)
