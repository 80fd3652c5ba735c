"""What the page draws of steering: every dose with its cost, the residual stream, and the draws of the nulls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headscope.plots.steered import Steered
from headscope.report.page_data import columns
from headscope.report.run_report import RunContent
from headscope.report.steering_sections import MOST_TOLD, bare_name, strongest
from headscope.report.words import Words
from headscope.terms import NULLS

_DOSES = ("dose", "estimate", "ci_low", "ci_high", "ratio", "ratio_low", "ratio_high")


def steering_data(content: RunContent, words: Sequence[Words]) -> list[dict[str, Any]]:
    """One mapping a head or set that the report tells of."""
    return [_one(steered, words) for steered in strongest(content.steered, MOST_TOLD)]


def _one(one: Steered, words: Sequence[Words]) -> dict[str, Any]:
    drawn = {null: rows for null in NULLS if len(rows := one.drawn(null))}
    return {
        "name": {language.code: bare_name(one, language) for language in words},
        "unedited": one.unedited,
        "damage": one.measured_damage,
        "doses": columns(one.doses, _DOSES),
        "stream": columns(one.residual, _DOSES),
        "nulls": {null: columns(rows, ("dose", "estimate", "perplexity_ratio")) for null, rows in drawn.items()},
        "draws": {null: int(rows["draw"].nunique()) for null, rows in drawn.items()},
    }
