"""What a concept's prompts lead to with and without a set of heads: baseline beside every edit.

A panel an outcome, because outcomes have different units. The first bar is the baseline's mean, the others are the
edited means. The interval on an edited bar is the 95 % interval of Δ, the paired difference, laid from the dashed
baseline: an edit whose interval clears the dashed line differs from the baseline. Δ, interval and p stand below. An
outcome that was not measured has no panel, and an edit without a mean has no bar.
"""

from __future__ import annotations

import re
from math import ceil, isfinite
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headscope.errors import RequestError
from headscope.plots import style
from headscope.plots.selecting import require_columns
from headscope.terms import ANSWERS, PRIMARIES, PRIMARY

_COLUMNS = ("concept", "heads", "edit", "outcome", "estimate", "unit", "baseline_mean", "edited_mean")
_PANELS_IN_A_ROW = 3
_HEAD = re.compile(r"(\d+):(\d+)")
_COLORS = {"mean": style.BLUE, "zero": style.ORANGE, "zero_keep_bias": style.GREEN}
_UNIT_LABELS = {
    "keywords_per_text": "keywords per text",
    "keywords_per_prompt_and_text": "keywords, prompt + text",
    "sentiment_-1_to_1": "sentiment, −1 to 1",
}
_EDIT_LABELS = {"zero_keep_bias": "zero, keep\nbias", "position_mean": "position\nmean"}


def ablation_comparison(effects: pd.DataFrame, outcome: str, ax: Axes | None = None) -> Axes:
    """One outcome of one edited set of heads.

    Args:
        effects: rows of the table ``effects`` of one concept and one set of heads.
        outcome: which outcome to draw.

    Returns:
        The axes; its bars have the gids ``baseline`` and ``edited:<edit>``, its intervals ``interval:<edit>``.

    Raises:
        RequestError: the outcome was not measured, or the rows belong to several sets.
    """
    rows = _one_set(effects)
    rows = rows[rows["outcome"] == outcome]
    if rows.empty:
        measured = ", ".join(dict.fromkeys(map(str, effects["outcome"])))
        raise RequestError(f'outcome "{outcome}" was not measured', expected=measured, got=outcome)
    records = rows.to_dict("records")
    with style.drawing(ax, style.COLUMN_INCHES, 2.2) as axes:
        baseline = float(records[0]["baseline_mean"])
        if isfinite(baseline):
            axes.bar(0, baseline, width=0.62, color=style.GRAY, linewidth=0)[0].set_gid("baseline")
            axes.axhline(baseline, color=style.BLACK, linewidth=0.7, linestyle=(0, (3, 2)))
        for place, row in enumerate(records, start=1):
            _draw_edit(axes, place, row, baseline)
        labels = ["baseline", *(_EDIT_LABELS.get(str(row["edit"]), str(row["edit"])) for row in records)]
        axes.set_xticks(np.arange(len(labels)), labels)
        axes.set_xlim(-0.6, len(labels) - 0.4)
        axes.axhline(0, color=style.BLACK, linewidth=0.6)
        axes.set_title(style.printable(outcome_label(outcome), 48))
        unit = str(records[0]["unit"])
        axes.set_ylabel(style.printable(_UNIT_LABELS.get(unit, unit)))
        told = [describe(row, named=len(records) > 1) for row in records]
        axes.set_xlabel("\n".join(told), fontsize=6, linespacing=1.35)
    return axes


def ablation_comparison_figure(effects: pd.DataFrame, outcomes: list[str] | None = None) -> Figure:
    """Every outcome of one edited set of heads that a reader compares: log-odds, sentiment, keyword counts.

    Raises:
        RequestError: as ``ablation_comparison``, or none of the outcomes was measured.
    """
    rows = _one_set(effects)
    shown = outcomes if outcomes is not None else compared_outcomes(rows)
    if not shown:
        raise RequestError("none of the outcomes to compare was measured", expected="log-odds, sentiment or keywords")
    n_columns = 2 if len(shown) == 4 else min(len(shown), _PANELS_IN_A_ROW)  # four panels make a square
    n_rows = ceil(len(shown) / n_columns)
    with style.house_style():
        figure = style.new_figure(min(style.PAGE_INCHES, 2.6 * n_columns), 0.35 + 2.05 * n_rows)
        grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for ax in grid[len(shown) :]:
            ax.remove()
        for ax, outcome in zip(grid, shown, strict=False):
            ablation_comparison(rows, outcome, ax)
        concept, heads = str(rows["concept"].iloc[0]), _HEAD.sub(r"L\1H\2", str(rows["heads"].iloc[0]))
        title = f"Ablation of {style.printable(heads.replace(',', ', '), 60)} on {style.printable(concept)} prompts"
        figure.suptitle(title)
    return figure


