"""Would other prompts of this kind have ranked the heads alike, and does one template decide an answer?

From what ``screen`` and ``sweep`` measured, without a further pass (``stats.reliability``):

1. ``reliability``, a row a concept and way of ranking (``by``: screen, effect): split-half reliability with
   Spearman-Brown, and how much of the top k stays when templates are resampled.
2. ``stability``, a row a concept and head: the answer of the simultaneous interval (causal, no effect, undecided) and
   the share of templates without which it stays.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from headscope.stats import FamilyBlock, leave_one_template_out, reliability_table
from headscope.stats.verdicts import Criteria
from headscope.terms import ATTENTION_OF_EVEN_SPREAD
from headscope.verbs.effect_rows import DECIDING_EDIT
from headscope.verbs.head_order import head_of, single_effects
from headscope.verbs.result import Result
from headscope.verbs.sweep import SweepResult


class ReliabilityResult(Result):
    """``tables``: reliability, stability."""


def reliability(
    screen: Result | None, sweep: SweepResult, *, top_k: int = 4, seed: int = 0, criteria: Criteria | None = None
) -> ReliabilityResult:
    """How firm the rankings and the answers of a run are.

    ``top_k``: size of the top whose stability is given.
    """
    names: list[str] = sweep.record["concepts"]
    effects = {name: _effect_block(sweep, name) for name in names}
    parts = [reliability_table(effects, "effect", seed=seed, k=top_k)]
    if screen is not None and "attention" in screen.values:
        looked = {name: _screen_block(screen.values, name) for name in names}
        parts.insert(0, reliability_table(looked, "screen", seed=seed, k=top_k))
    primary = sweep.tables["assay"]["outcome"].iloc[0]
    assay = sweep.tables["assay"].set_index("concept")["estimate"]
    rules = criteria or Criteria()
    limits = [rules.threshold_nats(float(assay[name])) for name in names]
    family = f"sweep/{primary}/{DECIDING_EDIT}"
    stability = leave_one_template_out(list(effects.values()), limits, seed=seed, family=family)
    tables = {"reliability": pd.concat(parts, ignore_index=True), "stability": stability}
    return ReliabilityResult(tables, xr.Dataset(), {"top_k": top_k, "seed": seed}, "reliability")


def _effect_block(sweep: SweepResult, concept: str) -> FamilyBlock:
    effects = single_effects(sweep, concept)
    heads = [head_of(str(spec)) for spec in effects["heads"].to_numpy()]
    keys = [{"concept": concept, "layer": head.layer, "head": head.head} for head in heads]
    return FamilyBlock(effects.to_numpy().T, [str(t) for t in effects["template"].to_numpy()], keys)


def _screen_block(values: xr.Dataset, concept: str) -> FamilyBlock:
    """Differences over what ranks heads, of tasks an even spread, else the best kind of control; places without a head
    stay out.
    """
    kinds, concepts, control = values["control"].to_numpy(), values["concept"].to_numpy(), "attention_control"
    ranked = concepts == concept
    if ATTENTION_OF_EVEN_SPREAD in values:
        control = ATTENTION_OF_EVEN_SPREAD
    else:
        found = [kind for kind in ("paired_equal", "length_matched") if (kinds[ranked] == kind).any()]
        ranked = ranked & (kinds == (found or [""])[0])
    mine = values.isel(prompt=np.flatnonzero(ranked))
    delta = (mine["attention"] - mine[control]).stack(address=("layer", "head")).to_numpy()
    delta = delta[:, ~np.isnan(delta).all(axis=0)]
    known = ~np.isnan(delta).any(axis=1)
    templates = [str(t) for t in mine["template"].to_numpy()[known]]
    return FamilyBlock(delta[known], templates, [{"concept": concept}] * delta.shape[1])
