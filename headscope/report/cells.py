"""The report's tables. Nothing is decided here: a table shows what the run's tables hold.

A table is its columns: title, format, and the columns of a row that the format takes. A missing number is ``—`` with a
mark, and the mark's reason stands under the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import isnan
from typing import Any, TypeAlias

import pandas as pd

from headscope.report.document import Cell, Foreign, Table, Verbatim
from headscope.report.evidence import Effect
from headscope.report.findings import ConceptFindings, SetFindings
from headscope.report.numbers import MISSING, as_float, count, interval, number, probability, share
from headscope.report.telling import Teller, head_names
from headscope.stats.ranking import OVERALL

TOP_N = 10
EXAMPLES = 2
_LONGEST_TEXT = 160
_ORDINARY_VERDICTS = ("no effect", "no verdict")

Column: TypeAlias = tuple[str, Callable[..., Cell], list[str], bool]
"""Title, format, the row's values that the format takes, and whether a missing cell points to the row's ``why``."""


def of(shown: Callable[..., Cell], **titles: str) -> list[Column]:
    """Columns of one format: title -> names of the row's values, with spaces between them."""
    return [(title, shown, names.split(), False) for title, names in titles.items()]


def or_why(shown: Callable[..., Cell], **titles: str) -> list[Column]:
    """The same, where a missing cell points to the row's reason, ``why``."""
    return [(title, shown, names.split(), True) for title, names in titles.items()]


def table_of(rows: Iterable[Mapping[Any, Any]], *columns: list[Column]) -> Table:
    """A table with a line a row."""
    every = [column for group in columns for column in group]
    table = Table(tuple(title for title, *_ in every))
    for row in rows:
        cells: list[Cell] = []
        for _, shown, names, explained in every:
            cell = shown(*(row[name] for name in names))
            cells.append(table.missing(row["why"]) if explained and cell == MISSING else cell)
        table.rows.append(cells)
    return table


def records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """A table's rows."""
    return table.to_dict("records")


def with_interval(value: Any, low: Any, high: Any) -> str:
    """``0.12 [0.10, 0.14]``, or ``—``."""
    return MISSING if isnan(as_float(value)) else f"{number(value)} {interval(low, high)}"


def share_interval(low: Any, high: Any) -> str:
    """``[12.0 %, 34.0 %]``, or ``—``."""
    return MISSING if isnan(as_float(low)) else f"[{share(low)}, {share(high)}]"


def head_at(layer: Any, head: Any) -> str:
    """``L1H10``."""
    return f"L{int(layer)}H{int(head)}"


def verbatim(text: Any) -> Verbatim:
    """A text of a model or a profile, not longer than a cell may be."""
    return Verbatim(str(text), _LONGEST_TEXT)


def _effect_row(effect: Effect, teller: Teller) -> dict[str, Any]:
    return {**vars(effect), "why": teller.missing(effect)}


