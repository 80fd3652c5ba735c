"""``headscope rank RUN``: heads in order, and what each is to each concept. Reads the folder only."""

from __future__ import annotations

from typing import cast

from headscope.cli import console, options, results
from headscope.cli.asking import ask_criteria, one_of
from headscope.errors import RequestError


def command(
    run: options.RunFolder,
    by: options.By = None,
    signed: options.Signed = False,
    top_n: options.TopN = 10,
    minimum_effect: options.MinimumEffect = None,
    minimum_attention: options.MinimumAttention = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
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

    if by is not None:
        one_of("order", by, ("screen", "effect"))
    with Run.open(run, write=True, force=force) as opened:
        wanted = ("screen", "effects", "assay", "attention_by_region")
        tables = {name: opened.table(name) for name in wanted if name in opened.tables}
        if not {"screen", "effects"} & set(tables):
            raise RequestError("the run has nothing to rank", expected="a table screen or effects", where=str(run))
        ranked = rank(
            tables.get("screen"),
            tables.get("effects"),
            assay=tables.get("assay"),
            regions=tables.get("attention_by_region"),
            top_n=top_n,
            by=cast("By | None", by),
            signed=signed,
            criteria=ask_criteria(minimum_effect, minimum_attention, opened),
        )
        for name, table in ranked.tables.items():
            opened.write_table(name, table)
    if json:
        console.print_json(results.facts(opened) | {name: console.records(t) for name, t in ranked.tables.items()})
        return
    if not quiet:
        results.print_rows("", ranked.table, results.RANKING)
    console.say(f"run: {opened.path}")
