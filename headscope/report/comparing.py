"""Two runs beside each other: do they order the heads alike, and which verdicts changed?

1. Heads are matched by layer and head, concepts by name. Runs of models of different shape have no heads in common, and
   then only how often each verdict was given is compared.
2. For each concept and measure: Spearman's rank correlation over the heads both runs measured, with Bonett and Wright's
   (2000) interval. Heads of one model are no independent sample, so the interval describes and does not generalize.
3. Verdicts that differ, with both effects and their simultaneous intervals. A changed verdict is no test of a
   difference: two runs may fall on two sides of a threshold and differ by nothing that matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from headscope.errors import RequestError
from headscope.plots.fast_vs_exact import DRAWN
from headscope.plots.patch_heatmap import lone_patches
from headscope.plots.selecting import concepts_of, lone_effects, screen_rows
from headscope.report.facts import RunFacts
from headscope.report.findings import WAY, spearman

_HEAD = ["concept", "layer", "head"]
_COMPARED = ("screen", "effects", "verdicts", "patching", "scores")
_VERDICT = ["verdict", "estimate", "sim_low", "sim_high"]
MEASURES = ("attention", "value_weighted", "effect_mean", "effect_zero", *WAY, DRAWN)
TABLE_OF = {"effect_mean": "effects", "effect_zero": "effects", **dict.fromkeys(WAY, "patching"), DRAWN: "scores"}
"""The table that holds a measure, where it is not the screen."""


@dataclass(frozen=True)
class RunSide:
    """One of two runs, by the name it is called."""

    name: str
    tables: Mapping[str, pd.DataFrame]
    facts: RunFacts


@dataclass(frozen=True)
class Comparison:
    """What two runs agree on, and what a reader must know of it, in sentences.

    ``agreement`` has a row a concept and measure, ``changed`` one a concept and head (or set) whose verdict differs,
    ``counts`` one a concept and verdict: how many single heads got it in each run.
    """

    agreement: pd.DataFrame
    changed: pd.DataFrame
    counts: pd.DataFrame
    notes: tuple[str, ...]


def compare_runs(first: RunSide, second: RunSide) -> Comparison:
    """Compare two runs by their tables; a table that one of them lacks is named in the notes.

    Raises:
        RequestError: a run has no table that is compared, as those of steer, probe and eval.
    """
    for side in (first, second):
        if not any(name in side.tables for name in _COMPARED):
            raise RequestError(
                f"there is nothing to compare in {side.name}", expected=f"one of the tables {', '.join(_COMPARED)}",
                got=", ".join(side.tables) or "none", fix="headscope query asks several runs for any table at once",
            )  # fmt: skip
    notes = _notes(first, second)
    same_shape = first.facts.heads_per_layer == second.facts.heads_per_layer
    agreement = [row for measure in MEASURES for row in _agreement(first, second, measure)] if same_shape else []
    columns = ["concept", "measure", "unit", "n_heads", "rho", "ci_low", "ci_high", "largest_difference", "at_head"]
    return Comparison(
        pd.DataFrame(agreement, columns=columns),
        _changed(first, second) if same_shape else _changed(first, second).iloc[:0],
        _counts(first, second),
        tuple(notes),
    )


def _notes(first: RunSide, second: RunSide) -> list[str]:
    notes: list[str] = []
    one, two = first.facts, second.facts
    if one.heads_per_layer != two.heads_per_layer:
        notes.append(
            f"The models have different shapes ({one.n_layers} layers, {one.n_heads} heads; {two.n_layers} layers, "
            f"{two.n_heads} heads), so no head of one is a head of the other and no rank correlation exists."
        )
    elif one.fingerprints.get("model") != two.fingerprints.get("model"):
        notes.append(
            "The models have different weights. A head's number means the same in both only where one was trained "
            "from the other."
        )
    if one.fingerprints.get("profile") != two.fingerprints.get("profile"):
        notes.append("The runs asked different prompts, so a difference may be the prompts'.")
    if one.protocol != two.protocol:
        notes.append(f"The protocols differ ({one.protocol or 'unknown'}; {two.protocol or 'unknown'}).")
    for mine, theirs in ((first, second), (second, first)):
        if mine.facts.status not in ("finished", ""):
            notes.append(f"{mine.name} is not finished (status: {mine.facts.status}); what it holds is compared.")
        lacking = [name for name in _COMPARED if name not in mine.tables and name in theirs.tables]
        if lacking:
            notes.append(f"{mine.name} has no {', '.join(lacking)}; what needs them is left out.")
        alone = [name for name in concepts_in(mine) if name not in concepts_in(theirs)]
        if alone:
            notes.append(f"Only {mine.name} has the concepts {', '.join(alone)}.")
    return notes


def concepts_in(side: RunSide) -> list[str]:
    """The concepts of a run's measures, in order."""
    rows = [rows for measure in MEASURES if not (rows := measured(side.tables, measure)).empty]
    return list(dict.fromkeys(concept for table in rows for concept in concepts_of(table)))


