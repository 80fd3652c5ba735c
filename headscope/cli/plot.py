"""``headscope plot RUN``: every picture the run's tables allow. Reads the folder only."""

from __future__ import annotations

from headscope.cli import console, results
from headscope.cli.commands import command
from headscope.settings import Keeping
from headscope.settings.command_line import OneRun, Printed


@command("run top_n force json", top_n=20)
def plot(one: OneRun, keeping: Keeping, printed: Printed) -> None:
    """Draw every picture that a run's tables allow into its folder, as PNG and SVG.

    [bold]Examples[/bold]

    headscope plot runs/demo

    headscope plot runs/demo --top-n 10 --force
    """
    from headscope.plots.writing import undrawn_labels, write_plots
    from headscope.runs.folder import Run

    with Run.open(one.run, write=True, force=keeping.force) as opened:
        paths = write_plots(opened, top_n=printed.top_n)
        if sentence := undrawn_labels(opened):
            console.warn(sentence)
    if printed.json:
        console.print_json(results.facts(opened) | {"plots": list(map(str, paths))})
        return
    if not paths:
        console.say(f"{one.run}: none of its tables is drawn")
    for path in paths:
        console.say(str(path))
