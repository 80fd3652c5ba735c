"""The report's tables on patching: what each head brings and takes, beside what its removal does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from scipy import stats

from headscope.plots.patch_heatmap import lone_patches
from headscope.report.cells import (
    CONCEPT,
    EXAMPLES,
    INTERVAL,
    TOP_N,
    of,
    records,
    share_interval,
    table_of,
    verbatim,
)
from headscope.report.document import Cell, Foreign, Table
from headscope.report.findings import WAY, ConceptFindings
from headscope.report.numbers import MISSING, interval, number, probability, share
from headscope.report.telling import Teller, head_names
from headscope.stats.patching import primary_patches, written_patches

_FEWEST_HEADS = 5


def patch_table(patching: pd.DataFrame, found: ConceptFindings, top_n: int = TOP_N) -> Table:
    """The heads or sets that bring or take one concept most: removal, sufficiency and necessity side by side."""
    rows = primary_patches(patching)
    by_heads: dict[str, dict[str, Mapping[Any, Any]]] = {}
    for row in rows[rows["concept"] == found.concept].to_dict("records"):
        by_heads.setdefault(str(row["heads"]), {})[str(row["direction"])] = row
    removed = {one.heads: number(one.estimate) for one in found.alone}
    order = sorted(by_heads, key=lambda heads: -max(abs(float(row["estimate"])) for row in by_heads[heads].values()))
    columns = "heads removal brings ci sim_ci p_max_t share_recovered takes ci sim_ci p_max_t share_recovered"
    table = Table(tuple(columns.split()))
    for heads in order[:top_n]:
        directions = [cell for direction in WAY for cell in _direction(by_heads[heads].get(direction))]
        table.rows.append([head_names(heads), removed.get(heads, MISSING), *directions])
    return table


def _direction(row: Mapping[Any, Any] | None) -> list[str]:
    if row is None:
        return [MISSING] * 5
    shares = share(row["share_recovered"])
    if row["share_low"] == row["share_low"]:
        shares += f" {share_interval(row['share_low'], row['share_high'])}"
    ends = [interval(row[f"{kind}_low"], row[f"{kind}_high"]) for kind in ("ci", "sim")]
    return [number(row["estimate"]), *ends, probability(row["p_max_t"]), shares]


def written_table(patching: pd.DataFrame, found: ConceptFindings, teller: Teller) -> Table:
    """What one concept's targets go on with, score by score: unpatched, control-patched, patched, and the test."""
    rows = written_patches(patching)
    return table_of(
        records(rows[rows["concept"] == found.concept]),
        of(partial(teller.words.named, "directions"), direction="direction"),
        of(head_names, heads="heads"),
        of(teller.words.outcome, metric="outcome"),
        of(number, unpatched="unpatched_mean", control_patch="control_patched_mean", patch="patched_mean"),
        of(number, delta="estimate"),
        INTERVAL,
        of(probability, p="p_value", q="q_value"),
        of(number, mde="mde"),
    )


def written_examples(texts: pd.DataFrame, found: ConceptFindings, teller: Teller) -> Table:
    """The first targets of each direction with their three texts: chosen by their order, never by their result."""
    table = Table(("direction", "prompt", "unpatched", "control_patch", "patch"))
    mine = texts[texts["concept"] == found.concept]
    for direction in dict.fromkeys(mine.loc[mine["direction"] != "", "direction"]):
        rows = mine[(mine["direction"] == direction) & (mine["sample"] == 0)]
        patched, control = (rows[rows["edit"] == kind] for kind in ("patch", "control_patch"))
        for one, null in zip(patched.head(EXAMPLES).to_dict("records"), control.to_dict("records"), strict=False):
            texts_of_one = one["prompt"], one["baseline_text"], null["edited_text"], one["edited_text"]
            table.rows.append([teller.words.named("directions", str(direction)), *map(verbatim, texts_of_one)])
    return table


def removal_table(patching: pd.DataFrame, findings: Sequence[ConceptFindings]) -> Table:
    """For each concept the strongest head by removal and by both directions, and Spearman's rho with removal."""
    rows = lone_patches(patching)
    table = Table(("concept", "strongest_removed", "brings_most", "rho_removal", "takes_most", "rho_removal"))
    for found in findings:
        mine = rows[rows["concept"] == found.concept]
        if mine.empty or not found.alone:
            continue
        lowers = {one.heads: -one.estimate for one in found.alone}
        cells: list[Cell] = [Foreign(found.concept), head_names(max(lowers, key=lambda heads: lowers[heads]))]
        for direction, sign in WAY.items():
            part = mine[mine["direction"] == direction]
            moves = {str(h): sign * float(e) for h, e in zip(part["heads"], part["estimate"], strict=True)}
            both = [heads for heads in moves if heads in lowers]
            rho = float("nan")
            if len({moves[h] for h in both}) >= _FEWEST_HEADS and len({lowers[h] for h in both}) >= _FEWEST_HEADS:
                rho = float(stats.spearmanr([lowers[h] for h in both], [moves[h] for h in both]).statistic)
            cells += [head_names(max(moves, key=lambda heads: moves[heads])) if moves else MISSING, number(rho)]
        table.rows.append(cells)
    return table


def dissociation_table(dissociation: pd.DataFrame, teller: Teller) -> Table:
    """Each concept patched through its own head and through another concept's."""
    return table_of(
        records(dissociation),
        CONCEPT,
        of(Foreign, other="other"),
        of(partial(teller.words.named, "directions"), direction="direction"),
        of(_alternatives, own_head="own_heads", others_head="other_heads"),
        of(number, through_own="own_estimate", through_other="other_estimate", difference="estimate"),
        INTERVAL,
        of(lambda double: "✓" if double else "–", both_ways="double"),
    )


def _alternatives(heads: str) -> str:
    return " / ".join(map(head_names, heads.split(" / ")))
