"""Where heads look against what they do: Δ attention on x, the effect of removing the head on y.

A head that carries the concept by looking at it stands at the lower right; one that looks and does nothing on the
right at 0; one that acts without looking on the left below (where it looks instead is in ``attention_by_region``).
Marker and color tell the verdict where there is one.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from headscope.plots import style
from headscope.plots.labels import label_points
from headscope.plots.selecting import beside, head_name

VERDICT_STYLES = {
    "carrier": (style.VERMILION, "o"),
    "shared carrier": (style.ORANGE, "D"),
    "carrier, reading elsewhere": (style.PURPLE, "s"),
    "suppressor": (style.BLUE, "v"),
    "causal, not specific": (style.GREEN, "P"),
    "general damage": (style.BLACK, "X"),
    "attends only": (style.SKY, ">"),
    "undecided": (style.GRAY, "d"),
    "no effect": (style.GRAY, "."),
}
_UNKNOWN = "no verdict"
_LABELLED = 6


def screening_vs_effect(
    screen: pd.DataFrame,
    effects: pd.DataFrame,
    verdicts: pd.DataFrame | None = None,
    ax: Axes | None = None,
    *,
    concept: str | None = None,
) -> Axes:
    """One point a head and concept.

    Args:
        effects: the run's table ``effects``, of a sweep.
        verdicts: the run's table ``verdicts``; None where no verdicts were given.
        concept: only this concept; None draws all of them.

    Raises:
        RequestError: a table lacks a column.
    """
    rows = beside(screen, effects, verdicts)
    rows = rows[rows["concept"] == concept] if concept is not None else rows
    rows = rows.assign(verdict=rows["verdict"].where(rows["verdict"] != "", _UNKNOWN))
    with style.drawing(ax, style.COLUMN_INCHES, 3.1) as axes:
        axes.axhline(0, color=style.BLACK, linewidth=0.5)
        axes.axvline(0, color=style.BLACK, linewidth=0.5)
        groups = rows.groupby("verdict", sort=False)
        names = [*VERDICT_STYLES, *sorted(set(map(str, rows["verdict"])) - VERDICT_STYLES.keys())]
        for verdict in reversed([name for name in names if name in groups.groups]):
            part = groups.get_group(verdict)
            color, marker = VERDICT_STYLES.get(_family(verdict), (style.GRAY, "o"))
            x, y = part["screen_delta"].to_numpy(dtype=float), part["effect_estimate"].to_numpy(dtype=float)
            size = 14 if verdict != "no effect" else 8
            axes.scatter(x, y, s=size, c=color, marker=marker, linewidths=0, label=f"{verdict} ({len(part)})")
        strongest = rows.loc[rows["effect_estimate"].abs().sort_values(ascending=False, kind="stable").index]
        labelled = strongest.head(_LABELLED).to_dict("records")
        spots = [(float(row["screen_delta"]), float(row["effect_estimate"])) for row in labelled]
        of = ["" if concept else f" {style.printable(str(row['concept']), 12)}" for row in labelled]
        label_points(axes, spots, [head_name(row) + name for row, name in zip(labelled, of, strict=True)])
        axes.set(xlabel="screening: Δ attention (share)", ylabel="effect of mean ablation (nats)")
        axes.set_title(f"Looking against doing: {style.printable(concept) if concept else 'all concepts'}")
        if len(rows):
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=6.5, handletextpad=0.2)
    return axes


def _family(verdict: str) -> str:
    """The verdict without its qualifier: ``undecided (edit-dependent)`` is drawn as ``undecided``."""
    return verdict.split(" (")[0]
