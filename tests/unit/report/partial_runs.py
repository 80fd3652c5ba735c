"""What a run's folder holds after each of its stages, made from the tables of a whole run by taking rows away.

Of heads whose deciding interval lies inside the smallest effect that matters on every concept there is no second edit
and no damage, as in a run that measures them only where they can matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from headscope.stats.ranking import single_effects
from headscope.terms import DAMAGE_OUTCOMES, DECIDING_EDIT, SINGLE

STAGES = ("assay", "screen", "probes", "scores", "sweep", "verdicts", "texts", "nulls", "patching", "curves")
_ADDED = {
    "assay": ("assay",),
    "screen": ("screen", "coverage", "attention_by_region", "ranking", "layers"),
    "probes": ("probes",),
    "scores": ("scores", "components"),
    "sweep": ("effects", "agreement"),
    "verdicts": ("verdicts",),
    "texts": ("texts",),
    "nulls": ("nulls",),
    "patching": ("patching", "dissociation"),
    "curves": ("areas", "smallest", "orders"),
}
_CURVES = ("top_k", "bottom_k", "kept_k", "random_band", "leave_one_in", "marginal", "smallest")


def small_heads(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Heads whose simultaneous interval lies inside the smallest effect that matters, on every concept."""
    limits = tables["verdicts"].drop_duplicates("concept").set_index("concept")["threshold_nats"]
    rows = single_effects(tables["effects"])
    limit = rows["concept"].map(limits)
    inside = (rows["sim_low"] > -limit) & (rows["sim_high"] < limit)
    return sorted(rows.assign(inside=inside).groupby("heads")["inside"].all().loc[lambda all_in: all_in].index)


def tables_after(tables: Mapping[str, pd.DataFrame], last: str) -> dict[str, pd.DataFrame]:
    """The tables that are there when the stage ``last`` is done."""
    done = STAGES[: STAGES.index(last) + 1]
    kept = {name: tables[name] for stage in done for name in _ADDED[stage] if name in tables}
    small = small_heads(tables)
    swept, judged = "sweep" in done, "verdicts" in done
    if "effects" in kept:
        kept["effects"] = _effects_after(kept["effects"], done, small)
    if "scores" in kept and not swept:
        exact = [column for column in kept["scores"].columns if column.startswith("exact_")]
        kept["scores"] = kept["scores"].assign(**dict.fromkeys(exact, np.nan))
    if "ranking" in kept:
        kept["ranking"] = _ranking_after(kept["ranking"], small, swept=swept, judged=judged)
        if "probes" not in done:
            kept["ranking"][["probe_auroc", "probe_p_max_t"]] = np.nan
    if "layers" in kept and not swept:
        missing = {"effect_sum": np.nan, "effect_min": np.nan, "effect_min_head": pd.NA}
        kept["layers"] = kept["layers"].assign(**missing)
    if "verdicts" in kept:
        rows = kept["verdicts"] if "texts" in done else kept["verdicts"][~kept["verdicts"]["heads"].str.contains(",")]
        rows = rows.copy()
        rows.loc[rows["heads"].isin(small), ["perplexity_ratio_low", "perplexity_ratio_high"]] = np.nan
        kept["verdicts"] = rows
    if "texts" in kept and "patching" not in done:
        kept["texts"] = kept["texts"][kept["texts"]["direction"] == ""]
    return kept


def _effects_after(effects: pd.DataFrame, done: tuple[str, ...], small: list[str]) -> pd.DataFrame:
    alone, second = effects["role"] == SINGLE, effects["edit"] != DECIDING_EDIT
    more = second | effects["outcome"].isin(DAMAGE_OUTCOMES)
    keep = alone & ~more
    if "verdicts" in done:
        keep |= alone & more & ~effects["heads"].isin(small)
    if "texts" in done:
        keep |= ~alone & ~effects["role"].isin(_CURVES)
    if "curves" in done:
        keep |= ~alone
    return effects[keep]


def _ranking_after(ranking: pd.DataFrame, small: list[str], *, swept: bool, judged: bool) -> pd.DataFrame:
    rows = ranking if swept else ranking[ranking["by"] == "screen"]
    rows = rows.copy()
    heads = rows["layer"].astype(str) + ":" + rows["head"].astype(str)
    rows.loc[heads.isin(small) | (not judged), "effect_zero_estimate"] = np.nan
    if not swept:
        rows[[column for column in rows.columns if column.startswith("effect_")]] = np.nan
    if not judged:
        rows["verdict"] = None
    return rows


def stages_after(last: str | None, now: str = "running") -> list[dict[str, Any]]:
    """The manifest's stages when ``last`` is done and the next one is ``now``; None: none is done."""
    done = 0 if last is None else STAGES.index(last) + 1
    return [
        {
            "name": name,
            "status": "done" if at < done else now if at == done else "to come",
            "seconds": 12.5 * (at + 1) if at < done else None,
            "expected_seconds": 25.0 * (at + 1),
            "why": "",
        }
        for at, name in enumerate(STAGES)
    ]
