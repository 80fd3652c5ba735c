"""The report's tables. Nothing is decided here: a table shows what the run's tables hold.

A missing number is ``—`` with a mark, and the mark's reason stands under the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import pandas as pd

from headscope.plots.selecting import OVERALL
from headscope.report.document import Cell, Foreign, Table, Verbatim
from headscope.report.evidence import Effect
from headscope.report.findings import ConceptFindings, SetFindings
from headscope.report.numbers import MISSING, as_float, count, interval, number, probability, share
from headscope.report.telling import Teller, head_names
from headscope.stats.ranking import rank_heads

TOP_N = 10
EXAMPLES = 2
LONGEST_TEXT = 160
_ORDINARY_VERDICTS = ("no effect", "no verdict")
_COUNTS = {
    "prompts": "n_prompts",
    "with_span": "n_spans",
    "implicit": "n_implicit",
    "equal_pairs": "n_paired_equal",
    "unequal_pairs": "n_paired_unequal",
    "length_matched": "n_length_matched",
    "unmatched": "n_unmatched",
    "no_query": "n_without_query",
    "only_sinks": "n_without_remainder",
}


def coverage_table(findings: Sequence[ConceptFindings]) -> Table:
    """Which prompts could be compared, and how."""
    rows: list[list[Cell]] = [
        [
            Foreign(found.concept),
            *(count(found.coverage[name]) for name in _COUNTS.values()),
            share(found.coverage["coverage_share"]),
        ]
        for found in findings
        if found.coverage
    ]
    return Table(("concept", *_COUNTS, "coverage"), rows)


def assay_table(findings: Sequence[ConceptFindings], teller: Teller) -> Table:
    """Whether the unedited model shows each concept."""
    columns = "concept concept_prompts controls gap ci p prompts_right prompts templates"
    table = Table(tuple(columns.split()))
    for found in findings:
        gap = found.assay
        if gap is not None:
            table.rows.append(
                [
                    Foreign(found.concept),
                    number(gap.after),
                    number(gap.before),
                    number(gap.estimate),
                    _or_missing(table, interval(gap.low, gap.high), gap, teller),
                    _or_missing(table, probability(gap.p_value), gap, teller),
                    share(found.share_right),
                    str(gap.n_prompts),
                    str(gap.n_templates),
                ]
            )
    return table


def screen_table(found: ConceptFindings, teller: Teller, top_n: int = TOP_N) -> Table:
    """The heads that look most at one concept."""
    table = Table(("rank", "head", "delta", "concept_mean", "control_mean", "ci", "sim_ci", "q", "mde", "attends"))
    for rank, head in enumerate(found.looked[:top_n], start=1):
        table.rows.append(
            [
                str(rank),
                head_names(head.heads),
                number(head.estimate),
                number(head.after),
                number(head.before),
                _or_missing(table, interval(head.low, head.high), head, teller),
                interval(head.sim_low, head.sim_high),
                _or_missing(table, probability(head.q_value), head, teller),
                number(head.mde),
                teller.words.answer(found.answers.get(head.heads, "")),
            ]
        )
    return table


def comparison_table(one: SetFindings, teller: Teller) -> Table:
    """Baseline beside every edit of one set, outcome by outcome."""
    table = Table(("metric", "edit", "baseline", "ablation", "delta", "ci", "p", "q", "d_z", "mde"))
    effects = (*one.effects, *one.damage)
    order = list(dict.fromkeys(effect.outcome for effect in effects))
    for effect in sorted(effects, key=lambda effect: order.index(effect.outcome)):
        numbers = (
            number(effect.before),
            number(effect.after),
            number(effect.estimate),
            interval(effect.low, effect.high),
            probability(effect.p_value),
            probability(effect.q_value),
            number(effect.d_z),
            number(effect.mde),
        )
        names = [teller.words.outcome(effect.outcome), teller.words.named("edits", effect.edit)]
        table.rows.append([*names, *(_or_missing(table, text, effect, teller) for text in numbers)])
    return table


def _or_missing(table: Table, text: str, effect: Effect, teller: Teller) -> str:
    return table.missing(teller.missing(effect)) if text == MISSING else text


def ranking_table(ranking: pd.DataFrame, by: str, top_n: int = TOP_N) -> Table:
    """The overall ranking by one kind of score."""
    rows = ranking[(ranking["concept"] == OVERALL) & (ranking["by"] == by)].sort_values("rank").head(top_n)
    values = ("score", "screen_delta", "value_weighted_delta", "effect_estimate", "effect_zero_estimate")
    return Table(
        ("rank", "head", "score", "delta_attention", "delta_value_weighted", "effect_mean", "effect_zero"),
        [[count(row["rank"]), _head(row), *(number(row[name]) for name in values)] for row in rows.to_dict("records")],
    )


def layer_table(layers: pd.DataFrame, concept: str, limit: float) -> Table:
    """One concept's statistics by layer; ``limit`` is the smallest attention that matters."""
    return Table(
        ("layer", "n_heads", "mean_delta", "mean_abs_delta", "max_delta", "n_attending", "effect_sum", "effect_min"),
        [
            [
                count(row["layer"]),
                count(row["n_heads"]),
                number(row["mean_delta"]),
                number(row["mean_abs_delta"]),
                _at(row, "max_delta", "max_delta_head"),
                count(row["n_attending"]),
                number(row["effect_sum"]),
                _at(row, "effect_min", "effect_min_head"),
            ]
            for row in layers[layers["concept"] == concept].to_dict("records")
        ],
        limit=number(limit),
    )


