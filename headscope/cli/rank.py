"""``headscope rank RUN``: heads in order, and what each is to each concept. Reads the folder only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from headscope.cli import console, results
from headscope.cli.commands import command
from headscope.cli.job import criteria_of
from headscope.errors import RequestError, one_of
from headscope.settings import Judging, Keeping, Option
from headscope.settings.command_line import OneRun, Printed
from headscope.settings.groups import MEASURE


@dataclass(frozen=True, kw_only=True)
class _Order(OneRun):
    by: Annotated[str | None, Option("Rank by the 'screen' or by the causal 'effect'; left out: both.", MEASURE)] = None
    signed: Annotated[bool, Option("Rank by the signed value instead of its size.", MEASURE)] = False


@command("run by signed top_n minimum_effect minimum_attention force json quiet")
def rank(order: _Order, judging: Judging, keeping: Keeping, printed: Printed) -> None:
    """Rank the heads of a run, by layer too, and judge them; where a head looks stands beside what happens without it.

    Writes the tables ranking, layers and verdicts into the run.

    [bold]Examples[/bold]

    headscope rank runs/demo

    headscope rank runs/demo --by effect --signed --top-n 20 --force

    headscope rank runs/demo --minimum-attention 0.05 --force
    """
    from headscope.runs.folder import Run
    from headscope.stats.ranking import By
    from headscope.verbs.rank import rank

    if order.by is not None:
        one_of("order", order.by, ("screen", "effect"))
    with Run.open(order.run, write=True, force=keeping.force) as opened:
        wanted = ("screen", "effects", "assay", "attention_by_region", "probes")
        tables = {name: opened.table(name) for name in wanted if name in opened.tables}
        if not {"screen", "effects"} & set(tables):
            raise RequestError(
                "the run has nothing to rank", expected="a table screen or effects", where=str(order.run)
            )
        ranked = rank(
            tables.get("screen"),
            tables.get("effects"),
            assay=tables.get("assay"),
            regions=tables.get("attention_by_region"),
            probes=tables.get("probes"),
            top_n=printed.top_n,
            by=cast("By | None", order.by),
            signed=order.signed,
            criteria=criteria_of(judging, opened),
        )
        for name, table in ranked.tables.items():
            opened.write_table(name, table)
    if printed.json:
        console.print_json(results.facts(opened) | {name: console.records(t) for name, t in ranked.tables.items()})
        return
    if not printed.quiet:
        results.print_rows("", ranked.table, "ranking")
    console.say(f"run: {opened.path}")
