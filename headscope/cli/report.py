"""``headscope report RUN``: the report, in each language, and the page. Reads the folder only."""

from __future__ import annotations

from headscope.cli import console, options, results


def command(
    run: options.RunFolder,
    language: options.Languages = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Write a run's report from its folder: Markdown in English and Japanese, and one HTML page.

    [bold]Examples[/bold]

    headscope report runs/demo

    headscope report runs/demo --language ja --force
    """
    from headscope.report.words import check_language
    from headscope.report.writing import write_report
    from headscope.runs.folder import Run

    languages = tuple(language or ("en", "ja"))
    check_language(*languages)
    with Run.open(run, write=True, force=force) as opened:
        results.print_unfinished(opened)
        paths = write_report(opened, languages=languages)
    if json:
        console.print_json(results.facts(opened) | {"reports": list(map(str, paths))})
        return
    for path in paths:
        console.say(str(path))