def _at(row: Mapping[Any, Any], value: str, head: str) -> str:
    text = number(row[value])
    return text if text == MISSING else f"{text} (L{count(row['layer'])}H{count(row[head])})"


def _head(row: Mapping[Any, Any]) -> str:
    return f"L{int(row['layer'])}H{int(row['head'])}"


def beside_table(tables: Mapping[str, pd.DataFrame], concept: str, teller: Teller, top_n: int = TOP_N) -> Table:
    """What the heads with the largest effects look at: screening beside cause, with the verdict where there is one."""
    screen, effects = (tables[name][tables[name]["concept"] == concept] for name in ("screen", "effects"))
    ranked = rank_heads(screen, effects, tables.get("verdicts"), top_n=None, by="effect")
    columns = "head delta_attention ci q delta_value_weighted effect_mean ci p_max_t effect_zero verdict"
    table = Table(tuple(columns.split()))
    for row in ranked[ranked["concept"] == concept].head(top_n).to_dict("records"):
        verdict = row["verdict"]
        table.rows.append(
            [
                _head(row),
                number(row["screen_delta"]),
                interval(row["screen_ci_low"], row["screen_ci_high"]),
                probability(row["screen_q"]),
                number(row["value_weighted_delta"]),
                number(row["effect_estimate"]),
                interval(row["effect_ci_low"], row["effect_ci_high"]),
                probability(row["effect_p_max_t"]),
                number(row["effect_zero_estimate"]),
                teller.words.named("verdicts", verdict) if isinstance(verdict, str) and verdict else MISSING,
            ]
        )
    return table


def verdict_counts(findings: Sequence[ConceptFindings], teller: Teller) -> Table:
    """How many single heads got each verdict, a column a concept."""
    verdicts = {str(row["verdict"]) for found in findings for row in found.verdicts if "," not in str(row["heads"])}
    return Table(
        ("verdict", *(Foreign(found.concept) for found in findings)),
        [
            [teller.words.named("verdicts", name), *(str(len(found.judged(name))) for found in findings)]
            for name in sorted(verdicts)
        ],
    )


def verdict_table(found: ConceptFindings, teller: Teller, top_n: int = 2 * TOP_N) -> Table:
    """The heads and sets of one concept that are more than ordinary, strongest first; evidence behind each verdict."""
    rows = [row for row in found.verdicts if row["verdict"] not in _ORDINARY_VERDICTS]
    rows.sort(key=lambda row: -abs(as_float(row["estimate"])))
    columns = "heads verdict effect sim_ci attends attention_share reads_at specificity ratio_ci would_decide"
    return Table(
        tuple(columns.split()),
        [
            [
                head_names(str(row["heads"])),
                teller.words.named("verdicts", str(row["verdict"])),
                number(row["estimate"]),
                interval(row["sim_low"], row["sim_high"]),
                teller.words.answer(str(row["attends"])),
                with_interval(row["attention_share"], row["attention_share_low"], row["attention_share_high"]),
                teller.places(found.reads.get(str(row["heads"]), {})) or MISSING,
                with_interval(row["specificity"], row["specificity_low"], row["specificity_high"]),
                interval(row["perplexity_ratio_low"], row["perplexity_ratio_high"]),
                count(row["templates_needed"]),
            ]
            for row in rows[:top_n]
        ],
    )


def with_interval(value: Any, low: Any, high: Any) -> str:
    """``0.12 [0.10, 0.14]``, or ``—``."""
    return MISSING if isnan(as_float(value)) else f"{number(value)} {interval(low, high)}"


