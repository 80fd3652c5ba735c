"""Effects of editing heads, with intervals: a forest plot.

Points are mean effects, thick lines 95 % intervals, thin lines simultaneous ones (which decide, because they pay for
looking at every head). The gray band is the smallest effect that matters; a filled point's simultaneous interval lies
beyond it. Where no band is given a filled point is detectable, and no more: family-wise p, or where there is none q, or
where there is none either p, below .05.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from headscope.errors import RequestError
from headscope.plots import style
from headscope.plots.intervals import draw_points, height_of
from headscope.plots.selecting import concepts_of, numbers, require_columns
from headscope.terms import ALPHA

_LONGEST_HEADS = 26


def forest(
    effects: pd.DataFrame,
    ax: Axes | None = None,
    *,
    top_n: int | None = 20,
    threshold_nats: float | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the rows of ``effects`` with the largest |estimate|.

    Args:
        effects: rows of the run's table ``effects`` that share one outcome and unit.
        top_n: how many rows at most; None draws all, in the table's order.
        threshold_nats: half width of the band of effects too small to matter.
        title: None names the outcome.

    Raises:
        RequestError: the table has no rows, lacks a column or mixes outcomes.
    """
    require_columns(effects, ("concept", "heads", "outcome", "estimate", "unit"), "effects")
    outcomes = list(dict.fromkeys(map(str, effects["outcome"])))
    if len(outcomes) != 1:
        raise RequestError(
            "a forest plot shows one outcome",
            expected="rows of one outcome",
            got=", ".join(outcomes) or "no rows",
            fix='choose rows with effects[effects["outcome"] == ...]',
        )
    rows = effects[effects["estimate"].notna()]
    if top_n is not None:
        rows = rows.loc[rows["estimate"].abs().sort_values(ascending=False, kind="stable").index].head(top_n)
    color_of = {name: style.CYCLE[index % len(style.CYCLE)] for index, name in enumerate(concepts_of(effects))}
    with style.drawing(ax, style.COLUMN_INCHES, height_of(len(rows))) as axes:
        if threshold_nats is not None:
            axes.axvspan(-threshold_nats, threshold_nats, color=style.LIGHT_GRAY, alpha=0.5, linewidth=0, gid="band")
        labels = [_label(row) for row in rows.to_dict("records")]
        colors = [color_of[str(concept)] for concept in rows["concept"]]
        filled = detectable(rows) if threshold_nats is None else beyond(rows, threshold_nats)
        draw_points(axes, rows, labels, colors, filled=filled)
        unit = style.printable(str(effects["unit"].iloc[0]))
        axes.set(xlabel=f"effect of the edit ({unit})", title=title or style.printable(outcomes[0]))
        axes.legend(handles=_key(threshold_nats is not None), loc="best", fontsize=6.5)
    return axes


def beyond(rows: pd.DataFrame, size: float) -> np.ndarray:
    """Whether each row's simultaneous interval lies wholly beyond -``size`` or ``size``."""
    return (numbers(rows, "sim_high") < -size) | (numbers(rows, "sim_low") > size)


def detectable(rows: pd.DataFrame) -> np.ndarray:
    """Whether each row differs from 0 at .05 by the strictest p it has: p_max_t, else q_value, else p_value."""
    p_values = numbers(rows, "p_max_t")
    for column in ("q_value", "p_value"):
        p_values = np.where(np.isnan(p_values), numbers(rows, column), p_values)
    return p_values < ALPHA


def _label(row: dict[Any, Any]) -> str:
    heads = re.sub(r"(\d+):(\d+)", r"L\1H\2", str(row["heads"]))
    if len(heads) > _LONGEST_HEADS:
        heads = f"{heads.count(',') + 1} heads ({heads.split(',')[0]}, …)"
    return f"{heads} {style.printable(str(row['concept']), 24)}"


def _key(banded: bool) -> list[Line2D]:
    names = ("beyond the band", "not shown to be") if banded else ("detectable (p < .05)", "not detectable")
    return [
        Line2D([], [], marker="o", linestyle="", markersize=4, color=style.GRAY, markerfacecolor=face, label=name)
        for face, name in zip((style.GRAY, "white"), names, strict=True)
    ]
