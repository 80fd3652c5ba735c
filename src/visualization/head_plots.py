"""Phase 6 pictures: head reactions, top heads and the ablation, from the study's two files.

    python -m src.visualization.head_plots --profile baseline --head-scores head_scores_gpt2.json \
        --ablation-file gpt2_gratitude_1_10.pkl --output-dir results/baseline/plots/heads --top-n 20

Files may be the study's own: where they hold no intervals, none are drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from headscope.cli import console
from headscope.cli.commands import command
from headscope.cli.exits import run_and_exit
from headscope.cli.inputs import check_outputs
from headscope.errors import RequestError
from headscope.profiles.explaining import describe
from headscope.settings import Option
from headscope.settings.command_line import Printed, Prompts

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from headscope.runs.phase6 import Ablation

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, kw_only=True)
class Drawn(Prompts):
    """What is drawn, and where it goes."""

    head_scores: Annotated[Path | None, Option("A head_scores JSON.", "")] = None
    ablation_file: Annotated[Path | None, Option("An ablation .pkl or .json.", "")] = None
    output_dir: Annotated[Path | None, Option("Default: results/<profile>/plots/heads.", "")] = None


@app.command()
@command("profile head_scores ablation_file output_dir top_n", top_n=20)
def head_plots(drawn: Drawn, printed: Printed) -> None:
    """Draw head_reaction_heatmap and top_heads of head scores, ablation_comparison of an ablation; PNG and SVG."""
    from headscope.plots import ablation_comparison_figure, head_reaction_heatmap_figure, style, top_heads
    from headscope.runs.atomic import write_bytes_atomic
    from headscope.runs.paths import file_part
    from headscope.runs.phase6 import read_ablation, read_head_scores

    folder = drawn.output_dir or Path("results") / file_part(drawn.profile) / "plots" / "heads"
    check_outputs(folder)
    head_scores, ablation_file = drawn.head_scores, drawn.ablation_file
    if head_scores is None and ablation_file is None:
        raise RequestError("there is nothing to draw", fix="name --head-scores, --ablation-file, or both")
    figures: dict[str, Figure] = {}
    if head_scores is not None:
        screen = read_head_scores(head_scores).table()
        figures["head_reaction_heatmap"] = head_reaction_heatmap_figure(screen)
        figures["top_heads"] = style.figure_of(top_heads(screen, top_n=printed.top_n))
    if ablation_file is not None:
        figures["ablation_comparison"] = ablation_comparison_figure(
            _effects(read_ablation(ablation_file), ablation_file)
        )
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            console.say(str(write_bytes_atomic(folder / f"{name}.{kind}", style.image_bytes(figure, kind))))


def _effects(ablation: Ablation, path: Path) -> pd.DataFrame:
    """The file's tested effects on the first concept's prompts; of the study's own file its two arms' means."""
    import pandas as pd

    added = ablation.model_extra or {}
    if "effects" in added:
        effects, concepts = (added.get(key) for key in ("effects", "concepts"))
        rows = cast("list[Any]", effects) if isinstance(effects, list) else []
        if not (rows and all(isinstance(row, dict) and "concept" in row for row in rows)) or not (
            isinstance(concepts, list) and concepts
        ):
            raise RequestError(
                "effects of the ablation cannot be drawn",
                expected='rows with a concept, and "concepts" beside them',
                got=f"{describe(effects)}; {describe(concepts)}",
                where=str(path),
            )
        return pd.DataFrame([row for row in rows if row["concept"] == concepts[0]])
    arms = (ablation.baseline_metrics, ablation.ablation_metrics)
    means = {
        f"keyword_count_{name}": [arm.keyword_counts[name].mean for arm in arms] for name in arms[0].keyword_counts
    }
    means["sentiment"] = [arm.sentiment.mean for arm in arms]
    heads = ",".join(f"{layer}:{head}" for layer, head in ablation.heads)
    return pd.DataFrame(
        {
            "concept": "the study's",
            "heads": heads,
            "edit": "zero_keep_bias",
            "outcome": list(means),
            "estimate": [edited - baseline for baseline, edited in means.values()],
            "unit": ["mean sentiment" if name == "sentiment" else "keywords a prompt" for name in means],
            "baseline_mean": [baseline for baseline, _ in means.values()],
            "edited_mean": [edited for _, edited in means.values()],
            "ci_low": math.nan,
            "ci_high": math.nan,
            "p_value": math.nan,
        }
    )


if __name__ == "__main__":
    run_and_exit(app, "head_plots")
