"""The cells of the report's tables on patching: what each head brings and takes, beside what its removal does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from scipy import stats

from headscope.plots.patch_heatmap import lone_patches
from headscope.report.cells import EXAMPLES, LONGEST_TEXT, TOP_N, Table
from headscope.report.escaping import code, plain
from headscope.report.findings import ConceptFindings
from headscope.report.numbers import MISSING, interval, number, probability, share
from headscope.report.phrases import Language, named
from headscope.stats.patching import primary_patches, written_patches

_FEWEST_HEADS = 5


def patch_cells(patching: pd.DataFrame, found: ConceptFindings, top_n: int = TOP_N) -> Table:
    """The heads or sets that bring or take one concept most: removal, sufficiency and necessity side by side."""
    rows = primary_patches(patching)
    rows = rows[rows["concept"] == found.concept]
    by_heads: dict[str, dict[str, Mapping[Any, Any]]] = {}
    for row in rows.to_dict("records"):
        by_heads.setdefault(str(row["heads"]), {})[str(row["direction"])] = row
    removed = {one.heads: one.estimate for one in found.alone}
    order = sorted(by_heads, key=lambda heads: -max(abs(float(row["estimate"])) for row in by_heads[heads].values()))
    table = Table()
    for heads in order[:top_n]:
        cells = [named(heads), number(removed[heads]) if heads in removed else MISSING]
        for direction in ("sufficiency", "necessity"):
            cells += _direction(by_heads[heads].get(direction))
        table.rows.append(cells)
    return table


def _direction(row: Mapping[Any, Any] | None) -> list[str]:
    if row is None:
        return [MISSING] * 4
    low, high = float(row["share_low"]), float(row["share_high"])
    shares = share(row["share_recovered"])
    if low == low:
        shares += f" [{share(low)}, {share(high)}]"
    return [number(row["estimate"]), interval(row["ci_low"], row["ci_high"]), probability(row["p_max_t"]), shares]


def written_cells(patching: pd.DataFrame, found: ConceptFindings, language: Language) -> Table:
    """What one concept's targets go on with, score by score: unpatched, control-patched, patched, and the test."""
    rows = written_patches(patching)
    return Table(
        [
            [
                language.direction(str(row["direction"])),
                named(str(row["heads"])),
                language.outcome(str(row["outcome"])),
                number(row["unpatched_mean"]),
                number(row["control_patched_mean"]),
                number(row["patched_mean"]),
                number(row["estimate"]),
                interval(row["ci_low"], row["ci_high"]),
                probability(row["p_value"]),
                probability(row["q_value"]),
                number(row["mde"]),
            ]
            for row in rows[rows["concept"] == found.concept].to_dict("records")
        ]
    )


def written_examples(texts: pd.DataFrame, found: ConceptFindings, language: Language) -> Table:
    """The first targets of each direction with their three texts: chosen by their order, never by their result."""
    table = Table()
    mine = texts[texts["concept"] == found.concept]
    for direction in dict.fromkeys(mine.loc[mine["direction"] != "", "direction"]):
        rows = mine[(mine["direction"] == direction) & (mine["sample"] == 0)]
        patched, control = (rows[rows["edit"] == kind] for kind in ("patch", "control_patch"))
        for one, null in zip(patched.head(EXAMPLES).to_dict("records"), control.to_dict("records"), strict=False):
            texts_of_one = one["prompt"], one["baseline_text"], null["edited_text"], one["edited_text"]
            table.rows.append(
                [language.direction(str(direction)), *(code(text, LONGEST_TEXT) for text in texts_of_one)]
            )
    return table


def agreement_cells(patching: pd.DataFrame, findings: Sequence[ConceptFindings]) -> Table:
    """For each concept the strongest head by removal and by both directions, and Spearman's rho with removal."""
    rows = lone_patches(patching)
    table = Table()
    for found in findings:
        mine = rows[rows["concept"] == found.concept]
        if mine.empty or not found.alone:
            continue
        lowers = {one.heads: -one.estimate for one in found.alone}
        cells = [plain(found.concept), named(max(lowers, key=lambda heads: lowers[heads]))]
        for direction, sign in (("sufficiency", 1.0), ("necessity", -1.0)):
            part = mine[mine["direction"] == direction]
            moves = {str(h): sign * float(e) for h, e in zip(part["heads"], part["estimate"], strict=True)}
            both = [heads for heads in moves if heads in lowers]
            rho = float("nan")
            if len({moves[h] for h in both}) >= _FEWEST_HEADS and len({lowers[h] for h in both}) >= _FEWEST_HEADS:
                rho = float(stats.spearmanr([lowers[h] for h in both], [moves[h] for h in both]).statistic)
            cells += [named(max(moves, key=lambda heads: moves[heads])) if moves else MISSING, number(rho)]
        table.rows.append(cells)
    return table


def dissociation_cells(dissociation: pd.DataFrame, language: Language) -> Table:
    """Each concept patched through its own head and through another concept's."""
    rows = [
        [
            plain(str(row["concept"])),
            plain(str(row["other"])),
            language.direction(str(row["direction"])),
            " / ".join(named(heads) for heads in str(row["own_heads"]).split(" / ")),
            " / ".join(named(heads) for heads in str(row["other_heads"]).split(" / ")),
            number(row["own_estimate"]),
            number(row["other_estimate"]),
            number(row["estimate"]),
            interval(row["ci_low"], row["ci_high"]),
            "✓" if row["double"] else "–",
        ]
        for row in dissociation.to_dict("records")
    ]
    return Table(rows)
