"""The tables of the short report: what a reader looks up first, each a part of a table of the evidence.

Looking and doing stand side by side, a row a head, with the simultaneous intervals by which heads are judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import pandas as pd

from headscope.report.cells import CONCEPT, TOP_N, head_at, of, or_why, records, table_of, with_interval
from headscope.report.document import Cell, Table
from headscope.report.evidence import Effect
from headscope.report.findings import WAY, ConceptFindings, SetFindings
from headscope.report.numbers import MISSING, count, number, probability, share
from headscope.report.telling import Teller, head_names
from headscope.stats.ranking import OVERALL
from headscope.terms import ALPHA, DECIDING_EDIT, KL, PRIMARIES

MOST_BEYOND = 5
"""Heads that a table adds to those that look most, because they change the concept by more than matters."""
_MOST_OTHERS = 3
_LEFT_TO_EVIDENCE = (KL, "distinct_2")
_KEYWORDS = "keyword_count_"


def _sized(value: Any, low: Any, high: Any) -> str:
    """A number with its interval, where it has one."""
    return number(value) if pd.isna(low) else with_interval(value, low, high)


def data_table(findings: Sequence[ConceptFindings]) -> Table:
    """How many prompts of each concept were compared, and whether the unedited model shows it."""
    rows = [
        {
            "concept": found.concept,
            "prompts": found.coverage.get("n_prompts") if found.coverage else _of_assay(found, "n_prompts"),
            "templates": _of_assay(found, "n_templates"),
            "coverage": found.coverage.get("coverage_share"),
            "gap": _of_assay(found, "estimate"),
            "low": _of_assay(found, "low"),
            "high": _of_assay(found, "high"),
        }
        for found in findings
        if found.coverage or found.assay is not None
    ]
    table = table_of(
        rows,
        CONCEPT,
        of(count, prompts="prompts", templates="templates"),
        of(share, coverage="coverage"),
        of(_sized, gap_sized="gap low high"),
    )
    return table.without_empty("templates", "coverage", "gap_sized")


def _of_assay(found: ConceptFindings, name: str) -> Any:
    return None if found.assay is None else getattr(found.assay, name)


def beyond(found: ConceptFindings, top_n: int = TOP_N) -> list[str]:
    """Heads that are not among those that look most and change the concept by more than matters, strongest first."""
    first = {head.heads for head in _first(found, top_n)}
    strong = sorted((*found.lowering, *found.raising), key=lambda one: -abs(one.estimate))
    return [one.heads for one in strong if one.heads not in first]


def _first(found: ConceptFindings, top_n: int) -> list[Effect]:
    """The heads that look most; of a run without a screen those with the largest effects."""
    return (found.looked or sorted(found.alone, key=lambda one: -abs(one.estimate)))[:top_n]


def heads_table(found: ConceptFindings, teller: Teller, top_n: int = TOP_N) -> Table:
    """The heads of one concept, in order: where they look, what removing them does, and what they are to it."""
    looks, does = ({one.heads: one for one in effects} for effects in (found.looked, found.alone))
    verdicts = {str(row["heads"]): str(row["verdict"]) for row in found.verdicts}
    shown = [head.heads for head in _first(found, top_n)] + beyond(found, top_n)[:MOST_BEYOND]
    table = table_of(
        (
            {"heads": heads}
            | _prefixed("look", looks.get(heads))
            | _prefixed("does", does.get(heads))
            for heads in shown
        ),
        of(head_names, head="heads"),
        of(_sized, delta_sim="look_estimate look_sim_low look_sim_high"),
        of(_sized, effect_sim="does_estimate does_sim_low does_sim_high"),
        of(lambda heads: teller.words.named("verdicts", verdicts[heads]) if heads in verdicts else MISSING,
           verdict="heads"),
    )  # fmt: skip
    for column, effects in (("delta_sim", looks), ("effect_sim", does)):
        _explain(table, column, [effects.get(heads) for heads in shown], teller)
    return table.without_empty("delta_sim", "effect_sim", "verdict")


def _explain(table: Table, column: str, effects: Sequence[Effect | None], teller: Teller) -> None:
    """Let the cells of a column whose effects have no interval point to the reason; ``effects``: a row's each."""
    at = table.columns.index(column)
    for effect, row in zip(effects, table.rows, strict=True):
        if effect is not None and pd.isna(effect.low) and (why := teller.missing(effect)):
            mark = table.missing(why)
            row[at] = mark if row[at] == MISSING else (row[at], f" {mark}")


def _prefixed(name: str, effect: Effect | None) -> dict[str, Any]:
    """An effect's numbers under names of their own; None where it was not measured."""
    keys = ("estimate", "sim_low", "sim_high")
    return {f"{name}_{key}": None if effect is None else getattr(effect, key) for key in keys}


def n_compared(found: ConceptFindings, top_n: int = TOP_N) -> int:
    """How many of the heads that look most are set against what removal does; 0 where no effect is interpreted."""
    told = bool(found.alone) and found.assay_shown is not False
    return min(top_n, len(found.looked)) if told else 0


