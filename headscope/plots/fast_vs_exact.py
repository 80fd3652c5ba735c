"""Fast scores against exact effects: what a gradient predicts on x, what removing the head does on y.

Both are nats of the same outcome under the same edit, so a head on the diagonal is predicted exactly. One above or
below it answers otherwise than to first order: later heads repair its loss, or the outcome bends.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from headscope.plots import style
from headscope.plots.labels import label_points
from headscope.plots.selecting import concepts_of, head_name, numbers, require_columns

DRAWN = "attribution_patching"
_MARKERS = "os^DvP"
_LABELLED = 5


def both_ways(scores: pd.DataFrame, measure: str = DRAWN) -> pd.DataFrame:
    """The rows of one score whose exact effect was measured too."""
    require_columns(scores, ("concept", "layer", "head", "measure", "estimate", "exact_estimate"), "scores")
    return scores[(scores["measure"] == measure) & scores["exact_estimate"].notna()]


def fast_vs_exact(scores: pd.DataFrame, ax: Axes | None = None, *, measure: str = DRAWN) -> Axes:
    """One point a head and concept.

    Args:
        measure: the score on x.

    Raises:
        RequestError: the table lacks a column.
    """
    rows = both_ways(scores, measure)
    with style.drawing(ax, style.COLUMN_INCHES, 3.1) as axes:
        axes.axhline(0, color=style.BLACK, linewidth=0.5)
        axes.axvline(0, color=style.BLACK, linewidth=0.5)
        axes.axline((0, 0), slope=1, color=style.GRAY, linewidth=0.8, linestyle="--", label="as predicted")
        for index, concept in enumerate(concepts_of(scores)):
            part = rows[rows["concept"] == concept]
            color, marker = style.CYCLE[index % len(style.CYCLE)], _MARKERS[index % len(_MARKERS)]
            x, y = numbers(part, "estimate"), numbers(part, "exact_estimate")
            axes.scatter(x, y, s=14, c=color, marker=marker, linewidths=0, label=style.printable(concept, 20))
        off = (rows["exact_estimate"] - rows["estimate"]).abs().sort_values(ascending=False, kind="stable").index
        labelled = rows.loc[off].head(_LABELLED).to_dict("records")
        spots = [(float(row["estimate"]), float(row["exact_estimate"])) for row in labelled]
        label_points(axes, spots, [head_name(row) for row in labelled])
        axes.set(xlabel=f"{measure.replace('_', ' ')}: predicted (nats)", ylabel="exact effect (nats)")
        axes.set_title("Fast score against exact effect")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=6.5, handletextpad=0.2)
    return axes
