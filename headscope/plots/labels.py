"""Names beside points: each stands right of its point, else left or below, and is left out where all places are taken.

Places are reckoned in points of the page from the number of characters, because measuring text would need a drawing.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from headscope.plots.style import figure_of

_SIZE = 6.0
_CHARACTER = 0.62 * _SIZE
_LINE = 2.0 * _SIZE
"""Twice the type, because a legend outside the axes makes them lower after the names were placed."""
_PLACES = (("left", 4, 2), ("right", -4, 2), ("left", 4, -8), ("right", -4, -8))


def label_points(axes: Axes, spots: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Write ``names`` beside their ``spots`` (in data units), the first ones first; call it when all is drawn."""
    axes.autoscale_view()
    points = 72.0 / figure_of(axes).dpi
    inside = axes.get_window_extent()
    taken: list[Bbox] = []
    for spot, name in zip(spots, names, strict=True):
        x, y = (float(value) * points for value in axes.transData.transform(spot))
        for side, right, up in _PLACES:
            width = _CHARACTER * len(name)
            start = x + right - (width if side == "right" else 0)
            box = Bbox.from_bounds(start, y + up, width, _LINE)
            ends = (inside.x0 <= box.x0 / points, box.x1 / points <= inside.x1, inside.y0 <= box.y0 / points)
            if all(ends) and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                axes.annotate(name, spot, xytext=(right, up), textcoords="offset points", ha=side, fontsize=_SIZE)
                break
