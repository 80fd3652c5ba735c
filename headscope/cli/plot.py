"""``headscope plot RUN``: every picture the run's tables allow. Reads the folder only."""

from __future__ import annotations

from headscope.cli import console, options, results


def command(
    run: options.RunFolder,
    top_n: options.TopN = 20,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Draw every picture that a run's tables allow into its folder, as PNG and SVG.

    [bold]Examples[/bold]

    headscope plot runs/demo

    headscope plot runs/demo --top-n 10 --force
    """
    from headscope.plots.writing import undrawn_labels, write_plots
    from headscope.runs.folder import Run

    with Run.open(run, write=True, force=force) as opened:
        paths = write_plots(opened, top_n=top_n)
        if sentence := undrawn_labels(opened):
            console.warn(sentence)
    if json:
        console.print_json(results.facts(opened) | {"plots": list(map(str, paths))})
        return
    for path in paths:
        console.say(str(path))
