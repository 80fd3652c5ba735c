"""The report of a run that asked benchmarks: one table, with what it says in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from headscope.report.document import Block, Foreign, Section, Table, Text
from headscope.report.escaping import code, plain
from headscope.report.numbers import count, interval, number, probability
from headscope.report.run_report import RunReport
from headscope.stats.paired_items import LOWER_IS_BETTER

Tell = Callable[[RunReport], Iterator[Block]]


def evaluation_sections(run: RunReport, others: Mapping[str, Tell]) -> Iterator[Section]:
    """All of the evidence: what was asked, the benchmarks, then ``others`` by the key of their words."""
    words = run.words
    title = words("intro.evidence", title=words("evaluation.report", model=plain(run.facts.model)))
    yield Section("intro", title, 1, [Text(asked(run))])
    yield Section("evaluation", words("evaluation.title"), 2, list(_evaluation(run)))
    for key, tell in others.items():
        yield Section(key, words(f"{key}.title"), 2, list(tell(run)))


def benchmarks(run: RunReport, most: int) -> list[str]:
    """What was asked, and the first rows in a sentence each."""
    words, rows = run.words, run.tables["evaluation"]
    told = [
        words(
            "evaluation.told" if row["p_value"] == row["p_value"] else "evaluation.told_alone",
            task=plain(row["task"]), metric=plain(row["metric"]) + _lower(run, row),
            baseline=number(row["baseline_mean"]), edited=number(row["edited_mean"]), delta=number(row["estimate"]),
            ends=interval(row["ci_low"], row["ci_high"]), p=probability(row["p_value"]), items=count(row["n_items"]),
        )
        for row in rows.head(most).to_dict("records")
    ]  # fmt: skip
    return [asked(run), *told]


def asked(run: RunReport) -> str:
    """Which model was asked, with which edit of which heads."""
    rows = run.tables["evaluation"]
    return run.words(
        "evaluation.asked", model=code(run.facts.model), heads=code(rows["heads"].iloc[0]),
        edit=code(rows["edit"].iloc[0]), seed=plain(run.facts.seed),
    )  # fmt: skip


def _lower(run: RunReport, row: Mapping[Hashable, Any]) -> str:
    """Says of a metric of which less is better that it is one."""
    return run.words("evaluation.lower") if str(row["note"]).startswith(LOWER_IS_BETTER) else ""


def _evaluation(run: RunReport) -> Iterator[Block]:
    yield benchmark_table(run)
    yield run.say("evaluation.about")


def benchmark_table(run: RunReport) -> Table:
    """A row a task and metric."""
    table = Table(
        ("task", "metric", "items", "baseline", "edited_score", "delta", "ci", "p", "q", "only_baseline", "only_edited")
    )
    for row in run.tables["evaluation"].to_dict("records"):
        why = Foreign(row["note"]) if str(row["note"]) else ""
        missing = interval(row["ci_low"], row["ci_high"]) == interval(None, None)
        table.rows.append(
            [
                Foreign(row["task"]),
                (Foreign(row["metric"]), _lower(run, row)),
                count(row["n_items"]),
                number(row["baseline_mean"]),
                number(row["edited_mean"]),
                number(row["estimate"]),
                table.missing(why) if missing else interval(row["ci_low"], row["ci_high"]),
                probability(row["p_value"]),
                probability(row["q_value"]),
                count(row["n_only_baseline_right"]),
                count(row["n_only_edited_right"]),
            ]
        )
    return table
