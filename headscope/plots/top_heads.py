"""The heads that attend most to a concept's words: the top N over all concepts, as bars with 95 % intervals.

Every bar's label carries layer, head and concept, because the same head may stand there for several concepts. Pale
bars have q >= .05.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Patch

from headscope.errors import RequestError
from headscope.plots import style
from headscope.plots.intervals import draw_bars, height_of
from headscope.plots.selecting import concepts_of, head_name, numbers, screen_rows
from headscope.terms import ALPHA

_PALE_SHARE = 0.35


def top_heads(
    screen: pd.DataFrame,
    ax: Axes | None = None,
    *,
    top_n: int = 20,
    by: str = "signed",
    measure: str = "attention",
) -> Axes:
    """Bars of the ``top_n`` largest Δ over all concepts and heads.

    Args:
        top_n: how many bars at most.
        by: ``signed`` ranks by Δ (heads that look at the concept), ``absolute`` by |Δ|.
        measure: ``attention`` or ``value_weighted``.

    Raises:
        RequestError: ``top_n`` or ``by`` make no sense, or the table lacks a column.
    """
    rows = top_rows(screen, top_n=top_n, by=by, measure=measure)
    concepts = concepts_of(screen)
    color_of = {concept: style.CYCLE[index % len(style.CYCLE)] for index, concept in enumerate(concepts)}
    sure = numbers(rows, "q_value") < ALPHA
    tested = "q_value" in rows.columns and bool(rows["q_value"].notna().any())
    colors = [
        color_of[concept] if certain or not tested else _pale(color_of[concept])
        for concept, certain in zip(rows["concept"], sure, strict=True)
    ]
    labels = [f"{head_name(row)} {style.printable(str(row['concept']), 24)}" for row in rows.to_dict("records")]
    with style.drawing(ax, style.COLUMN_INCHES, height_of(len(rows))) as axes:
        draw_bars(axes, rows, labels, colors)
        name, unit = ("attention", " (share)") if measure == "attention" else (measure.replace("_", " "), "")
        whiskers = ", 95 % interval" if np.isfinite(numbers(rows, "ci_low")).any() else ""
        axes.set(xlabel=f"Δ {name}{unit}{whiskers}", title=f"Top {len(rows)} heads by Δ {name}")
        if tested and not sure.all():
            axes.legend(
                handles=[Patch(color=_pale(style.GRAY), label="pale: not detectable (q ≥ .05)")], loc="lower right"
            )
    return axes


def top_rows(screen: pd.DataFrame, *, top_n: int, by: str = "signed", measure: str = "attention") -> pd.DataFrame:
    """The rows ``top_heads`` draws, best first; ties keep the order of concept, layer, head. Raises as it does."""
    if top_n < 1:
        raise RequestError("a plot of no heads was asked for", expected="top_n of at least 1", got=str(top_n))
    if by not in ("signed", "absolute"):
        raise RequestError(f'heads cannot be ranked by "{by}"', expected='"signed" or "absolute"', got=by)
    rows = screen_rows(screen, measure)
    rows = rows[rows["estimate"].notna()]
    key = rows["estimate"].abs() if by == "absolute" else rows["estimate"]
    order = key.sort_values(ascending=False, kind="stable").index
    return rows.loc[order].head(top_n).reset_index(drop=True)


def _pale(color: str) -> str:
    red, green, blue = (1 - _PALE_SHARE * (1 - channel) for channel in to_rgb(color))
    return to_hex((red, green, blue))