def _beside(name: str, effect: Effect | None) -> dict[str, Any]:
    """Estimate and interval, under names of their own, of an effect that may not have been measured."""
    values = (None, None, None) if effect is None else (effect.estimate, effect.low, effect.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


CONCEPT = of(Foreign, concept="concept")
INTERVAL = of(interval, ci="ci_low ci_high")
_HEAD = of(head_at, head="layer head")
_HEADS = of(head_names, heads="heads")
_TEMPLATES = of(str, templates="n_templates")


def coverage_table(findings: Sequence[ConceptFindings]) -> Table:
    """Which prompts could be compared, and how."""
    return table_of(
        (found.coverage for found in findings if found.coverage),
        CONCEPT,
        of(count, prompts="n_prompts", with_span="n_spans", implicit="n_implicit", equal_pairs="n_paired_equal"),
        of(count, unequal_pairs="n_paired_unequal", length_matched="n_length_matched", unmatched="n_unmatched"),
        of(count, no_query="n_without_query", only_sinks="n_without_remainder"),
        of(share, coverage="coverage_share"),
    )


def assay_table(findings: Sequence[ConceptFindings], teller: Teller) -> Table:
    """Whether the unedited model shows each concept."""
    shown = [(found.assay, found.share_right) for found in findings]
    return table_of(
        (_effect_row(gap, teller) | {"right": right} for gap, right in shown if gap is not None),
        CONCEPT,
        of(number, concept_prompts="after", controls="before", gap="estimate"),
        or_why(interval, ci="low high"),
        or_why(probability, p="p_value"),
        of(share, prompts_right="right"),
        of(str, prompts="n_prompts", templates="n_templates"),
    )


def screen_table(found: ConceptFindings, teller: Teller, top_n: int = TOP_N) -> Table:
    """The heads that look most at one concept."""
    return table_of(
        (_effect_row(head, teller) | {"rank": rank} for rank, head in enumerate(found.looked[:top_n], start=1)),
        of(str, rank="rank"),
        of(head_names, head="heads"),
        of(number, delta="estimate", concept_mean="after", control_mean="before"),
        or_why(interval, ci="low high"),
        of(interval, sim_ci="sim_low sim_high"),
        or_why(probability, q="q_value"),
        of(number, mde="mde"),
        of(lambda heads: teller.words.answer(found.answers.get(heads, "")), attends="heads"),
    )


def comparison_table(one: SetFindings, teller: Teller) -> Table:
    """Baseline beside every edit of one set, outcome by outcome."""
    effects = (*one.effects, *one.damage)
    order = list(dict.fromkeys(effect.outcome for effect in effects))
    return table_of(
        (_effect_row(effect, teller) for effect in sorted(effects, key=lambda effect: order.index(effect.outcome))),
        of(teller.words.outcome, metric="outcome"),
        of(partial(teller.words.named, "edits"), edit="edit"),
        or_why(number, baseline="before", ablation="after", delta="estimate"),
        or_why(interval, ci="low high"),
        or_why(probability, p="p_value", q="q_value"),
        or_why(number, d_z="d_z", mde="mde"),
    )


def ranking_table(ranking: pd.DataFrame, by: str, teller: Teller, top_n: int = TOP_N) -> Table:
    """The overall ranking by one kind of score."""
    rows = ranking[(ranking["concept"] == OVERALL) & (ranking["by"] == by)].sort_values("rank").head(top_n)
    table = table_of(
        _with_second_edit(rows, teller),
        of(count, rank="rank"),
        _HEAD,
        of(number, score="score", delta_attention="screen_delta", delta_value_weighted="value_weighted_delta"),
        of(number, effect_mean="effect_estimate"),
        or_why(number, effect_zero="effect_zero_estimate"),
    )
    return table.without_empty("effect_mean", "effect_zero")


def _with_second_edit(rows: pd.DataFrame, teller: Teller) -> list[dict[Any, Any]]:
    """Ranked rows, each with why it may lack an effect of the second edit."""
    why = "" if teller.awaits("verdicts") else teller.too_small
    return [{**row, "why": why} for row in records(rows)]


def layer_table(layers: pd.DataFrame, concept: str, limit: float) -> Table:
    """One concept's statistics by layer; ``limit`` is the smallest attention that matters."""
    table = table_of(
        records(layers[layers["concept"] == concept]),
        of(count, layer="layer", n_heads="n_heads"),
        of(number, mean_delta="mean_delta", mean_abs_delta="mean_abs_delta"),
        of(_with_head, max_delta="max_delta layer max_delta_head"),
        of(count, n_attending="n_attending"),
        of(number, effect_sum="effect_sum"),
        of(_with_head, effect_min="effect_min layer effect_min_head"),
    )
    table.limit = number(limit)
    return table.without_empty("effect_sum", "effect_min")


def _with_head(value: Any, layer: Any, head: Any) -> str:
    text = number(value)
    return text if text == MISSING else f"{text} (L{count(layer)}H{count(head)})"


def beside_table(ranked: pd.DataFrame, concept: str, teller: Teller, top_n: int = TOP_N) -> Table:
    """What the heads with the largest effects look at: screening beside cause, with the verdict where there is one.

    ``ranked``: heads in the order of their effects, as ``RunContent.ranked``.
    """

    def judged(verdict: Any) -> Cell:
        return teller.words.named("verdicts", verdict) if isinstance(verdict, str) and verdict else MISSING

    table = table_of(
        _with_second_edit(ranked[ranked["concept"] == concept].head(top_n), teller),
        _HEAD,
        of(number, delta_attention="screen_delta"),
        of(interval, ci="screen_ci_low screen_ci_high"),
        of(probability, q="screen_q"),
        of(number, delta_value_weighted="value_weighted_delta", effect_mean="effect_estimate"),
        of(interval, ci="effect_ci_low effect_ci_high"),
        of(probability, p_max_t="effect_p_max_t"),
        or_why(number, effect_zero="effect_zero_estimate"),
        of(number, probe_auroc="probe_auroc"),
        of(judged, verdict="verdict"),
    )
    return table.without_empty("effect_zero", "probe_auroc", "verdict")


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
    return table_of(
        ({**row, "why": teller.too_small} for row in rows[:top_n]),
        _HEADS,
        of(partial(teller.words.named, "verdicts"), verdict="verdict"),
        of(number, effect="estimate"),
        of(interval, sim_ci="sim_low sim_high"),
        of(teller.words.answer, attends="attends"),
        of(with_interval, attention_share="attention_share attention_share_low attention_share_high"),
        of(lambda heads: teller.places(found.reads.get(str(heads), {})) or MISSING, reads_at="heads"),
        of(with_interval, specificity="specificity specificity_low specificity_high"),
        or_why(interval, ratio_ci="perplexity_ratio_low perplexity_ratio_high"),
        of(count, would_decide="templates_needed"),
    )


def set_table(findings: Sequence[ConceptFindings], teller: Teller) -> Table:
    """Joint effect of every set beside the sum of its heads' single effects and its place among random sets."""
    null = ("n_random", "percentile", "floor")
    table = table_of(
        (
            _effect_row(one.primary, teller)
            | {"concept": one.concept, "heads": one.heads}
            | _beside("sum", one.total)
            | {name: None if one.null is None else one.null[name] for name in null}
            for found in findings
            for one in found.sets
            if one.primary is not None
        ),
        CONCEPT,
        _HEADS,
        _TEMPLATES,
        of(number, joint_delta="estimate"),
        or_why(interval, ci="low high"),
        of(number, sum_of_singles="sum"),
        of(interval, ci="sum_low sum_high"),
        of(count, random_sets="n_random"),
        of(lambda percentile: probability(1 - as_float(percentile) / 100), p_among="percentile"),
        of(number, floor="floor"),
    )
    return table.without_empty("random_sets", "p_among", "floor")


def reliability_table(tables: Mapping[str, pd.DataFrame]) -> Table:
    """Would other templates rank the heads alike? A row a concept and ranking."""
    stability = tables.get("stability")

    def rests_on_one(concept: Any, by: Any) -> str:
        if stability is None or by != "effect":
            return MISSING
        shares = stability.loc[stability["concept"] == concept, "stable_share"]
        return f"{int((shares < 1.0).sum())} / {int(shares.notna().sum())}"

    return table_of(
        records(tables.get("reliability", pd.DataFrame())),
        CONCEPT,
        of(str, by="by", templates="n_templates"),
        of(with_interval, split_half="spearman_brown spearman_brown_low spearman_brown_high"),
        of(str, k="k"),
        of(with_interval, overlap="jaccard jaccard_low jaccard_high"),
        of(rests_on_one, rests_on_one="concept by"),
    )


def area_table(findings: Sequence[ConceptFindings]) -> Table:
    """Areas of the cumulative curves, a row a concept."""

    def area(row: Mapping[str, Any]) -> str:
        return with_interval(row["estimate"], row["ci_low"], row["ci_high"])

    return table_of(
        ({**found.areas, "concept": found.concept} for found in findings if found.areas),
        CONCEPT,
        of(lambda row: str(row["n_templates"]), templates="cpr"),
        of(area, cpr="cpr", cmd="cmd", removed_top="removed_top", removed_bottom="removed_bottom"),
    )


def smallest_table(findings: Sequence[ConceptFindings]) -> Table:
    """The smallest set of each direction: the share it removed where it was chosen, and where it was not."""
    return table_of(
        ({**row, "why": Foreign(row["note"])} for found in findings for row in found.smallest),
        CONCEPT,
        or_why(lambda heads: head_names(heads) or MISSING, heads="heads"),
        of(share, share_asked="share_asked", where_chosen="share_chosen_on", other_half="share"),
        of(share_interval, ci="share_ci_low share_ci_high"),
        _TEMPLATES,
    )


def marginal_table(found: ConceptFindings) -> Table:
    """For each head of a top set: its single effect, and what its removal adds once the others are off."""
    return table_of(
        (vars(added) | {"head": head} | _beside("alone", alone) for head, added, alone in found.marginals),
        of(head_names, head="head", set="heads"),
        of(number, alone="alone"),
        of(interval, ci="alone_low alone_high"),
        of(number, adds="estimate"),
        of(interval, ci="low high"),
        of(probability, q="q_value"),
        _TEMPLATES,
    )


def example_table(texts: pd.DataFrame, one: SetFindings, n_examples: int = EXAMPLES) -> Table:
    """The first prompts of one set with both continuations: chosen by their order, never by their result."""
    rows = texts[(texts["concept"] == one.concept) & (texts["heads"] == one.heads)]
    edits = list(dict.fromkeys(map(str, rows["edit"])))
    rows = rows[rows["edit"] == ("mean" if "mean" in edits else edits[0])] if edits else rows
    shown = records(rows.drop_duplicates(["prompt_id"]).head(n_examples))
    return table_of(shown, of(verbatim, prompt="prompt", baseline_text="baseline_text", edited_text="edited_text"))
