"""The cells of the report's tables. Nothing is decided here: a table shows what the run's tables hold.

A missing number is ``—`` with a mark, and the mark's reason stands under the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import pandas as pd

from headscope.plots.selecting import OVERALL
from headscope.report.escaping import code, plain
from headscope.report.evidence import Effect
from headscope.report.findings import ConceptFindings, SetFindings
from headscope.report.numbers import MISSING, as_float, count, interval, number, probability, share
from headscope.report.phrases import Language, named
from headscope.stats.ranking import rank_heads

TOP_N = 10
EXAMPLES = 2
LONGEST_TEXT = 160
_MARKS = "ᵃᵇᶜᵈᵉᶠᵍʰ"
_ORDINARY_VERDICTS = ("no effect", "no verdict")


@dataclass
class Table:
    """Cells of one table, row by row, and why cells are missing."""

    rows: list[list[str]] = field(default_factory=list[list[str]])
    reasons: dict[str, str] = field(default_factory=dict[str, str])

    def missing(self, reason: str) -> str:
        """An empty cell that points to its reason."""
        if not reason:
            return MISSING
        mark = self.reasons.setdefault(reason, _MARKS[min(len(self.reasons), len(_MARKS) - 1)])
        return f"{MISSING}{mark}"

    @property
    def notes(self) -> list[str]:
        """``ᵃ reason`` for each mark used."""
        return [f"{mark} {reason}" for reason, mark in self.reasons.items()]


def coverage_table(findings: Sequence[ConceptFindings]) -> Table:
    """Which prompts could be compared, and how."""
    counts = ("n_prompts", "n_spans", "n_implicit", "n_paired_equal", "n_paired_unequal", "n_length_matched")
    counts = (*counts, "n_unmatched", "n_without_query", "n_without_remainder")
    rows = [
        [
            plain(found.concept),
            *(count(found.coverage[name]) for name in counts),
            share(found.coverage["coverage_share"]),
        ]
        for found in findings
        if found.coverage
    ]
    return Table(rows)


def assay_cells(findings: Sequence[ConceptFindings], language: Language) -> Table:
    """Whether the unedited model shows each concept."""
    table = Table()
    for found in findings:
        gap = found.assay
        if gap is not None:
            table.rows.append(
                [
                    plain(found.concept),
                    number(gap.after),
                    number(gap.before),
                    number(gap.estimate),
                    _or_missing(table, interval(gap.low, gap.high), gap, language),
                    _or_missing(table, probability(gap.p_value), gap, language),
                    share(found.share_right),
                    str(gap.n_prompts),
                    str(gap.n_templates),
                ]
            )
    return table


def screen_cells(found: ConceptFindings, language: Language, top_n: int = TOP_N) -> Table:
    """The heads that look most at one concept."""
    table = Table()
    for rank, head in enumerate(found.looked[:top_n], start=1):
        table.rows.append(
            [
                str(rank),
                named(head.heads),
                number(head.estimate),
                number(head.after),
                number(head.before),
                _or_missing(table, interval(head.low, head.high), head, language),
                interval(head.sim_low, head.sim_high),
                _or_missing(table, probability(head.q_value), head, language),
                number(head.mde),
                language.attends(found.answers.get(head.heads, "")),
            ]
        )
    return table


def comparison_cells(one: SetFindings, language: Language) -> Table:
    """Baseline beside every edit of one set, outcome by outcome: metric, arms, Δ, interval, p, q, d_z, power."""
    table = Table()
    order: dict[str, None] = dict.fromkeys(effect.outcome for effect in (*one.effects, *one.damage))
    for outcome in order:
        for effect in (*one.effects, *one.damage):
            if effect.outcome == outcome:
                table.rows.append(_comparison_row(table, effect, language))
    return table


def _comparison_row(table: Table, effect: Effect, language: Language) -> list[str]:
    def cell(text: str) -> str:
        return _or_missing(table, text, effect, language)

    return [
        language.outcome(effect.outcome),
        language.edit(effect.edit),
        cell(number(effect.before)),
        cell(number(effect.after)),
        cell(number(effect.estimate)),
        cell(interval(effect.low, effect.high)),
        cell(probability(effect.p_value)),
        cell(probability(effect.q_value)),
        cell(number(effect.d_z)),
        cell(number(effect.mde)),
    ]


def _or_missing(table: Table, text: str, effect: Effect, language: Language) -> str:
    return table.missing(language.missing(effect)) if text == MISSING else text


def ranking_cells(ranking: pd.DataFrame, by: str, concept: str = OVERALL, top_n: int = TOP_N) -> Table:
    """The overall ranking by one kind of score."""
    rows = ranking[(ranking["concept"] == concept) & (ranking["by"] == by)].sort_values("rank").head(top_n)
    columns = ("score", "screen_delta", "value_weighted_delta", "effect_estimate", "effect_zero_estimate")
    return Table(
        [
            [count(row["rank"]), f"L{int(row['layer'])}H{int(row['head'])}", *(number(row[name]) for name in columns)]
            for row in rows.to_dict("records")
        ]
    )


def layer_cells(layers: pd.DataFrame, concept: str) -> Table:
    """One concept's statistics by layer."""
    return Table(
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
        ]
    )


