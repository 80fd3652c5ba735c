"""The study's 432 published differences beside measured ones.

    python -m src.analysis.compare_published --head-scores results/baseline/alignment/head_scores_gpt2.json

Figures agree within ``--tolerance``; the published ones are kept to six decimals (``src/reference/phase6_gpt2.json``).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from headscope.cli import console
from headscope.cli.exits import run_and_exit

PUBLISHED = Path(__file__).resolve().parents[1] / "reference" / "phase6_gpt2.json"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def compare_published(
    head_scores: Annotated[Path, typer.Option("--head-scores", help="A head_scores JSON.", show_default=False)],
    tolerance: Annotated[float, typer.Option("--tolerance", min=0, help="Largest difference that agrees.")] = 1e-4,
) -> None:
    """Print the study's 432 published differences beside those of a head_scores file."""
    from headscope.runs.phase6 import read_head_scores

    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    scores = read_head_scores(head_scores)
    measured = {(row.emotion, row.layer, row.head): row.delta_attn for row in scores.scores}
    rows: list[dict[str, Any]] = []
    for emotion, layers in published["delta_attn"].items():
        for layer, heads in enumerate(layers):
            for head, figure in enumerate(heads):
                found = measured.get((emotion, layer, head), math.nan)
                agrees = abs(found - figure) <= tolerance
                rows.append(
                    {
                        "emotion": emotion,
                        "head": f"{layer}:{head}",
                        "published": f"{figure:+.6f}",
                        "measured": f"{found:+.6f}" if math.isfinite(found) else None,
                        "difference": f"{found - figure:+.6f}" if math.isfinite(found) else None,
                        "agrees": agrees,
                    }
                )
    console.print_table(published["source"], rows, {name: name for name in rows[0]})
    n_agree, n_missing = sum(row["agrees"] for row in rows), sum(row["measured"] is None for row in rows)
    console.say(
        f"{n_agree} of {len(rows)} figures of {published['model']} agree within {tolerance:g} with those of "
        f"{scores.model} ({scores.protocol}); {n_missing} are not in {head_scores}"
    )


if __name__ == "__main__":
    run_and_exit(app, "compare_published")
