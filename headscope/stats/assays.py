"""What the unedited model shows: the ``assay`` and ``accuracy`` tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from headscope.stats.effects import FamilyTest, effect_rows
from headscope.stats.tables import class_mean, shaped
from headscope.tables import TABLES


def assay_table(
    concept: str,
    outcome: str,
    unit: str,
    values: NDArray[np.floating],
    controls: NDArray[np.floating],
    templates: Sequence[str | None],
    *,
    seed: int,
    note: str = "",
) -> pd.DataFrame:
    """One row of the ``assay`` table: does the unedited model show the concept at all?

    Of ``values`` and ``controls``, both [n_prompts], ``estimate`` is concept - control, ``share_right`` the share of
    pairs in which the concept's prompt has the larger outcome; ``shown`` is True where the interval lies wholly above
    0. ``note`` is a sentence for the record.
    """
    value, control = np.asarray(values, dtype=np.float64), np.asarray(controls, dtype=np.float64)
    delta = (value - control)[:, None]
    how = FamilyTest(family=f"assay/{concept}/{outcome}", status="confirmatory")
    row = effect_rows(delta, templates, how, seed=seed)
    paired = ~np.isnan(delta[:, 0])
    notes = [note] if note else []
    if row["status"].iloc[0] == "descriptive":
        notes.append("descriptive only: fewer than six templates")
    elif row["ci_high"].iloc[0] < 0.0:
        notes.append("reversed: the outcome is larger on the control prompts")
    row = row.assign(
        concept=concept,
        outcome=outcome,
        unit=unit,
        concept_mean=class_mean(np.where(paired, value, np.nan)[:, None], templates),
        control_mean=class_mean(np.where(paired, control, np.nan)[:, None], templates),
        share_right=float(np.mean(delta[paired, 0] > 0.0)) if paired.any() else np.nan,
        shown=bool(row["ci_low"].iloc[0] > 0.0),
        note="; ".join(notes),
    )
    return shaped([row], TABLES["assay"].columns)


def accuracy_table(
    concept: str,
    right: NDArray[np.floating],
    right_on_controls: NDArray[np.floating],
    templates: Sequence[str | None],
    control_templates: Sequence[str | None],
    *,
    seed: int,
) -> pd.DataFrame:
    """One row of the ``accuracy`` table: how often the unedited model answers a task's prompts right.

    ``right`` is [n_prompts], 1 or 0, NaN where a prompt has no foils; ``right_on_controls`` [n_controls] the same of
    the corrupted prompts. The interval is a t-interval of the means of templates, cut to 0 and 1. Where each template
    is wholly right, or each wholly wrong, their means have no spread to make one of, and the exact binomial interval
    of templates (Clopper & Pearson 1934) takes its place.
    """
    how = FamilyTest(family=f"accuracy/{concept}")
    row = effect_rows(np.asarray(right, dtype=np.float64)[:, None], templates, how, seed=seed)
    row = row.assign(**_within_bounds(row))
    known = ~np.isnan(right_on_controls)
    controls = class_mean(right_on_controls[:, None], control_templates) if known.any() else np.full(1, np.nan)
    note = "descriptive only: fewer than six templates" if row["status"].iloc[0] == "descriptive" else ""
    row = row.assign(concept=concept, unit="share_of_prompts", control_mean=controls, note=note)
    return shaped([row], TABLES["accuracy"].columns)


def _within_bounds(row: pd.DataFrame) -> dict[str, float]:
    """The interval of a share, between 0 and 1; NaN where there is none."""
    share, n = float(row["estimate"].iloc[0]), int(row["n_templates"].iloc[0])
    low, high = float(row["ci_low"].iloc[0]), float(row["ci_high"].iloc[0])
    if np.isnan(low):
        return {"ci_low": low, "ci_high": high}
    if share in (0.0, 1.0):
        exact = stats.binomtest(round(share * n), n).proportion_ci(method="exact")
        return {"ci_low": float(exact.low), "ci_high": float(exact.high)}
    return {"ci_low": max(low, 0.0), "ci_high": min(high, 1.0)}
