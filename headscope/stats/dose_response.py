"""The ``dose_response`` table: slopes with intervals, among their nulls, what the doses do and cost, and a verdict.

1. Slopes of prompts are tested as effects are: template as unit, one family for all heads, vectors and concepts of one
   edit, simultaneous intervals.
2. Slopes of random vectors, and of random other heads, are means over the same templates. The p is the share of them at
   least as large in magnitude (``nulls.place_among``).
3. What each dose does, and what it costs, comes from the ``steering`` table.
4. Rules and words: ``dose_verdicts``. The residual stream is a comparison: it has no nulls and no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from headscope.stats.clusters import FamilyBlock
from headscope.stats.damage import Damage
from headscope.stats.dose_verdicts import (
    STEERS,
    STEERS_AT_COST,
    STEERS_NOT_SPECIFIC,
    STEERS_UNTESTED,
    TURNS_DOWN,
    TURNS_DOWN_AT_COST,
    TURNS_DOWN_NOT_SPECIFIC,
    TURNS_DOWN_UNTESTED,
    DoseEffect,
    DoseEvidence,
    decide,
)
from headscope.stats.dosing import NEUTRAL_DOSES, DoseResponse
from headscope.stats.effects import TOLERANCE_NATS, FamilyTest, family_rows
from headscope.stats.evidence import Criteria
from headscope.stats.nulls import Placed, place_among
from headscope.stats.specificity import SPECIFICITY_PREFIX
from headscope.stats.tables import class_mean, shaped
from headscope.tables import TABLES
from headscope.terms import ANSWERS, PERPLEXITY_RATIO, PRIMARIES, RANDOM_HEADS, RANDOM_VECTOR, RESIDUAL

_ROW = ("concept", "heads", "role", "edit", "vector", "scope")


def dose_response_table(
    responses: Sequence[DoseResponse], steering: pd.DataFrame, criteria: Criteria | None = None, *, seed: int
) -> pd.DataFrame:
    """The ``dose_response`` table: slope, nulls, cost and verdict of each response, in the order of families.

    Args:
        responses: of one request; all of one edit are one family, the residual stream's another.
        steering: the ``steering`` table of the same request: its primary rows say what each dose does, its
            ``perplexity_ratio`` rows what it costs.
        criteria: what decides; its ``alpha`` is the level of the intervals.
        seed: it flips signs.

    Raises:
        RequestError: a null has other numbers than it should (see ``nulls.place_among``).
    """
    rules = criteria or Criteria()
    effects, damage, specific = _by_dose(steering)
    families: dict[str, list[DoseResponse]] = {}
    for one in responses:
        family = f"dose_response/{one.edit}{f'/{RESIDUAL}' if one.role == RESIDUAL else ''}"
        families.setdefault(family, []).append(one)
    parts: list[pd.DataFrame] = []
    for family, members in families.items():
        blocks = [FamilyBlock(one.slopes()[:, None], one.templates, [one.key()]) for one in members]
        how = FamilyTest(family=family, simultaneous=True, tolerance=_tolerance(members))
        rows = family_rows(blocks, how, seed=seed, alpha=rules.alpha)
        judged = [
            _judged(one, row, effects, damage, specific, rules)
            for one, row in zip(members, rows.to_dict("records"), strict=True)
        ]
        parts.append(pd.concat([rows, pd.DataFrame(judged, index=rows.index)], axis=1))
    table = shaped(parts, TABLES["dose_response"].columns)
    whole = ("layer", "head", "k", "n_random_vectors", "n_random_heads")
    return table.astype(dict.fromkeys(whole, "Int64"))


def _tolerance(members: Sequence[DoseResponse]) -> float:
    """What an error of ``TOLERANCE_NATS`` at every dose does to a slope, at most."""
    x = [np.asarray(one.doses, dtype=np.float64) - one.neutral for one in members]
    return TOLERANCE_NATS * max(float(np.abs(one).sum() / (one**2).sum()) for one in x)


_Key = tuple[object, ...]


_Specificity = dict[str, tuple[float, float]]


def _by_dose(
    steering: pd.DataFrame,
) -> tuple[dict[_Key, dict[Hashable, Any]], dict[_Key, Damage], dict[_Key, _Specificity]]:
    """Primary rows by target, row and dose; damage, which no target has, by row and dose; specificity by all three."""
    effects: dict[_Key, dict[Hashable, Any]] = {}
    damage: dict[_Key, Damage] = {}
    specific: dict[_Key, _Specificity] = {}
    for row in steering.to_dict("records"):
        key = (*(row[name] for name in _ROW), float(row["dose"]))
        if row["outcome"] in PRIMARIES:
            effects[row["target"], *key] = row
        elif row["outcome"] == PERPLEXITY_RATIO:
            damage.setdefault(key, Damage.of_row(row))
        elif str(row["outcome"]).startswith(SPECIFICITY_PREFIX):
            other = str(row["outcome"]).removeprefix(SPECIFICITY_PREFIX)
            of_dose = specific.setdefault((row["target"], *key), {})
            of_dose[other] = float(row["sim_low"]), float(row["sim_high"])
    return effects, damage, specific


def _judged(
    one: DoseResponse,
    row: Mapping[Hashable, Any],
    effects: Mapping[_Key, Mapping[Hashable, Any]],
    damage: Mapping[_Key, Damage],
    specific: Mapping[_Key, _Specificity],
    rules: Criteria,
) -> dict[str, object]:
    """The columns that say where a slope lies among nulls, what each dose costs, and the verdict."""
    own = tuple(getattr(one, name) for name in _ROW)
    found = {dose: effects.get((one.target, *own, float(dose))) for dose in one.doses}
    threshold = rules.threshold_nats(one.gap_nats)
    doses = [
        DoseEffect.of_row(
            dose, dose - one.neutral, found[dose], damage.get((*own, float(dose)), Damage()),
            threshold=threshold, alpha=rules.alpha, specificity=specific.get((one.target, *own, float(dose)), {}),
        )
        for dose in one.doses
    ]  # fmt: skip
    mean = float(class_mean(one.slopes()[:, None], one.templates)[0])
    placed = {
        name: place_among(
            mean if null.own_slope is None else null.own_slope,
            null.slopes,
            n_planned=null.n_planned,
            stopped=null.stopped,
        )
        for name, null in one.null_slopes.items()
    }
    nobody = Placed(0, 0, math.nan, math.nan, math.nan)
    vectors, heads = (placed.get(name, nobody) for name in (RANDOM_VECTOR, RANDOM_HEADS))
    is_task = any(r is not None and r["outcome"] == ANSWERS for r in found.values())
    item = DoseEvidence(
        edit=one.edit, noun="task" if is_task else "concept", shown=one.shown, n_templates=int(row["n_templates"]),
        slope=float(row["estimate"]), low=float(row["sim_low"]), high=float(row["sim_high"]),
        threshold=threshold, doses=tuple(doses), random_vectors=vectors, random_heads=heads,
        p_vector=one.p_vector, null_notes={name: null.note for name, null in one.null_slopes.items()},
    )  # fmt: skip
    verdict, reason = ("", "") if one.role == RESIDUAL else decide(item, rules)
    matched = one.null_slopes.get(RANDOM_HEADS)
    return {
        "p_vector": math.nan if one.p_vector is None else one.p_vector,
        "p_random_vectors": vectors.p_value, "n_random_vectors": vectors.n_tried,
        "p_random_heads": heads.p_value, "n_random_heads": heads.n_tried,
        "layer_matched": matched is not None and matched.layer_matched,
        "smallest_dose": item.smallest_dose, "bounded_dose": item.bounded_dose(rules.max_perplexity_ratio),
        "harmful_dose": item.harmful_dose(rules.max_perplexity_ratio), "threshold_nats": item.threshold,
        "verdict": verdict, "reason": reason,
    }  # fmt: skip


def dose_sentence(row: Mapping[Hashable, Any], steering: pd.DataFrame) -> str:
    """What a row of ``dose_response`` says, as a sentence without its end; "" for the residual stream.

    Where there is an effect that is these heads': between which doses the concept rises or falls by how much, at no
    shown cost (the doses up to ``bounded_dose``) or at a cost; where a dose asked for in between has no such effect, at
    which doses. Else the verdict and its reason.

    Args:
        row: of ``dose_response``.
        steering: the ``steering`` table of the same request.
    """
    verdict = str(row["verdict"])
    if not verdict.startswith((STEERS, TURNS_DOWN)):
        return f"{verdict}: {row['reason']}" if verdict else ""
    at_cost = verdict in (STEERS_AT_COST, TURNS_DOWN_AT_COST)
    mine = steering["outcome"].isin(PRIMARIES)
    for name in (*_ROW, "target"):
        mine &= steering[name] == row[name]
    neutral, delta = NEUTRAL_DOSES[str(row["edit"])], float(row["threshold_nats"])
    x, limits = steering["dose"] - neutral, steering[["sim_low", "sim_high"]]
    side = math.copysign(1.0, float(row["smallest_dose"]) - neutral)
    beyond = mine & (x * side > 0) & ((limits["sim_low"] > delta) | (limits["sim_high"] < -delta))
    if not at_cost:
        beyond &= x * side <= (float(row["bounded_dose"]) - neutral) * side
    found = steering[beyond].sort_values("dose", key=lambda dose: (dose - neutral).abs())
    doses, sizes = [f"{dose:g}" for dose in found["dose"]], found["estimate"].abs()
    far = (found["dose"] - neutral).abs()
    n_asked = int((mine & (x * side > 0) & x.abs().between(far.min(), far.max())).sum())
    unit = "times" if row["edit"] == "scale" else "sigma"
    is_gapless = len(doses) > 1 and n_asked == len(doses)
    where = f"between {doses[0]} and {doses[-1]} {unit}" if is_gapless else f"at {' and '.join(doses)} {unit}"
    least, most = f"{sizes.min():.2g}", f"{sizes.max():.2g}"
    size = least if least == most else f"{least} to {most}"
    noun = "task" if (found["outcome"] == ANSWERS).any() else "concept"
    moves = "rises" if (found["estimate"] > 0).all() else "falls"
    cost = "at a cost to other text" if at_cost else "at no shown cost"
    also = {
        STEERS_UNTESTED: f"; no other {noun} was read", STEERS_NOT_SPECIFIC: f"; another {noun} moves as far",
        TURNS_DOWN_UNTESTED: f"; no other {noun} was read", TURNS_DOWN_NOT_SPECIFIC: f"; another {noun} moves as far",
    }  # fmt: skip
    return f"{where} the {noun} {moves} by {size} nats {cost}{also.get(verdict, '')}"