def _at(row: Mapping[Any, Any], value: str, head: str) -> str:
    text = number(row[value])
    return text if text == MISSING else f"{text} (L{count(row['layer'])}H{count(row[head])})"


def beside_cells(tables: Mapping[str, pd.DataFrame], concept: str, language: Language, top_n: int = TOP_N) -> Table:
    """What the heads with the largest effects look at: screening beside cause, with the verdict where there is one."""
    screen, effects = tables["screen"], tables["effects"]
    ranked = rank_heads(
        screen[screen["concept"] == concept],
        effects[effects["concept"] == concept],
        tables.get("verdicts"),
        top_n=None,
        by="effect",
    )
    rows: list[list[str]] = []
    for row in ranked[ranked["concept"] == concept].head(top_n).to_dict("records"):
        verdict = row["verdict"]
        rows.append(
            [
                f"L{int(row['layer'])}H{int(row['head'])}",
                number(row["screen_delta"]),
                interval(row["screen_ci_low"], row["screen_ci_high"]),
                probability(row["screen_q"]),
                number(row["value_weighted_delta"]),
                number(row["effect_estimate"]),
                interval(row["effect_ci_low"], row["effect_ci_high"]),
                probability(row["effect_p_max_t"]),
                number(row["effect_zero_estimate"]),
                language.verdict(verdict) if isinstance(verdict, str) and verdict else MISSING,
            ]
        )
    return Table(rows)


def verdict_counts(findings: Sequence[ConceptFindings], language: Language) -> Table:
    """How many single heads got each verdict, a column a concept."""
    names = dict.fromkeys(
        str(row["verdict"]) for found in findings for row in found.verdicts if "," not in str(row["heads"])
    )
    return Table(
        [[language.verdict(name), *(str(len(found.judged(name))) for found in findings)] for name in sorted(names)]
    )


def verdict_cells(found: ConceptFindings, language: Language, top_n: int = 2 * TOP_N) -> Table:
    """The heads and sets of one concept that are more than ordinary, strongest first; evidence behind each verdict."""
    rows = [row for row in found.verdicts if row["verdict"] not in _ORDINARY_VERDICTS]
    rows.sort(key=lambda row: -abs(as_float(row["estimate"])))
    return Table(
        [
            [
                named(str(row["heads"])),
                language.verdict(str(row["verdict"])),
                number(row["estimate"]),
                interval(row["sim_low"], row["sim_high"]),
                language.attends(str(row["attends"])),
                _with_interval(row["attention_share"], row["attention_share_low"], row["attention_share_high"]),
                language.reads(found.reads.get(str(row["heads"]), {})) or MISSING,
                _with_interval(row["specificity"], row["specificity_low"], row["specificity_high"]),
                interval(row["perplexity_ratio_low"], row["perplexity_ratio_high"]),
                count(row["templates_needed"]),
            ]
            for row in rows[:top_n]
        ]
    )


def _with_interval(value: Any, low: Any, high: Any) -> str:
    return MISSING if isnan(as_float(value)) else f"{number(value)} {interval(low, high)}"


