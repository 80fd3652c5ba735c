"""``headscope report RUN``: the report, in each language, and the page. Reads the folder only."""

from __future__ import annotations

from headscope.cli import console, results
from headscope.cli.commands import command
from headscope.settings import Keeping
from headscope.settings.command_line import Json, OneRun
from headscope.settings.measuring import Languages


@command("run language force json")
def report(one: OneRun, asked: Languages, keeping: Keeping, printed: Json) -> None:
    """Write a run's report from its folder: Markdown in English and Japanese, and one HTML page.

    [bold]Examples[/bold]

    headscope report runs/demo

    headscope report runs/demo --language ja --force
    """
    from headscope.report.words import check_language
    from headscope.report.writing import write_report
    from headscope.runs.folder import Run

    languages = tuple(asked.languages)
    check_language(*languages)
    with Run.open(one.run, write=True, force=keeping.force) as opened:
        results.print_unfinished(opened)
        paths = write_report(opened, languages=languages)
    if printed.json:
        console.print_json(results.facts(opened) | {"reports": list(map(str, paths))})
        return
    for path in paths:
        console.say(str(path))