def measured(tables: Mapping[str, pd.DataFrame], measure: str) -> pd.DataFrame:
    """One row a concept and head of one of ``MEASURES``; empty where it was not measured."""
    name = TABLE_OF.get(measure, "screen")
    table = tables.get(name)
    if table is None or table.empty:
        return pd.DataFrame(columns=[*_HEAD, "estimate", "unit"])
    if name == "effects":
        return lone_effects(table, measure.removeprefix("effect_"))
    if name == "patching":
        patches = lone_patches(table)
        return patches[patches["direction"] == measure]
    return table[table["measure"] == measure] if name == "scores" else screen_rows(table, measure)


def _agreement(first: RunSide, second: RunSide, measure: str) -> list[dict[str, object]]:
    one, two = (measured(side.tables, measure)[[*_HEAD, "estimate", "unit"]] for side in (first, second))
    both = one.merge(two, on=_HEAD, suffixes=("", "_second")).dropna(subset=["estimate", "estimate_second"])
    rows: list[dict[str, object]] = []
    for concept, heads in both.groupby("concept", sort=False):
        found = spearman(list(zip(heads["estimate"], heads["estimate_second"], strict=True)))
        apart = (heads["estimate"] - heads["estimate_second"]).abs()
        widest = heads.iloc[int(apart.to_numpy().argmax())]
        rows.append(
            {
                "concept": concept,
                "measure": measure,
                "unit": widest["unit"],
                "n_heads": len(heads),
                **dict(zip(("rho", "ci_low", "ci_high"), found[:3] if found else [float("nan")] * 3, strict=True)),
                "largest_difference": float(apart.max()),
                "at_head": f"L{int(widest['layer'])}H{int(widest['head'])}",
            }
        )
    return rows


def _changed(first: RunSide, second: RunSide) -> pd.DataFrame:
    one, two = (_verdicts(side) for side in (first, second))
    both = one.merge(two, on=["concept", "heads"], suffixes=("_first", "_second"))
    return both[both["verdict_first"] != both["verdict_second"]].reset_index(drop=True)


def _counts(first: RunSide, second: RunSide) -> pd.DataFrame:
    counted = [
        verdicts[~verdicts["heads"].str.contains(",")].groupby(["concept", "verdict"], sort=False).size().rename(name)
        for name, verdicts in (("n_first", _verdicts(first)), ("n_second", _verdicts(second)))
    ]
    return pd.concat(counted, axis=1).fillna(0).astype(int).reset_index()


def _verdicts(side: RunSide) -> pd.DataFrame:
    table = side.tables.get("verdicts")
    if table is None:
        return pd.DataFrame(columns=["concept", "heads", *_VERDICT]).astype({"heads": "object"})
    return table[["concept", "heads", *_VERDICT]]


def names_of(facts: Sequence[RunFacts]) -> list[str]:
    """What to call runs: model and profile, with seed and request where that does not tell them apart."""
    short = [f"{one.model} on {one.profile}" for one in facts]
    if len(set(short)) == len(short):
        return short
    return [f"{name}, seed {one.seed} ({one.digest})" for name, one in zip(short, facts, strict=True)]