def set_cells(findings: Sequence[ConceptFindings], language: Language) -> Table:
    """Joint effect of every set beside the sum of its heads' single effects and its place among random sets."""
    table = Table()
    for found in findings:
        for one in found.sets:
            joint, total, null = one.primary, one.total, one.null
            if joint is None:
                continue
            beyond = as_float(null["percentile"]) if null is not None else float("nan")
            table.rows.append(
                [
                    plain(found.concept),
                    named(one.heads),
                    str(joint.n_templates),
                    number(joint.estimate),
                    _or_missing(table, interval(joint.low, joint.high), joint, language),
                    number(total.estimate) if total is not None else MISSING,
                    interval(total.low, total.high) if total is not None else MISSING,
                    count(null["n_random"]) if null is not None else MISSING,
                    probability(1 - beyond / 100),
                    number(null["floor"]) if null is not None else MISSING,
                ]
            )
    return table


def reliability_cells(tables: Mapping[str, pd.DataFrame]) -> Table:
    """Would other templates rank the heads alike? A row a concept and ranking."""
    rows: list[list[str]] = []
    stability = tables.get("stability")
    for row in tables["reliability"].to_dict("records") if "reliability" in tables else []:
        alone = MISSING
        if stability is not None and row["by"] == "effect":
            shares = stability.loc[stability["concept"] == row["concept"], "stable_share"]
            alone = f"{int((shares < 1.0).sum())} / {int(shares.notna().sum())}"
        rows.append(
            [
                plain(str(row["concept"])),
                str(row["by"]),
                str(row["n_templates"]),
                _with_interval(row["spearman_brown"], row["spearman_brown_low"], row["spearman_brown_high"]),
                str(row["k"]),
                _with_interval(row["jaccard"], row["jaccard_low"], row["jaccard_high"]),
                alone,
            ]
        )
    return Table(rows)


def area_cells(findings: Sequence[ConceptFindings]) -> Table:
    """Areas of the cumulative curves, a row a concept."""
    rows: list[list[str]] = []
    for found in findings:
        if found.areas:
            areas = [found.areas[name] for name in ("cpr", "cmd", "removed_top", "removed_bottom")]
            values = [_with_interval(row["estimate"], row["ci_low"], row["ci_high"]) for row in areas]
            rows.append([plain(found.concept), str(areas[0]["n_templates"]), *values])
    return Table(rows)


def smallest_cells(findings: Sequence[ConceptFindings]) -> Table:
    """The smallest set of each direction: the share it removed where it was chosen, and where it was not."""
    table = Table()
    for found in findings:
        for row in found.smallest:
            table.rows.append(
                [
                    plain(found.concept),
                    named(str(row["heads"])) or table.missing(plain(str(row["note"]))),
                    share(row["share_asked"]),
                    share(row["share_chosen_on"]),
                    share(row["share"]),
                    MISSING
                    if isnan(as_float(row["share_ci_low"]))
                    else f"[{share(row['share_ci_low'])}, {share(row['share_ci_high'])}]",
                    str(row["n_templates"]),
                ]
            )
    return table


def marginal_cells(found: ConceptFindings) -> Table:
    """For each head of a top set: its single effect, and what its removal adds once the others are off."""
    return Table(
        [
            [
                named(head),
                named(added.heads),
                number(alone.estimate) if alone is not None else MISSING,
                interval(alone.low, alone.high) if alone is not None else MISSING,
                number(added.estimate),
                interval(added.low, added.high),
                probability(added.q_value),
                str(added.n_templates),
            ]
            for head, added, alone in found.marginals
        ]
    )


def example_cells(texts: pd.DataFrame, one: SetFindings, n_examples: int = EXAMPLES) -> Table:
    """The first prompts of one set with both continuations: chosen by their order, never by their result."""
    rows = texts[(texts["concept"] == one.concept) & (texts["heads"] == one.heads)]
    edits = list(dict.fromkeys(map(str, rows["edit"])))
    rows = rows[rows["edit"] == ("mean" if "mean" in edits else edits[0])] if edits else rows
    cut: Callable[[Any], str] = lambda text: code(text, LONGEST_TEXT)  # noqa: E731 - one word, three uses
    return Table(
        [
            [cut(row["prompt"]), cut(row["baseline_text"]), cut(row["edited_text"])]
            for row in rows.drop_duplicates(["prompt_id"]).head(n_examples).to_dict("records")
        ]
    )
