"""What removing each head alone does to the concept's log-odds: a layer x head panel a concept.

Blue is a loss (less of the concept without the head), red a gain (more of it). Veiled heads are those whose
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
from headscope.plots.head_heatmap import Panel, one_panel, panels_figure
from headscope.plots.selecting import concepts_of, grid_shape, head_grid, lone_effects
from headscope.terms import DECIDING_EDIT

FAMILY_WISE = "not detectable (family-wise p ≥ .05)"


def effect_heatmap(
    effects: pd.DataFrame,
    ax: Axes | None = None,
    *,
    concept: str,
    edit: str = DECIDING_EDIT,
    outcome: str | None = None,
    limit: float | None = None,
) -> Axes:
    """One concept's effects of single heads.

    Args:
        concept: whose prompts.
        edit: which edit.
        outcome: which outcome; None: the primary one.
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
    panel = panel_of(part, _shape(effects, rows))
    return one_panel(ax, panel, concept, limit, scale=_scale_label(rows), veil=FAMILY_WISE)


def effect_heatmap_figure(effects: pd.DataFrame, edit: str = DECIDING_EDIT, outcome: str | None = None) -> Figure:
    """A panel a concept on one scale. Raises as ``effect_heatmap``."""
    rows = _rows(effects, edit, outcome)
    shape = _shape(effects, rows)
    panels = {concept: panel_of(rows[rows["concept"] == concept], shape) for concept in concepts_of(rows)}
    return panels_figure(panels, scale=_scale_label(rows), veil=FAMILY_WISE)


def _rows(effects: pd.DataFrame, edit: str, outcome: str | None) -> pd.DataFrame:
    rows = lone_effects(effects, edit, outcome)
    if rows.empty:
        raise RequestError(
            "the table holds no effects of single heads to draw",
            expected=f"{outcome or 'the primary outcome'} under edit {edit}",
        )
    return rows


def _shape(effects: pd.DataFrame, rows: pd.DataFrame) -> tuple[int, int]:
    """The model's shape: other edits than the deciding one may have been measured of few heads."""
    layers, heads = zip(*(grid_shape(part) for part in (lone_effects(effects), rows) if len(part)), strict=True)
    return max(layers), max(heads)


def panel_of(rows: pd.DataFrame, shape: tuple[int, int]) -> Panel:
    """Estimates of one concept's rows and their family-wise p, else q; no p where nothing was tested."""
    p_values = head_grid(rows, "p_max_t", shape)
    if np.isnan(p_values).all():
        p_values = head_grid(rows, "q_value", shape)
    return head_grid(rows, "estimate", shape), None if np.isnan(p_values).all() else p_values


def _scale_label(rows: pd.DataFrame) -> str:
    return f"effect of {rows['edit'].iloc[0]} ablation ({style.printable(str(rows['unit'].iloc[0]))})"
