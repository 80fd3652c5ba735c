"""The report's tables on steering: slopes among their nulls, and what every dose brings and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from headscope.plots.selecting import numbers
from headscope.plots.steered import Steered
from headscope.report.cells import CONCEPT, of, table_of, verbatim, with_interval
from headscope.report.document import Cell, Foreign, Table
from headscope.report.numbers import MISSING, as_float, count, interval, number, probability, ratio, ratio_interval
from headscope.report.telling import head_names
from headscope.report.words import Words
from headscope.terms import RANDOM_HEADS, RANDOM_VECTOR

_SLOPE = (
    "estimate", "sim_low", "sim_high", "p_random_vectors", "n_random_vectors", "p_random_heads", "n_random_heads",
    "smallest_dose", "bounded_dose", "harmful_dose", "verdict", "n_templates",
)  # fmt: skip


def dose_words(dose: Any, edit: str, words: Words) -> str:
    """A dose with its unit: ``2 σ``, of ``scale`` a factor."""
    text = f"{as_float(dose):g}".replace("-", "−")
    return words("steering.factor" if edit == "scale" else "steering.sigma", dose=text)


def way_of(one: Steered, words: Words) -> list[Cell]:
    """How heads were turned up: the vector or the edit, and at which tokens."""
    how = words.named("vectors", one.vector) if one.vector else words.named("edits", one.edit)
    return [how, words.named("scopes", one.scope)]


def slope_table(steered: Sequence[Steered], words: Words) -> Table:
    """A row a head or set: its slope, its place among nulls, what its doses do and cost, the residual stream beside."""

    def among(p_value: Any, n: Any) -> Cell:
        return MISSING if pd.isna(p_value) else words("steering.among_cell", p=probability(p_value), drawn=count(n))

    def dose(value: Any, edit: str) -> str:
        return MISSING if pd.isna(value) else dose_words(value, edit, words)

    rows: list[dict[str, Any]] = []
    for one in steered:
        slope: dict[str, Any] = {name: one.slope.get(name) for name in _SLOPE}
        stream = {f"stream_{name}": one.residual_slope.get(name) for name in _SLOPE[:3]}
        rows.append({**vars(one), **slope, **stream, "how": _joined(way_of(one, words), words)})
    table = table_of(
        rows,
        CONCEPT,
        of(head_names, heads="heads"),
        of(lambda how: how, turned_up="how"),
        of(partial(_verdict, words), verdict="verdict"),
        of(_sized, slope="estimate sim_low sim_high"),
        of(among, p_random_vectors="p_random_vectors n_random_vectors"),
        of(among, p_random_heads="p_random_heads n_random_heads"),
        of(dose, effect_from="smallest_dose edit", no_cost_up_to="bounded_dose edit", harm_from="harmful_dose edit"),
        of(_sized, stream_slope="stream_estimate stream_sim_low stream_sim_high"),
        of(count, templates="n_templates"),
    )
    return table.without_empty("p_random_vectors", "p_random_heads", "stream_slope")


def _sized(value: Any, low: Any, high: Any) -> str:
    """A number with its interval, where it has one."""
    return number(value) if pd.isna(low) else with_interval(value, low, high)


def _ratio(value: Any, low: Any, high: Any) -> str:
    return ratio(value) if pd.isna(low) else f"{ratio(value)} {ratio_interval(low, high)}"


def _verdict(words: Words, verdict: Any) -> Cell:
    return words.named("verdicts", verdict) if isinstance(verdict, str) and verdict else MISSING


def _joined(cells: Sequence[Cell], words: Words) -> Cell:
    joined: list[Cell] = []
    for cell in cells:
        joined += [words("glue.items"), cell] if joined else [cell]
    return tuple(joined)


def dose_table(one: Steered, words: Words) -> Table:
    """What each dose of one head or set does and costs, beside the draws of the nulls and the residual stream."""
    stream = {float(row["dose"]): row for row in one.residual.to_dict("records")}
    nothing = dict.fromkeys(("estimate", "ratio"), float("nan"))
    rows = [
        row
        | {"shown": dose_words(row["dose"], one.edit, words)}
        | {null: _drawn(one, null, row["dose"]) for null in (RANDOM_VECTOR, RANDOM_HEADS)}
        | {f"stream_{name}": stream.get(float(row["dose"]), nothing)[name] for name in nothing}
        for row in one.doses.to_dict("records")
    ]
    table = table_of(
        rows,
        of(str, dose="shown"),
        of(number, effect="estimate"),
        of(interval, sim_ci="sim_low sim_high"),
        of(_ratio, ratio="ratio ratio_low ratio_high"),
        of(number, kl="kl"),
        of(str, random_vectors=RANDOM_VECTOR, random_heads=RANDOM_HEADS),
        of(number, stream_effect="stream_estimate"),
        of(ratio, stream_ratio="stream_ratio"),
    )
    return table.without_empty("kl", "random_vectors", "random_heads", "stream_effect", "stream_ratio")


def _drawn(one: Steered, null: str, dose: float) -> str:
    """Mean and range of the draws' effects at a dose."""
    draws = one.drawn(null)
    effects = numbers(draws[draws["dose"] == dose], "estimate")
    effects = effects[np.isfinite(effects)]
    return f"{number(effects.mean())} {interval(effects.min(), effects.max())}" if len(effects) else MISSING


def steered_text_table(texts: pd.DataFrame, steered: Sequence[Steered], words: Words) -> Table:
    """The first prompt's texts of each head or set at the dose by which its texts are shown; see ``text_dose``."""
    table = Table(("concept", "heads", "dose", "prompt", "baseline_text", "steered_text"))
    if "dose" not in texts.columns:
        return table
    for one in steered:
        dose = text_dose(one)
        rows = _texts_of(texts, one)
        for row in rows[rows["dose"] == dose].head(1).to_dict("records"):
            shown = map(verbatim, (row["prompt"], row["baseline_text"], row["edited_text"]))
            table.rows.append([Foreign(one.concept), head_names(one.heads), dose_words(dose, one.edit, words), *shown])
    return table


def _texts_of(texts: pd.DataFrame, one: Steered) -> pd.DataFrame:
    for name in ("concept", "heads", "edit"):
        texts = texts[texts[name].astype(str) == getattr(one, name)]
    return texts[texts["vector"].astype(str) == one.vector] if "vector" in texts.columns else texts


def text_dose(one: Steered) -> float:
    """The largest dose up to which damage is bounded; where there is none, the one nearest to no edit."""
    bounded = as_float(one.slope.get("bounded_dose"))
    if bounded == bounded:
        return bounded
    judged = numbers(one.judged, "dose")
    return float(judged[np.argmin(np.abs(judged - one.unedited))])


def dose_row(one: Steered, dose: Any) -> Mapping[Any, Any]:
    """What is known of one dose; empty where it was not measured."""
    rows = one.doses[one.doses["dose"] == as_float(dose)]
    return next(iter(rows.to_dict("records")), {})
