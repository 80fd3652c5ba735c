"""Rows of estimates with intervals, one below the other: what ``top_heads`` and ``forest`` are drawn from.

The first row of the table is drawn on top. A row without an interval gets none, and a row without an estimate is
named in the margin and left empty, so that a missing value is never read as 0.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from headscope.plots.selecting import numbers
from headscope.plots.style import BLACK, GRAY

_MOST_LABELS = 60


def draw_bars(ax: Axes, rows: pd.DataFrame, labels: list[str], colors: list[str]) -> None:
    """Horizontal bars from 0 to ``estimate`` with whiskers from ``ci_low`` to ``ci_high``; gid ``bars``."""
    estimates = numbers(rows, "estimate")
    places = np.arange(len(rows))
    there = np.isfinite(estimates)
    if there.any():
        chosen = [color for color, shown in zip(colors, there, strict=True) if shown]
        bars = ax.barh(places[there], estimates[there], height=0.72, color=chosen, linewidth=0)
        for bar in bars:
            bar.set_gid("bars")
    draw_whiskers(ax, places, numbers(rows, "ci_low"), numbers(rows, "ci_high"), color=BLACK, width=0.9)
    name_rows(ax, labels)


def draw_points(ax: Axes, rows: pd.DataFrame, labels: list[str], colors: list[str], *, filled: np.ndarray) -> None:
    """A point at ``estimate``, a thick whisker for the interval and a thin one for the simultaneous interval."""
    places = np.arange(len(rows))
    draw_whiskers(ax, places, numbers(rows, "sim_low"), numbers(rows, "sim_high"), color=GRAY, width=0.7)
    draw_whiskers(ax, places, numbers(rows, "ci_low"), numbers(rows, "ci_high"), color=BLACK, width=1.6)
    faces = [color if full else "white" for color, full in zip(colors, filled, strict=True)]
    ax.scatter(
        numbers(rows, "estimate"), places, s=16, c=faces, edgecolors=colors, linewidths=0.9, zorder=3, gid="points"
    )
    name_rows(ax, labels)


def draw_whiskers(ax: Axes, places: np.ndarray, low: np.ndarray, high: np.ndarray, *, color: str, width: float) -> None:
    """Horizontal intervals at ``places``, none where an end is missing; gid ``intervals``."""
    there = np.isfinite(low) & np.isfinite(high)
    if there.any():
        ax.hlines(places[there], low[there], high[there], color=color, linewidth=width, zorder=2.5, gid="intervals")


def name_rows(ax: Axes, labels: list[str]) -> None:
    """Write the rows' names on the left, smaller where there are many, and draw the line at 0."""
    ax.axvline(0, color=BLACK, linewidth=0.6, zorder=1)
    ax.set_yticks(np.arange(len(labels)), labels, fontsize=6.5 if len(labels) <= _MOST_LABELS else 5)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def height_of(n_rows: int) -> float:
    """Inches a figure of ``n_rows`` rows needs."""
    return 0.85 + 0.145 * max(n_rows, 3)
