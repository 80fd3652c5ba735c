"""Steering: what a dose brings against what it costs.

Left, the effect on the concept (nats) against the perplexity ratio of control text: a dose that buys effect only with
damage runs to the right. The scale is linear up to the bound of 1.05 and logarithmic beyond it. Right, the effect
against the dose, with the slope's line and the band of effects too small to matter. Small
marks are single draws of random vectors and of random heads; the dashed line is the residual stream with the same norm
added. Doses below that of no edit have hollow marks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from headscope.errors import RequestError, one_of
from headscope.plots import style
from headscope.plots.labels import label_points
from headscope.plots.selecting import numbers
from headscope.plots.steered import Steered, steered_of
from headscope.stats.evidence import Criteria
from headscope.terms import RANDOM_HEADS, RANDOM_VECTOR, RESIDUAL

Against = Literal["damage", "dose"]

MOST_PANELS = 6
_BOTH_WAYS = 3
"""So many sets have a panel of each kind; of more, only what doses cost is drawn."""
_NULLS = {
    RANDOM_VECTOR: (style.GRAY, "o", -1, "random vectors of the same norm"),
    RANDOM_HEADS: (style.BLUE, "^", 1, "random heads, same dose"),
}
_ASIDE = 0.012
"""How far beside their dose the draws of a null stand, as a share of the range of doses."""
_BOUND = Criteria().max_perplexity_ratio
_RATIOS = (
    1.0,
    _BOUND,
    1.02,
    1.2,
    2.0,
    5.0,
    1.1,
    1.5,
    10.0,
    100.0,
    1.01,
    1.03,
    1.04,
    1000.0,
    3.0,
    0.95,
    0.9,
    0.8,
    0.5,
    0.98,
)
"""Marks of the axis of damage; of two that would stand too close the one named first."""
_LARGEST_RATIO, _CLOSEST = 1000.0, 0.085


def dose_response(tables: Mapping[str, pd.DataFrame], ax: Axes | None = None, *, concept: str, heads: str,
                  against: Against = "damage") -> Axes:  # fmt: skip
    """One set of heads: effect against damage, or against dose.

    Args:
        tables: ``steering``; ``dose_response`` and ``steering_nulls`` where there are such.
        concept: whose vector.
        heads: the set, e.g. ``1:10,3:2``; where it was turned up in several ways, the first is drawn.
        against: what stands on x. Without any damage measured it is the dose.

    Returns:
        The axes; the curve has the gid ``steered``, the stream's ``residual_stream``, single draws those of their null.

    Raises:
        RequestError: nothing of this kind was steered.
    """
    one_of("x axis", against, ("damage", "dose"))
    found = [one for one in steered_of(tables) if (one.concept, one.heads) == (concept, heads)]
    if not found:
        there = dict.fromkeys(f"{one.concept} {one.heads}" for one in steered_of(tables))
        raise RequestError(f'"{heads}" was not steered for "{concept}"', expected=", ".join(there) or "a steering run")
    with style.drawing(ax, style.COLUMN_INCHES, 3.6) as axes:
        kind: Against = "damage" if against == "damage" and found[0].measured_damage else "dose"
        _panel(axes, found[0], kind, found[:1])
        axes.set_title(_title(found[0], found))
        if ax is None:
            style.figure_of(axes).legend(loc="outside lower center")
    return axes


def dose_response_figure(tables: Mapping[str, pd.DataFrame], *, concept: str) -> Figure:
    """A row of panels a set of heads: effect against damage, effect against dose; of many sets those with the
    largest effects.

    Raises:
        RequestError: nothing was steered for the concept, or a table lacks a column.
    """
    every = [one for one in steered_of(tables) if one.concept == concept]
    if not every:
        raise RequestError(f'nothing was steered for "{concept}"', expected="rows of the table steering")
    shown = every
    if len(every) > MOST_PANELS:
        shown = sorted(every, key=lambda one: -one.reach)[:MOST_PANELS]
    kinds: Sequence[Against] = ("dose",)
    if any(one.measured_damage for one in shown):
        kinds = ("damage", "dose") if len(shown) <= _BOTH_WAYS else ("damage",)
    panels: list[tuple[Steered, Against]] = [
        (one, kind if one.measured_damage else "dose") for one in shown for kind in kinds
    ]
    n_columns = min(2, len(panels))
    n_rows = ceil(len(panels) / n_columns)
    with style.house_style():
        width = style.COLUMN_INCHES if n_columns == 1 else style.PAGE_INCHES
        figure = style.new_figure(width, 1.0 + 1.95 * n_rows)
        grid = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
        for ax in grid[len(panels) :]:
            ax.remove()
        for ax, (one, kind) in zip(grid, panels, strict=False):
            _panel(ax, one, kind, shown)
            ax.set_title(_title(one, every))
            if not ax.get_subplotspec().is_first_col():
                ax.set_ylabel("")
        left_out = "" if len(shown) == len(every) else f" (the {len(shown)} largest effects of {len(every)})"
        figure.suptitle(f"Steering {style.printable(concept, 24)}: effect and damage of each dose{left_out}")
        keys: dict[str, Artist] = {}
        for ax in grid[: len(panels)]:
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                keys.setdefault(label, handle)
        figure.legend(keys.values(), keys.keys(), loc="outside lower center", ncols=min(3, max(1, n_columns + 1)))
    return figure


def _panel(ax: Axes, one: Steered, against: Against, beside: Sequence[Steered]) -> None:
    """``beside``: all that share the legend, this one among them."""
    ax.axhline(0, color=style.BLACK, linewidth=0.5, zorder=1)
    for null in _NULLS:
        _draw_nulls(ax, one, null, against, _draws_of(beside, null))
    if len(one.residual):
        label = "residual stream, same norm"
        _draw_curve(ax, one.residual, one.unedited, against, color=style.BLACK, dashes="--", label=label, gid=RESIDUAL)
    dashes = "none" if against == "dose" and one.slope else "-"  # the slope's line takes the curve's place
    label = "the heads (numbers: dose)"
    _draw_curve(ax, one.doses, one.unedited, against, color=style.VERMILION, dashes=dashes, label=label, gid="steered")
    ax.set_ylabel("effect (nats)")
    if against == "damage":
        _damage_axis(ax)
        _label_doses(ax, one)
    else:
        _draw_slope(ax, one)
        ax.set_xlabel("dose (σ)" if one.edit != "scale" else "dose (factor)")


def _draw_curve(
    ax: Axes, rows: pd.DataFrame, start: float, against: Against, *, color: str, dashes: str, label: str, gid: str
) -> None:
    """A curve with its intervals, through the unedited model, where the effect is 0 and the ratio 1."""
    column, no_change = ("ratio", 1.0) if against == "damage" else ("dose", start)
    doses, x, y = numbers(rows, "dose"), numbers(rows, column), numbers(rows, "estimate")
    ax.vlines(x, numbers(rows, "ci_low"), numbers(rows, "ci_high"), color=color, linewidth=0.8, zorder=2.5)
    if against == "damage":
        ax.hlines(y, numbers(rows, "ratio_low"), numbers(rows, "ratio_high"), color=color, linewidth=0.8, zorder=2.5)
    at = int(np.searchsorted(doses, start))
    doses, x, y = (np.insert(of, at, one) for of, one in ((doses, start), (x, no_change), (y, 0.0)))
    ax.plot(x, y, color=color, linestyle=dashes, marker="o", markersize=3.2, label=label, gid=gid, zorder=3)
    hollow = doses <= start
    ax.scatter(x[hollow], y[hollow], s=6, c="white", linewidths=0, zorder=4)


def _draws_of(beside: Sequence[Steered], null: str) -> str:
    """How many draws of a null each of them has, e.g. ``20`` or ``10 to 20``."""
    known = sorted({count for one in beside if (count := one.drawn(null)["draw"].nunique())})
    return " to ".join(str(count) for count in dict.fromkeys((*known[:1], *known[-1:])))


def _draw_nulls(ax: Axes, one: Steered, null: str, against: Against, draws: str) -> None:
    color, marker, side, label = _NULLS[null]
    rows = one.drawn(null)
    x = numbers(rows, "perplexity_ratio" if against == "damage" else "dose")
    if not np.isfinite(x).any():
        return
    if against == "dose":
        x = x + side * _ASIDE * np.ptp([*x, one.unedited])
    name = f"{label} ({draws} draws)"
    ax.scatter(
        x,
        numbers(rows, "estimate"),
        s=5,
        c=color,
        marker=marker,
        alpha=0.45,
        linewidths=0,
        label=name,
        gid=null,
        zorder=2,
    )


def _draw_slope(ax: Axes, one: Steered) -> None:
    delta, slope = float(one.slope.get("threshold_nats", np.nan)), float(one.slope.get("estimate", np.nan))
    if np.isfinite(delta):
        ax.axhspan(
            -delta, delta, color=style.ORANGE, alpha=0.18, linewidth=0, label="too small to matter (±δ)", zorder=0
        )
    if np.isfinite(slope):
        ends = np.array([min(one.doses["dose"].min(), one.unedited), max(one.doses["dose"].max(), one.unedited)])
        ax.plot(
            ends,
            slope * (ends - one.unedited),
            color=style.VERMILION,
            linewidth=1.0,
            label="slope through no edit",
            gid="slope",
            zorder=2,
        )


def _damage_axis(ax: Axes) -> None:
    """Ratios, linear as far as the bound from 1 and logarithmic beyond."""
    width = _BOUND - 1.0

    def forward(ratio: np.ndarray) -> np.ndarray:
        far = np.abs(np.asarray(ratio, dtype=float) - 1.0) / width
        return np.sign(np.asarray(ratio) - 1.0) * np.where(far <= 1.0, far, 1.0 + np.log10(np.maximum(far, 1.0)))

    def inverse(place: np.ndarray) -> np.ndarray:
        far = np.abs(np.asarray(place, dtype=float))
        return 1.0 + np.sign(place) * width * np.where(far <= 1.0, far, 10.0 ** np.minimum(far - 1.0, 300.0))

    ax.set_xscale("function", functions=(forward, inverse))
    low, high = ax.get_xlim()
    ax.set_xlim(max(low, 1.0 / _LARGEST_RATIO), min(max(high, 1.0 + 1.1 * width), _LARGEST_RATIO))
    ax.xaxis.set_major_locator(FixedLocator(_apart(forward(np.array(_RATIOS)), forward(np.array(ax.get_xlim())))))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    ax.axvline(_BOUND, color=style.BLACK, linewidth=0.7, linestyle=(0, (1, 2)), label="bound of 5 % harm", zorder=1)
    ax.set_xlabel("damage: perplexity ratio of control text")


def _apart(places: np.ndarray, ends: np.ndarray) -> list[float]:
    """Those of ``_RATIOS`` that do not stand too close to one named before; ``places`` are theirs on the axis."""
    kept: dict[float, float] = {}
    for ratio, place in zip(_RATIOS, places, strict=True):
        if all(abs(place - other) > _CLOSEST * float(np.ptp(ends)) for other in kept.values()):
            kept[ratio] = float(place)
    return sorted(kept)


def _label_doses(ax: Axes, one: Steered) -> None:
    rows = one.doses[one.doses["ratio"].notna() & one.doses["estimate"].notna()].iloc[::-1]
    spots = [(float(x), float(y)) for x, y in zip(rows["ratio"], rows["estimate"], strict=True)]
    label_points(ax, spots, [f"{dose:g}".replace("-", "−") for dose in rows["dose"]])
    for text in ax.texts:
        text.set_path_effects([withStroke(linewidth=1.5, foreground="white")])


def _title(one: Steered, beside: Sequence[Steered]) -> str:
    """The heads, and what else tells this panel from those beside it."""
    heads = ", ".join(f"L{spec.replace(':', 'H')}" for spec in one.heads.split(","))
    names = ("vector" if one.vector else "edit", "scope", "target")
    told = [getattr(one, name) for name in names if len({getattr(other, name) for other in beside}) > 1]
    return style.printable(", ".join([heads, *told]).replace("_", " "), 44)