def set_table(findings: Sequence[ConceptFindings], teller: Teller) -> Table:
    """Joint effect of every set beside the sum of its heads' single effects and its place among random sets."""
    columns = "concept heads templates joint_delta ci sum_of_singles ci random_sets p_among floor"
    table = Table(tuple(columns.split()))
    for one in (one for found in findings for one in found.sets):
        joint, total, null = one.primary, one.total, one.null
        if joint is None:
            continue
        beyond = as_float(null["percentile"]) if null is not None else float("nan")
        table.rows.append(
            [
                Foreign(one.concept),
                head_names(one.heads),
                str(joint.n_templates),
                number(joint.estimate),
                _or_missing(table, interval(joint.low, joint.high), joint, teller),
                *_effect(total),
                count(null["n_random"]) if null is not None else MISSING,
                probability(1 - beyond / 100),
                number(null["floor"]) if null is not None else MISSING,
            ]
        )
    return table


def _effect(effect: Effect | None) -> tuple[str, str]:
    """Estimate and interval of an effect that may not have been measured."""
    return (MISSING, MISSING) if effect is None else (number(effect.estimate), interval(effect.low, effect.high))


def reliability_table(tables: Mapping[str, pd.DataFrame]) -> Table:
    """Would other templates rank the heads alike? A row a concept and ranking."""
    table = Table(("concept", "by", "templates", "split_half", "k", "overlap", "rests_on_one"))
    stability = tables.get("stability")
    for row in tables["reliability"].to_dict("records") if "reliability" in tables else []:
        alone = MISSING
        if stability is not None and row["by"] == "effect":
            shares = stability.loc[stability["concept"] == row["concept"], "stable_share"]
            alone = f"{int((shares < 1.0).sum())} / {int(shares.notna().sum())}"
        table.rows.append(
            [
                Foreign(row["concept"]),
                str(row["by"]),
                str(row["n_templates"]),
                with_interval(row["spearman_brown"], row["spearman_brown_low"], row["spearman_brown_high"]),
                str(row["k"]),
                with_interval(row["jaccard"], row["jaccard_low"], row["jaccard_high"]),
                alone,
            ]
        )
    return table


def area_table(findings: Sequence[ConceptFindings]) -> Table:
    """Areas of the cumulative curves, a row a concept."""
    names = ("cpr", "cmd", "removed_top", "removed_bottom")
    table = Table(("concept", "templates", *names))
    for found in findings:
        if found.areas:
            areas = [found.areas[name] for name in names]
            values = [with_interval(row["estimate"], row["ci_low"], row["ci_high"]) for row in areas]
            table.rows.append([Foreign(found.concept), str(areas[0]["n_templates"]), *values])
    return table


def smallest_table(findings: Sequence[ConceptFindings]) -> Table:
    """The smallest set of each direction: the share it removed where it was chosen, and where it was not."""
    table = Table(("concept", "heads", "share_asked", "where_chosen", "other_half", "ci", "templates"))
    for row in (row for found in findings for row in found.smallest):
        low, high = row["share_ci_low"], row["share_ci_high"]
        table.rows.append(
            [
                Foreign(row["concept"]),
                head_names(str(row["heads"])) or table.missing(Foreign(row["note"])),
                share(row["share_asked"]),
                share(row["share_chosen_on"]),
                share(row["share"]),
                MISSING if isnan(as_float(low)) else f"[{share(low)}, {share(high)}]",
                str(row["n_templates"]),
            ]
        )
    return table


def marginal_table(found: ConceptFindings) -> Table:
    """For each head of a top set: its single effect, and what its removal adds once the others are off."""
    return Table(
        ("head", "set", "alone", "ci", "adds", "ci", "q", "templates"),
        [
            [
                head_names(head),
                head_names(added.heads),
                *_effect(alone),
                *_effect(added),
                probability(added.q_value),
                str(added.n_templates),
            ]
            for head, added, alone in found.marginals
        ],
    )


def example_table(texts: pd.DataFrame, one: SetFindings, n_examples: int = EXAMPLES) -> Table:
    """The first prompts of one set with both continuations: chosen by their order, never by their result."""
    rows = texts[(texts["concept"] == one.concept) & (texts["heads"] == one.heads)]
    edits = list(dict.fromkeys(map(str, rows["edit"])))
    rows = rows[rows["edit"] == ("mean" if "mean" in edits else edits[0])] if edits else rows
    names = ("prompt", "baseline_text", "edited_text")
    return Table(
        names,
        [
            [Verbatim(str(row[name]), LONGEST_TEXT) for name in names]
            for row in rows.drop_duplicates(["prompt_id"]).head(n_examples).to_dict("records")
        ],
    )
