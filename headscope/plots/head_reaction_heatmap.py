"""How much more each head attends to a concept's words than to the neutral words in their place.

A panel a concept and one for the mean over concepts, all on one symmetric scale. Heads whose difference is
not detectable (q of .05 or more) are veiled; in the panel of the mean, heads of which it is detectable for no concept
at all. The depth of the color is the size; what is detectable may be small. Attention is not importance: the
picture says where heads look.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headscope.errors import RequestError
from headscope.plots.head_heatmap import Panel, one_panel, panels_figure
from headscope.plots.selecting import concepts_of, grid_shape, head_grid, screen_rows

MEAN = "mean"
_LABELS = {"attention": "Δ attention (share)", "value_weighted": "Δ value-weighted attention (residual norm)"}
_VEIL = {False: "not detectable (q ≥ .05)", True: "not detectable (q ≥ .05; in the mean: for every concept)"}
"""What a veiled cell means, without and with a panel of the mean."""


def head_reaction_heatmap(
    screen: pd.DataFrame,
    ax: Axes | None = None,
    *,
    concept: str = MEAN,
    measure: str = "attention",
    limit: float | None = None,
    shape: tuple[int, int] | None = None,
) -> Axes:
    """One panel: a concept's Δ a head, or the mean over all concepts of the table.

    Args:
        concept: a concept of the table, or ``MEAN``.
        measure: ``attention`` or ``value_weighted``.
        limit: end of the symmetric scale; None takes the panel's own largest absolute value.
        shape: (layers, heads) of the model; None takes what the table's addresses need.

    Returns:
        The axes; the first of its collections is the mesh whose array holds the values [layer, head].

    Raises:
        RequestError: the table has no such concept or measure, or lacks a column.
    """
    rows = _rows(screen, measure)
    panel = _panel(rows, concept, shape or grid_shape(rows))
    return one_panel(ax, panel, concept, limit, scale=_LABELS.get(measure, measure), veil=_VEIL[concept == MEAN])


def head_reaction_heatmap_figure(screen: pd.DataFrame, measure: str = "attention") -> Figure:
    """All panels, every concept and the mean, on one scale. Raises as ``head_reaction_heatmap``."""
    rows = _rows(screen, measure)
    concepts = concepts_of(rows)
    names = [*concepts, MEAN] if len(concepts) > 1 else concepts
    panels = {name: _panel(rows, name, grid_shape(rows)) for name in names}
    return panels_figure(panels, scale=_LABELS.get(measure, measure), veil=_VEIL[len(concepts) > 1])


def _rows(screen: pd.DataFrame, measure: str) -> pd.DataFrame:
    rows = screen_rows(screen, measure)
    if rows.empty:
        raise RequestError(
            f'the screen holds no measure "{measure}"',
            expected=", ".join(map(str, dict.fromkeys(screen.get("measure", ())))) or "a screen with rows",
            got=measure,
        )
    return rows


def _panel(rows: pd.DataFrame, concept: str, shape: tuple[int, int]) -> Panel:
    """Values and q of one panel, float [layer, head] each; q None where no head of the panel was tested."""
    concepts = concepts_of(rows)
    if concept != MEAN and concept not in concepts:
        raise RequestError(f'the screen holds no concept "{concept}"', expected=", ".join(concepts), got=concept)
    parts = [rows[rows["concept"] == name] for name in (concepts if concept == MEAN else [concept])]
    values = np.mean([head_grid(part, "estimate", shape) for part in parts], axis=0)
    every_q = np.stack([head_grid(part, "q_value", shape) for part in parts])
    if np.isnan(every_q).all():
        return values, None
    return values, np.where(np.isnan(every_q), np.inf, every_q).min(axis=0)
