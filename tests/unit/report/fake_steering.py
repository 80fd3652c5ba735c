"""Tables of a steering run that never happened, with a known story a head: gain, cost, a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from headscope.tables import TABLES

DOSES = (-2.0, 1.0, 2.0, 4.0, 6.0, 8.0)
DELTA = 0.2
N_DRAWS = 20
NAN = float("nan")


def _row(table: str, **values: Any) -> dict[str, Any]:
    """A row of a table: text is empty and numbers are missing where nothing is given."""
    empty = {
        name: "" if kind == "text" else False if kind == "bool" else NAN for name, kind in TABLES[table].kinds.items()
    }
    assert set(values) <= set(empty), set(values) - set(empty)
    return empty | values


def _setting(concept: str, heads: str, role: str, edit: str) -> dict[str, Any]:
    lone = "," not in heads and role != "residual_stream"
    layer, head = map(int, heads.split(",")[0].split(":"))
    return {
        "concept": concept, "target": concept, "layer": layer if lone else NAN, "head": head if lone else NAN,
        "heads": heads, "role": role, "edit": edit, "vector": "" if edit == "scale" else "mean_difference",
        "scope": "all", "n_prompts": 24, "n_templates": 12, "status": "exploratory",
    }  # fmt: skip


def curve_rows(
    concept: str, heads: str, *, gain: float, cost: float, role: str = "single", edit: str = "add",
    doses: Sequence[float] = DOSES, damage: bool = True,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of ``steering``: an effect of ``gain`` nats a dose, a log perplexity ratio of ``cost`` a squared dose."""
    start, rows = 1.0 if edit == "scale" else 0.0, []
    shared = _setting(concept, heads, role, edit)
    for dose in doses:
        far = dose - start
        effect, width = gain * far, 0.06 + 0.03 * abs(far)
        rows.append(
            _row("steering", **shared, dose=dose, outcome="lexicon_logodds_nats", unit="nats", estimate=effect,
                 baseline_mean=-3.0, edited_mean=effect - 3.0, ci_low=effect - width, ci_high=effect + width,
                 sim_low=effect - 1.5 * width, sim_high=effect + 1.5 * width, p_value=0.001)
        )  # fmt: skip
        if damage:
            log = cost * far**2
            low, high = np.exp([log - 0.3 * abs(log) - 0.002, log + 0.3 * abs(log) + 0.002])
            rows += [
                _row("steering", **shared, dose=dose, outcome="perplexity_ratio", unit="ratio",
                     estimate=float(np.exp(log)), ci_low=float(low), ci_high=float(high)),
                _row("steering", **shared, dose=dose, outcome="kl_nats_per_token", unit="nats_per_token",
                     estimate=log / 2),
            ]  # fmt: skip
    return rows


def slope_row(
    concept: str, heads: str, rows: Sequence[dict[str, Any]], *, role: str = "single", edit: str = "add", **told: Any
) -> dict[str, Any]:  # fmt: skip
    """A row of ``dose_response`` that says of the doses above no edit what their rows of ``steering`` say."""
    start = 1.0 if edit == "scale" else 0.0
    mine = [row for row in rows if (row["heads"], row["role"], row["edit"]) == (heads, role, edit)]
    effects = {row["dose"]: row for row in mine if row["outcome"] == "lexicon_logodds_nats" and row["dose"] > start}
    ratios = {row["dose"]: row for row in mine if row["outcome"] == "perplexity_ratio" and row["dose"] > start}
    beyond = [dose for dose, row in effects.items() if row["sim_low"] > DELTA or row["sim_high"] < -DELTA]
    harmed = [dose for dose, row in ratios.items() if row["ci_low"] > 1.0 and row["ci_high"] > 1.05]
    unbounded = [dose for dose in effects if dose not in ratios or not ratios[dose]["ci_high"] <= 1.05]
    bounded = [dose for dose in effects if not unbounded or dose < min(unbounded)]
    dose, effect = next(iter(effects.items()))
    slope = effect["estimate"] / (dose - start)
    about = {
        "estimate": slope, "unit": "nats_per_factor" if edit == "scale" else "nats_per_sigma",
        "ci_low": slope - 0.03, "ci_high": slope + 0.03, "sim_low": slope - 0.05, "sim_high": slope + 0.05,
        "threshold_nats": DELTA, "verdict": "undecided", "reason": "a reason", "p_value": 0.001,
        "smallest_dose": min(beyond, default=NAN), "bounded_dose": max(bounded, default=NAN),
        "harmful_dose": min(harmed, default=NAN),
    }  # fmt: skip
    return _row("dose_response", **(_setting(concept, heads, role, edit) | about | told))


def null_rows(
    concept: str, heads: str, null: str, *, spread: float, cost: float, doses: Sequence[float] = DOSES,
    n_draws: int = N_DRAWS, edit: str = "add",
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of ``steering_nulls``: slopes spread evenly about 0."""
    start = 1.0 if edit == "scale" else 0.0
    vector = "" if edit == "scale" else "mean_difference"
    return [
        _row("steering_nulls", concept=concept, heads=heads, vector=vector, null=null, draw=draw, drawn=heads,
             dose=dose, estimate=slope * (dose - start), unit="nats",
             perplexity_ratio=float(np.exp(cost * (0.6 + draw / n_draws) * (dose - start) ** 2)))
        for draw, slope in enumerate(np.linspace(-spread, 1.2 * spread, n_draws))
        for dose in doses
    ]  # fmt: skip


def fake_steering(concept: str = "gratitude") -> dict[str, pd.DataFrame]:
    """A head that works, one that does nothing, one that buys its effect with damage, and a set that is doubled."""
    works, idle, costly, both = "1:10", "0:1", "2:3", "1:10,3:2"
    steering: list[dict[str, Any]] = []
    slopes: list[dict[str, Any]] = []
    nulls: list[dict[str, Any]] = []
    among: dict[str, Any] = {
        "p_random_vectors": 1 / (N_DRAWS + 1), "n_random_vectors": N_DRAWS, "p_random_heads": 1 / (N_DRAWS + 1),
        "n_random_heads": N_DRAWS, "layer_matched": True,
    }  # fmt: skip
    for heads, gain, cost, verdict in (
        (works, 0.22, 0.0009, "steers"),
        (idle, 0.004, 0.001, "no effect that matters"),
        (costly, 0.18, 0.03, "steers, at a cost"),
    ):
        rows = curve_rows(concept, heads, gain=gain, cost=cost)
        stream = curve_rows(concept, heads, gain=gain * 1.2, cost=cost * 3, role="residual_stream")
        steering += [*rows, *stream]
        slopes.append(slope_row(concept, heads, rows, verdict=verdict, **among))
        slopes.append(slope_row(concept, heads, stream, role="residual_stream", verdict=""))
        nulls += null_rows(concept, heads, "random_vector", spread=0.05, cost=cost)
        nulls += null_rows(concept, heads, "random_heads", spread=0.04, cost=cost * 1.5)
    factors = curve_rows(
        concept, both, gain=0.5, cost=0.003, role="requested", edit="scale", doses=(0.0, 2.0, 3.0)
    )  # fmt: skip
    slopes.append(slope_row(concept, both, factors, role="requested", edit="scale"))
    made = {"steering": [*steering, *factors], "dose_response": slopes, "steering_nulls": nulls}
    return {name: pd.DataFrame(rows) for name, rows in made.items()}
