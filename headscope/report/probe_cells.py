"""The report's part on probes: off which heads the concept can be read, and which of them change nothing without."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from headscope.report.cells import head_at, of, records, table_of
from headscope.report.document import Block, Heading, Table
from headscope.report.escaping import plain
from headscope.report.numbers import interval, number, probability
from headscope.report.run_report import RunReport
from headscope.stats.decodability import knowing_not_acting
from headscope.terms import ALPHA

_TOP_N = 5
_NAMED = 10


def knows(run: RunReport) -> Iterator[Block]:
    """For each concept the heads that tell it best, and those that tell it and whose removal matters not."""
    probes = run.tables.get("probes")
    if probes is None:
        return
    yield run.say("knows.about")
    for concept in map(str, dict.fromkeys(probes["concept"])):
        rows = probes[probes["concept"] == concept]
        yield Heading(plain(concept))
        yield probe_table(rows)
        tested, told = rows["p_max_t"].notna(), rows["p_max_t"] <= ALPHA
        if not tested.any():
            yield run.say("knows.untested")
            continue
        yield run.say("knows.told", int(told.sum()), of=int(tested.sum()), share=number(rows["residual_auroc"].mean()))
        if "verdicts" in run.tables:
            idle = knowing_not_acting(rows, run.tables["verdicts"])
            names = [f"L{row['layer']}H{row['head']}" for row in records(idle)]
            yield (
                run.say("knows.idle", len(names), heads=run.words.listed(names, _NAMED, by="items"))
                if names
                else (run.say("knows.no_idle"))
            )


def best_read(run: RunReport, concept: str) -> str:
    """Off which head a concept can be read best, and off how many beyond shuffled labels, in sentences."""
    words, probes = run.words, run.tables["probes"]
    rows = probes[probes["concept"] == concept]
    best = records(_best(rows))[0]
    low, high = best["probe_auroc_low"], best["probe_auroc_high"]
    sure = words("no_ci") if pd.isna(low) else words("ci", ends=interval(low, high))
    tested = int(rows["p_max_t"].notna().sum())
    told = (
        words("headline.told", int((rows["p_max_t"] <= ALPHA).sum()), of=tested) if tested else words("knows.untested")
    )
    first = words(
        "headline.probed",
        name=f"**{plain(concept)}**",
        head=head_at(best["layer"], best["head"]),
        auroc=number(best["probe_auroc"]),
        ci=sure,
    )
    return words.sentences(first, told, words("headline.not_removed"))


def _best(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["probe_auroc", "probe_accuracy"], ascending=False, kind="stable").head(_TOP_N)


def probe_table(rows: pd.DataFrame) -> Table:
    """The heads of one concept with the largest AUROC, then accuracy."""
    table = table_of(
        records(_best(rows)),
        of(head_at, head="layer head"),
        of(number, probe_auroc="probe_auroc"),
        of(interval, ci="probe_auroc_low probe_auroc_high"),
        of(probability, p_max_t="p_max_t"),
        of(number, probe_accuracy="probe_accuracy", shuffled_auroc="shuffled_auroc", residual_auroc="residual_auroc"),
    )
    return table.without_empty("p_max_t", "shuffled_auroc", "residual_auroc")
