"""What removing each head alone does to the concept's log-odds: a layer x head panel a concept.

Blue is a loss (the head carries the concept), red a gain (it holds the concept back). Veiled heads are those whose
effect is not detectable (family-wise p, corrected for looking at every head, of .05 or more); the depth of the color is
the size.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headscope.errors import RequestError
from headscope.plots import style
from headscope.plots.head_heatmap import (
    Panel,
    add_key,
    add_scale,
    draw_head_heatmap,
    panel_height,
    panels_figure,
    symmetric_limit,
)
from headscope.plots.selecting import concepts_of, grid_shape, head_grid, lone_effects
from headscope.terms import ALPHA, DECIDING_EDIT, PRIMARY


def effect_heatmap(
    effects: pd.DataFrame,
    ax: Axes | None = None,
    *,
    concept: str,
    edit: str = DECIDING_EDIT,
    outcome: str = PRIMARY,
    limit: float | None = None,
) -> Axes:
    """One concept's effects of single heads.

    Args:
        effects: the run's table ``effects``.
        ax: where to draw; None makes a figure of one column's width.
        concept: whose prompts.
        edit: which edit.
        outcome: which outcome.
        limit: end of the symmetric scale; None takes the panel's own.

    Returns:
        The axes; the first of its collections is the mesh whose array holds the effects [layer, head].

    Raises:
        RequestError: the table holds no such effects.
    """
    rows = _rows(effects, edit, outcome)
    part = rows[rows["concept"] == concept]
    if part.empty:
        raise RequestError(f'no single-head effects on "{concept}"', expected=", ".join(concepts_of(rows)), got=concept)
    values, p_values = panel_of(part, grid_shape(rows))
    scale = limit if limit is not None else symmetric_limit(values)
    with style.drawing(ax, style.COLUMN_INCHES, panel_height(values.shape, 1)) as axes:
        draw_head_heatmap(axes, values, p_values, limit=scale, title=style.printable(concept))
        if ax is None:
            figure = style.figure_of(axes)
            add_scale(figure, [axes], scale, _scale_label(rows))
            add_key(figure, veil_label(p_values), missing=bool(np.isnan(values).any()))
    return axes


def effect_heatmap_figure(effects: pd.DataFrame, edit: str = DECIDING_EDIT, outcome: str = PRIMARY) -> Figure:
    """A panel a concept on one scale. Raises as ``effect_heatmap``."""
    rows = _rows(effects, edit, outcome)
    shape = grid_shape(rows)
    panels = {concept: panel_of(rows[rows["concept"] == concept], shape) for concept in concepts_of(rows)}
    veil = veil_label(*(p_values for _, p_values in panels.values()))
    return panels_figure(panels, scale=_scale_label(rows), veil=veil)


def _rows(effects: pd.DataFrame, edit: str, outcome: str) -> pd.DataFrame:
    rows = lone_effects(effects, edit, outcome)
    if rows.empty:
        raise RequestError(
            "the table holds no effects of single heads to draw", expected=f"{outcome} under edit {edit}"
        )
    return rows


def panel_of(rows: pd.DataFrame, shape: tuple[int, int]) -> Panel:
    """Estimates of one concept's rows and their family-wise p, else q; no p where nothing was tested."""
    p_values = head_grid(rows, "p_max_t", shape)
    if np.isnan(p_values).all():
        p_values = head_grid(rows, "q_value", shape)
    return head_grid(rows, "estimate", shape), None if np.isnan(p_values).all() else p_values


def _scale_label(rows: pd.DataFrame) -> str:
    return f"effect of {rows['edit'].iloc[0]} ablation ({style.printable(str(rows['unit'].iloc[0]))})"


def veil_label(*p_values: np.ndarray | None) -> str | None:
    """What a veiled cell of these panels means; None where no cell is veiled."""
    tested = [grid for grid in p_values if grid is not None]
    if not tested:
        return "no test was made"
    return None if all(bool((grid < ALPHA).all()) for grid in tested) else "not detectable (family-wise p ≥ .05)"