def compared_outcomes(effects: pd.DataFrame) -> list[str]:
    """The measured outcomes a reader compares, in a fixed order: log-odds, sentiment, keyword counts by concept."""
    measured = effects[effects["edited_mean"].notna() | effects["baseline_mean"].notna()]
    names = list(dict.fromkeys(map(str, measured["outcome"])))
    groups = (lambda n: n in PRIMARIES, lambda n: n.startswith("sentiment"), lambda n: n.startswith("keyword"))
    return [name for belongs in groups for name in names if belongs(name)]


def outcome_label(outcome: str) -> str:
    """An outcome's column name as a panel says it."""
    name, _, other = outcome.partition(":")
    if name == PRIMARY:
        return f"lexicon log-odds{f' of {other}' if other else ''}"
    if name == ANSWERS:
        return "answer log-odds"
    phase6 = ("keyword_count_phase6_", "keywords as in Phase 6: ")
    for prefix, words in (phase6, ("keyword_count_", "keywords: "), ("keyword_share_", "texts with keywords: ")):
        if name.startswith(prefix):
            return words + name.removeprefix(prefix)
    return f"sentiment ({name.removeprefix('sentiment_')})" if name.startswith("sentiment_") else name


def describe(row: dict[Any, Any], *, named: bool = True) -> str:
    """``mean: Δ −0.41 [−0.55, −0.28], p = .002`` of one row, with what is missing left out; the edit if ``named``."""
    text = f"{row['edit']}: " if named else ""
    text += f"Δ {_number(row['estimate'])}"
    if isfinite(_float(row.get("ci_low"))) and isfinite(_float(row.get("ci_high"))):
        text += f" [{_number(row['ci_low'])}, {_number(row['ci_high'])}]"
    p_value = _float(row.get("p_value"))
    return text + (f", {p_text(p_value)}" if isfinite(p_value) else ", not tested")


def p_text(p_value: float) -> str:
    """``p = .002``, ``p < .001``."""
    return "p < .001" if p_value < 0.001 else f"p = {p_value:.3f}".replace("0.", ".", 1)


def _draw_edit(axes: Axes, place: int, row: dict[Any, Any], baseline: float) -> None:
    edited, edit = _float(row["edited_mean"]), str(row["edit"])
    if not isfinite(edited):
        return
    axes.bar(place, edited, width=0.62, color=_COLORS.get(edit, style.SKY), linewidth=0)[0].set_gid(f"edited:{edit}")
    low, high = _float(row.get("ci_low")), _float(row.get("ci_high"))
    if isfinite(baseline) and isfinite(low) and isfinite(high):
        axes.vlines(
            place, baseline + low, baseline + high, color=style.BLACK, linewidth=1.1, gid=f"interval:{edit}", zorder=3
        )


def _one_set(effects: pd.DataFrame) -> pd.DataFrame:
    require_columns(effects, _COLUMNS, "effects")
    sets = effects[["concept", "heads"]].drop_duplicates()
    if len(sets) != 1:
        raise RequestError(
            "a comparison shows one set of heads on one concept's prompts",
            expected="rows of one concept and one heads spec",
            got=f"{len(sets)} of them",
        )
    return effects


def _float(value: Any) -> float:
    return float("nan") if value is None or value is pd.NA else float(value)


def _number(value: Any) -> str:
    number = _float(value)
    return f"{number:.{3 if abs(number) < 1 else 2}f}".replace("-", "−")
