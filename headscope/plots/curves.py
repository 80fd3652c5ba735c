"""Cumulative curves: what removing the first k heads of a ranking does, for growing k.

The line of the top k falls fast where a few heads carry the concept; the line of the bottom k shows what as many
unimportant heads do, and the band spans the random sets of the same size that were measured.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headscope.errors import RequestError
from headscope.plots import style
from headscope.plots.selecting import concepts_of, numbers, require_columns
from headscope.terms import BOTTOM_K, DECIDING_EDIT, PRIMARIES, RANDOM_BAND, TOP_K

_LINES = {TOP_K: (style.VERMILION, "o", "top k"), BOTTOM_K: (style.BLUE, "s", "bottom k")}
_PANELS_IN_A_COLUMN = 3


def curves(effects: pd.DataFrame, ax: Axes | None = None, *, concept: str) -> Axes:
    """One concept's curves of the primary outcome under the deciding edit.

    Args:
        concept: whose prompts.

    Returns:
        The axes; its lines have the gids ``top_k`` and ``bottom_k``, its band ``random_band``.

    Raises:
        RequestError: the table holds no cumulative sets of this concept.
    """
    rows = curve_rows(effects)
    rows = rows[rows["concept"] == concept]
    if rows.empty:
        raise RequestError(f'no cumulative curves of "{concept}"', expected=", ".join(concepts_of(curve_rows(effects))))
    with style.drawing(ax, style.COLUMN_INCHES, 2.5) as axes:
        band = rows[rows["role"] == RANDOM_BAND].astype({"k": int}).groupby("k")["estimate"]
        if len(band):
            low, high = band.min(), band.max()
            axes.fill_between(
                low.index.to_numpy(),
                low.to_numpy(),
                high.to_numpy(),
                color=style.LIGHT_GRAY,
                linewidth=0,
                gid=RANDOM_BAND,
            )
            axes.fill_between([], [], [], color=style.LIGHT_GRAY, label="random sets (range)")
        for role, (color, marker, label) in _LINES.items():
            part = rows[rows["role"] == role].astype({"k": int}).sort_values("k")
            if len(part):
                _draw_line(axes, part, role, color, marker, label)
        axes.axhline(0, color=style.BLACK, linewidth=0.5)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
        axes.set(xlabel="heads removed together (k)", ylabel=f"effect ({style.printable(str(rows['unit'].iloc[0]))})")
        axes.set_title(style.printable(concept, 24))
        if ax is None:
            axes.legend(loc="best")
    return axes


def curves_figure(effects: pd.DataFrame) -> Figure:
    """A panel a concept, one legend: a column's width for few concepts, else a page's. Raises as ``curves``."""
    concepts = concepts_of(curve_rows(effects))
    if not concepts:
        raise RequestError("the table holds no cumulative curves", expected="rows of role top_k")
    n_columns = 1 if len(concepts) <= _PANELS_IN_A_COLUMN else 2
    n_rows = ceil(len(concepts) / n_columns)
    with style.house_style():
        width = style.COLUMN_INCHES if n_columns == 1 else style.PAGE_INCHES
        figure = style.new_figure(width, 0.5 + 1.7 * n_rows)
        grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True).ravel()
        for ax in grid[len(concepts) :]:
            ax.remove()
        for ax, concept in zip(grid, concepts, strict=False):
            curves(effects, ax, concept=concept)
            ax.tick_params(labelbottom=True)
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def curve_rows(effects: pd.DataFrame) -> pd.DataFrame:
    """The rows of cumulative sets, of the primary outcome under the deciding edit."""
    require_columns(effects, ("concept", "role", "k", "edit", "outcome", "estimate", "unit"), "effects")
    return effects[
        effects["role"].isin([*_LINES, RANDOM_BAND])
        & (effects["edit"] == DECIDING_EDIT)
        & effects["outcome"].isin(PRIMARIES)
        & effects["k"].notna()
    ]


def _draw_line(axes: Axes, part: pd.DataFrame, role: str, color: str, marker: str, label: str) -> None:
    k, estimates = numbers(part, "k"), numbers(part, "estimate")
    low, high = numbers(part, "ci_low"), numbers(part, "ci_high")
    sure = np.isfinite(low) & np.isfinite(high)
    axes.vlines(k[sure], low[sure], high[sure], color=color, linewidth=0.8)
    axes.plot(k, estimates, color=color, marker=marker, markersize=3, label=label, gid=role)