def ablation_table(one: SetFindings, teller: Teller) -> Table:
    """The study's metrics of one set under the deciding edit: baseline, ablation, Δ with its interval."""
    told = _told_effects(one)
    table = table_of(
        ({**vars(effect), "why": teller.missing(effect)} for effect in told),
        of(teller.words.outcome, metric="outcome"),
        or_why(number, baseline="before", ablation="after"),
        of(_sized, delta_sized="estimate low high"),
    )
    _explain(table, "delta_sized", told, teller)
    return table


def edit_of(one: SetFindings) -> str:
    """The edit of which the short report tells: the deciding one, else the first that was measured."""
    edits = [effect.edit for effect in (*one.effects, *one.damage)]
    return DECIDING_EDIT if DECIDING_EDIT in edits else edits[0]


def _told_effects(one: SetFindings) -> list[Effect]:
    """The concept's own odds first, then what is written, then damage; of other concepts' keywords only the first."""
    edit = edit_of(one)
    every = [effect for effect in (*one.effects, *one.damage) if effect.edit == edit and ":" not in effect.outcome]
    told = [effect for effect in every if effect.outcome not in _LEFT_TO_EVIDENCE]
    told.sort(key=lambda effect: effect.outcome not in PRIMARIES)
    own = (f"{_KEYWORDS}{one.concept}", f"{_KEYWORDS}phase6_{one.concept}")
    others = [effect for effect in told if effect.outcome.startswith(_KEYWORDS) and effect.outcome not in own]
    return [effect for effect in told if effect not in others[_MOST_OTHERS:]]


def ranking_table(ranking: pd.DataFrame, top_n: int = TOP_N) -> Table:
    """The overall ranking by screening and by effect, side by side."""
    overall = ranking[ranking["concept"] == OVERALL].sort_values("rank")
    kinds = [records(overall[overall["by"] == by].head(top_n)) for by in ("screen", "effect")]

    def head(row: Mapping[Any, Any]) -> str:
        return head_at(row["layer"], row["head"]) if row else MISSING

    table = table_of(
        ({"rank": rank, "look": look, "does": does} for rank, (look, does) in
         enumerate(zip_longest(*kinds, fillvalue={}), start=1)),
        of(str, rank="rank"),
        of(head, head_by_screen="look"),
        of(lambda row: number(row.get("score")), score_screen="look"),
        of(head, head_by_effect="does"),
        of(lambda row: number(row.get("score")), score_effect="does"),
    )  # fmt: skip
    return table.without_empty("head_by_screen", "score_screen", "head_by_effect", "score_effect")


def patch_table(findings: Sequence[ConceptFindings]) -> Table:
    """What brings each concept most into controls and what takes it most from its prompts, a row a concept."""
    rows = []
    for found in findings:
        row: dict[str, Any] = {"concept": found.concept}
        for direction, way in WAY.items():
            patches = found.patched.get(direction, [])
            first = patches[0] if patches else None
            shown = sum(one.direction == way for one in patches)
            row |= _prefixed(direction, first)
            row[f"{direction}_heads"] = first.heads if first else ""
            row[f"{direction}_shown"] = f"{shown} / {len(patches)}" if patches else MISSING
        if found.patched:
            rows.append(row)
    table = table_of(rows, CONCEPT, *(_patched(direction, *titles) for direction, titles in _PATCH_TITLES.items()))
    return table.without_empty(*(title for titles in _PATCH_TITLES.values() for title in titles))


_PATCH_TITLES = {
    "sufficiency": ("brings_most", "brings_sized", "n_bringing"),
    "necessity": ("takes_most", "takes_sized", "n_taking"),
}


def _patched(direction: str, heads: str, sized: str, shown: str) -> list[Any]:
    return [
        (heads, lambda name: head_names(name) or MISSING, [f"{direction}_heads"], False),
        (sized, _sized, [f"{direction}_{name}" for name in ("estimate", "sim_low", "sim_high")], False),
        (shown, str, [f"{direction}_shown"], False),
    ]


def probed_table(probes: pd.DataFrame) -> Table:
    """Off which head each concept can be read best, and off how many beyond shuffled labels."""
    rows = []
    for _, part in probes.groupby("concept", sort=False):
        best = part.sort_values(["probe_auroc", "probe_accuracy"], ascending=False, kind="stable")
        tested = int(part["p_max_t"].notna().sum())
        beyond_shuffled = f"{int((part['p_max_t'] <= ALPHA).sum())} / {tested}" if tested else MISSING
        rows.append({**records(best)[0], "beyond_shuffled": beyond_shuffled})
    table = table_of(
        rows,
        CONCEPT,
        of(head_at, head="layer head"),
        of(_sized, probe_auroc="probe_auroc probe_auroc_low probe_auroc_high"),
        of(probability, p_max_t="p_max_t"),
        of(str, beyond_shuffled="beyond_shuffled"),
    )
    return table.without_empty("p_max_t")


def kept(table: Table, *columns: str) -> Table:
    """A table with these of its columns alone."""
    places = [at for at, name in enumerate(table.columns) if name in columns]
    rows: list[list[Cell]] = [[row[at] for at in places] for row in table.rows]
    return Table(tuple(table.columns[at] for at in places), rows, table.reasons, table.numeric, table.limit)
