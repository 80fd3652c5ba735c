"""``docs/images/growth.png``: seconds and peak memory of a screen against the number of prompts, from a run's JSON.

Run from the project's root: ``python -m benchmarks.growth results/benchmarks.json docs/images/growth.png``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.tasks import GROWTH, GROWTH_TOKENS


def growth_figure(rows: list[dict[str, object]]) -> Figure:
    """Two panels over the number of prompts, on logarithmic scales: seconds, and MiB above the loaded model."""
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = figure.subplots(1, 2)
    names = {f"screen {n:,} prompts of {GROWTH_TOKENS} tokens": n for n in GROWTH}
    for contestant, style in (("headscope", "o-"), ("floor", "s--")):
        mine = [row for row in rows if row["job"] in names and row["contestant"] == contestant]
        n_prompts = [names[str(row["job"])] for row in mine]
        axes[0].plot(n_prompts, [row["seconds"] for row in mine], style, label=contestant)
        if contestant == "headscope":
            axes[1].plot(n_prompts, [row["held_mib"] for row in mine], style)
    axes[0].set(xscale="log", yscale="log", xlabel="prompts", ylabel="seconds")
    axes[0].legend(frameon=False)
    axes[1].set(xscale="log", xlabel="prompts", ylabel="peak MiB above the model", ylim=(0, None))
    return figure


def main() -> None:
    """Read the JSON, write the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    rows = json.loads(arguments.results.read_text(encoding="utf-8"))["rows"]
    growth_figure(rows).savefig(arguments.picture, dpi=150)


if __name__ == "__main__":
    main()
