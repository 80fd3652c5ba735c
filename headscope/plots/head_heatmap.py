"""One layer x head panel: the value as color on a symmetric scale, and whether it is detectable as veil.

1. Every head's value is drawn on a diverging scale that is symmetric about 0, so equal depth means equal size.
2. Heads whose p (or q) is not below .05 are veiled in gray, and dotted where cells are large enough: they can be
   told from detectable ones without reading numbers, also in black and white.
3. Heads without a value are hatched: missing is not zero.
4. On models of up to 5 heads a layer the value stands in the cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from headscope.plots.style import (
    BLACK,
    COLUMN_INCHES,
    DIVERGING,
    GRAY,
    LIGHT_GRAY,
    drawing,
    figure_of,
    house_style,
    new_figure,
    printable,
)  # fmt: skip
from headscope.terms import ALPHA

_VEIL_ALPHA = 0.62
_MOST_NUMBERS = 6
_MOST_DOTS = 24
_WHITE_TEXT_ABOVE = 0.6
_PANELS_IN_A_ROW = 2

Panel: TypeAlias = tuple[np.ndarray, np.ndarray | None]
"""Values and p (or q) of one panel, float [layer, head] each; no p where nothing was tested."""


def symmetric_limit(*grids: np.ndarray) -> float:
    """The largest absolute value in the grids; 1 where all is 0 or missing, so that a scale exists."""
    values = np.concatenate([np.abs(grid[np.isfinite(grid)]) for grid in grids])
    limit = float(values.max()) if values.size else 0.0
    return limit or 1.0


def draw_head_heatmap(
    ax: Axes, values: np.ndarray, p_values: np.ndarray | None, *, limit: float, title: str, decimals: int = 2
) -> QuadMesh:
    """Draw one panel into ``ax`` and return its mesh, whose array is ``values``.

    Args:
        ax: where to draw.
        values: float [layer, head]; NaN = not measured.
        p_values: float [layer, head], the p or q of each value; NaN counts as not shown to differ from 0; None where
            the panel has no test at all, then nothing is veiled.
        limit: the scale runs from -limit to limit.
        title: what the panel shows.
        decimals: digits after the point of the numbers in the cells.
    """
    n_layers, n_heads = values.shape
    edges = (np.arange(n_heads + 1) - 0.5, np.arange(n_layers + 1) - 0.5)
    mesh = ax.pcolormesh(*edges, np.ma.masked_invalid(values), cmap=DIVERGING, vmin=-limit, vmax=limit, rasterized=True)
    ax.set_facecolor("white")
    ax.patch.set(hatch="xxxx", edgecolor=GRAY)
    veiled = np.zeros(values.shape, dtype=bool)
    if p_values is not None:
        veiled = np.isfinite(values) & ~(p_values < ALPHA)
        veil = np.ma.masked_where(~veiled, np.ones(values.shape))
        ax.pcolormesh(*edges, veil, cmap=ListedColormap([LIGHT_GRAY]), alpha=_VEIL_ALPHA, rasterized=True, gid="veil")
    if max(values.shape) <= _MOST_NUMBERS:
        _write_numbers(ax, values, veiled, limit, decimals)
    elif max(values.shape) <= _MOST_DOTS and veiled.any():
        layers, heads = np.nonzero(veiled)
        ax.scatter(heads, layers, s=1.2, color=GRAY, linewidths=0, gid="dots")
    ax.set_xlim(-0.5, n_heads - 0.5)
    ax.set_ylim(n_layers - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    ax.yaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    ax.spines[:].set_visible(True)
    ax.set(title=title, xlabel="head", ylabel="layer")
    return mesh


def _write_numbers(ax: Axes, values: np.ndarray, veiled: np.ndarray, limit: float, decimals: int) -> None:
    for (layer, head), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = abs(value) > _WHITE_TEXT_ABOVE * limit and not veiled[layer, head]
            ax.text(
                head,
                layer,
                _short(value, decimals),
                ha="center",
                va="center",
                fontsize=5.5,
                color="white" if dark else BLACK,
            )


def _short(value: float, decimals: int) -> str:
    """The number without a leading zero, as cells are narrow: ``.31``, ``−.02``, ``1.90``."""
    text = f"{abs(value):.{decimals}f}"
    sign = "−" if value < 0 and float(text) else ""
    return sign + (text[1:] if text.startswith("0.") else text)


def one_panel(ax: Axes | None, panel: Panel, title: str, limit: float | None, *, scale: str, veil: str) -> Axes:
    """One panel in the caller's axes, or in a figure of a column's width with its color bar and key.

    ``limit`` ends the scale, the panel's own where None; ``scale`` is the bar's label; ``veil`` what a veiled cell
    means.
    """
    values, p_values = panel
    limit = limit if limit is not None else symmetric_limit(values)
    with drawing(ax, COLUMN_INCHES, panel_height(values.shape, 1)) as axes:
        draw_head_heatmap(axes, values, p_values, limit=limit, title=printable(title))
        if ax is None:
            figure = figure_of(axes)
            _add_scale(figure, [axes], limit, scale)
            _add_key(figure, [panel], veil)
    return axes


def panels_figure(panels: Mapping[str, Panel], *, scale: str, veil: str) -> Figure:
    """All panels, by title and at least one, in two columns on one scale, with one color bar and one key."""
    limit = symmetric_limit(*(values for values, _ in panels.values()))
    n_columns = min(len(panels), _PANELS_IN_A_ROW)
    n_rows = ceil(len(panels) / n_columns)
    shape = next(iter(panels.values()))[0].shape
    with house_style():
        figure = new_figure(COLUMN_INCHES, panel_height(shape, n_rows))
        grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for ax in grid[len(panels) :]:
            ax.remove()
        axes = list(grid[: len(panels)])
        for place, (ax, (name, (values, p_values))) in enumerate(zip(axes, panels.items(), strict=True)):
            draw_head_heatmap(ax, values, p_values, limit=limit, title=printable(name, 24))
            _keep_outer_labels(ax, place, n_columns, len(panels))
        _add_scale(figure, axes, limit, scale)
        _add_key(figure, list(panels.values()), veil)
    return figure


def _keep_outer_labels(ax: Axes, place: int, n_columns: int, n_panels: int) -> None:
    """Label an axis only where no panel to the left, or none below, carries the same labels."""
    if place % n_columns:
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)
    if place + n_columns < n_panels:
        ax.set_xlabel("")
        ax.tick_params(labelbottom=False)


def _add_scale(figure: Figure, axes: list[Axes], limit: float, label: str) -> None:
    """Add the one color scale, from -limit to limit, that the panels of ``axes`` share."""
    mappable = ScalarMappable(Normalize(-limit, limit), cmap=DIVERGING)
    bar = figure.colorbar(mappable, ax=axes, shrink=0.8, aspect=30, pad=0.02)
    bar.set_label(label)
    bar.outline.set_linewidth(0.6)


def _add_key(figure: Figure, panels: Sequence[Panel], veil: str) -> None:
    """Add, under the panels, what a veiled and what a hatched cell mean; nothing where neither occurs."""
    handles: list[Patch] = []
    tested = [p_values for _, p_values in panels if p_values is not None]
    if not tested or any((np.isfinite(values) & ~(p < ALPHA)).any() for values, p in panels if p is not None):
        veil = veil if tested else "no test was made"
        handles.append(Patch(facecolor=LIGHT_GRAY, edgecolor=GRAY, linewidth=0.5, label=veil))
    if any(np.isnan(values).any() for values, _ in panels):
        handles.append(Patch(facecolor="white", edgecolor=GRAY, hatch="xxxx", linewidth=0.5, label="not measured"))
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1.2)


def panel_height(shape: tuple[int, ...], n_rows: int) -> float:
    """Inches for ``n_rows`` rows of panels: cells as square as a column's width and a page's height allow."""
    width = COLUMN_INCHES * (0.42 if n_rows > 1 else 0.75)
    return min(8.5, n_rows * (0.55 + min(3.2, max(1.0, width * shape[0] / shape[1]))) + 0.45)
