"""What patching each head alone brings to controls and takes from concept prompts: a row of panels a concept.

Left, sufficiency: a concept prompt's output into its control; red brings the concept. Right, necessity: a control's
output into the concept prompt; blue takes it away. Both against the control patch, on one scale. Veiled heads are those
whose effect is not detectable (family-wise p of .05 or more).
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headscope.errors import RequestError
from headscope.plots.effect_heatmap import FAMILY_WISE, panel_of
from headscope.plots.head_heatmap import one_panel, panels_figure
from headscope.plots.selecting import concepts_of, grid_shape
from headscope.stats.patching import primary_patches

_SCALE = "patch − control patch (nats)"


def lone_patches(patching: pd.DataFrame) -> pd.DataFrame:
    """The effects of heads patched one at a time, against the control patch: one row a concept, direction and head."""
    rows = primary_patches(patching)
    return rows[rows["layer"].notna()].astype({"layer": int, "head": int}).reset_index(drop=True)


def patch_heatmap(
    patching: pd.DataFrame, ax: Axes | None = None, *, concept: str, direction: str, limit: float | None = None
) -> Axes:
    """One concept's patches of single heads in one direction.

    Args:
        concept: the concept that is brought or taken.
        direction: ``sufficiency`` or ``necessity``.
        limit: end of the symmetric scale; None takes the panel's own.

    Returns:
        The axes; the first of its collections is the mesh whose array holds the effects [layer, head].

    Raises:
        RequestError: the table holds no such patches.
    """
    rows = _rows(patching)
    part = rows[(rows["concept"] == concept) & (rows["direction"] == direction)]
    if part.empty:
        raise RequestError(
            f'no head was patched for the {direction} of "{concept}"',
            expected=", ".join(concepts_of(rows)),
            got=concept,
        )
    panel = panel_of(part, grid_shape(rows))
    return one_panel(ax, panel, f"{concept}, {direction}", limit, scale=_SCALE, veil=FAMILY_WISE)


def patch_heatmap_figure(patching: pd.DataFrame) -> Figure:
    """A panel a concept and direction, on one scale. Raises as ``patch_heatmap``."""
    rows = _rows(patching)
    shape = grid_shape(rows)
    panels = {
        f"{concept}, {direction}": panel_of(part, shape)
        for concept in concepts_of(rows)
        for direction, part in rows[rows["concept"] == concept].groupby("direction", sort=False)
    }
    return panels_figure(panels, scale=_SCALE, veil=FAMILY_WISE)


def _rows(patching: pd.DataFrame) -> pd.DataFrame:
    rows = lone_patches(patching)
    if rows.empty:
        raise RequestError("the table holds no patches of single heads to draw", expected="headscope patch --heads '*'")
    # Sufficiency first, whatever the table's order: what is brought stands left of what is taken.
    return rows.sort_values("direction", ascending=False, kind="stable")
