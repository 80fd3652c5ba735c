"""What happens when the top heads are off together? Sets chosen on one half of the templates, measured on the other.

1. The templates of a concept are halved. On each half the k heads whose removal lowers the concept most are chosen from
   the sweep; their joint effect is measured on the *other* half, so choosing does not flatter it. Where both halves
   choose the same heads, there is one set, measured on all prompts.
2. Beside it stands the sum of the same heads' single effects on the same prompts: a joint effect beyond the sum means
   that heads stand in for each other.
3. Random sets of the same size, disjoint from the set, on the same prompts: the percentile of the set among them. They
   run ``_AT_ONCE`` at a time, in random order, until enough of them reach the set (``stats.nulls``) or all have run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from headscope.errors import RequestError
from headscope.heads import HeadSet
from headscope.measure.edits import Arm
from headscope.measure.protocols import Progress
from headscope.random_streams import generator
from headscope.stages import Stage
from headscope.stats import EffectBlock, effects_table
from headscope.stats.clusters import equal_weight_mean, template_means
from headscope.stats.nulls import draw_disjoint_sets, n_to_try, null_row
from headscope.study import Study
from headscope.terms import SUM_OF_SINGLES
from headscope.verbs.effect_rows import DECIDING_EDIT
from headscope.verbs.head_order import orders, single_effects
from headscope.verbs.result import Result
from headscope.verbs.sweep import SweepResult

_AT_ONCE = 20
"""Random sets that run beside each other before it is asked whether more are needed."""


class JointResult(Result):
    """``tables``: nulls and effects (the sums of single effects)."""


@dataclass(frozen=True)
class ChosenSet:
    """The top heads of one concept, and the prompts on which they were *not* chosen."""

    concept: str
    heads: HeadSet
    prompts: tuple[str, ...]


def choose_top(sweep: SweepResult, concept: str, k: int, *, seed: int) -> list[ChosenSet]:
    """The k heads that lower a concept most, chosen on each half of its templates for use on the other.

    Raises:
        RequestError: k is not positive or larger than the number of swept heads, or the concept was not swept.
    """
    both = orders(sweep, concept, seed=seed)
    n_heads = len(both[0].heads)
    if not 1 <= k <= n_heads:
        raise RequestError("k does not fit the swept heads", expected=f"1 to {n_heads}", got=str(k))
    if both[0].top(k) == both[1].top(k):
        return [ChosenSet(concept, both[0].top(k), (*both[0].prompts, *both[1].prompts))]
    return [ChosenSet(concept, order.top(k), order.prompts) for order in both]


def joint(
    study: Study,
    sweep: SweepResult,
    chosen: Sequence[ChosenSet],
    joint_estimates: Sequence[float],
    *,
    too_small: Sequence[bool] = (),
    n_random: int = 100,
    all_sets: bool = False,
) -> JointResult:
    """Place the joint effect of each chosen set among random sets, and beside the sum of its heads' single effects.

    Args:
        study: what was swept.
        sweep: single effects of the sets' heads.
        chosen: the sets.
        joint_estimates: the joint effect of each, deciding edit, measured on its prompts.
        too_small: which of them are shown to have no effect that matters; they are not compared, and the row says so.
        n_random: most random sets of one.
        all_sets: try every one of them, for every set, however many reach it.
    """
    rows: list[pd.DataFrame] = []
    drawn: list[dict[str, Any]] = []
    n_halved = 0
    progress, n_tried = study.progress or _nobody, 0
    total = n_random * len(chosen)
    progress("random sets", 0, total)
    skipped = [False] * len(chosen) if all_sets or not too_small else list(too_small)
    for top, estimate, skip in zip(chosen, joint_estimates, skipped, strict=True):
        found = draw_disjoint_sets(
            study.model.heads_per_layer, top.heads, n_sets=n_random, seed=study.seed, name=top.concept
        )
        order = generator(study.seed, "order_of_random_sets", str(top.heads), top.concept).permutation(len(found.sets))
        random_sets = found if all_sets else replace(found, sets=tuple(found.sets[int(i)] for i in order))
        if skip:
            random_sets = replace(
                random_sets, sets=(), note="not compared: its effect is shown to be too small to matter"
            )
        view = study.only(top.concept, top.prompts).silent()
        tell = partial(_told, progress, n_tried, total)
        means, stopped = _effects(view, random_sets.sets, math.inf if all_sets else estimate, tell)
        n_halved += view.n_halved
        rows.append(
            null_row(top.concept, top.heads, study.primary, estimate, np.array(means), random_sets, stopped=stopped)
        )
        tried = random_sets.sets[: len(means)]
        about = {"concept": top.concept, "heads": str(top.heads), "random_sets": [str(heads) for heads in tried]}
        drawn.append(about | {"random_effects_nats": means})
        n_tried += n_random
        progress("random sets", n_tried, total)
    blocks = [_sum_of_singles(sweep, top, study.primary) for top in chosen]
    tables = {"nulls": pd.concat(rows, ignore_index=True), "effects": effects_table(blocks, seed=study.seed)}
    record = {"n_random": n_random, "seed": study.seed, "n_batches_halved": n_halved, "drawn": drawn}
    return JointResult(tables, xr.Dataset(), record, "nulls")


def _nobody(_stage: str, _done: int, _total: int) -> None:
    """Nobody is told."""


def _told(progress: Progress, before: int, total: int, n: int) -> None:
    progress("random sets", before + n, total)


def _effects(
    view: Study, sets: Sequence[HeadSet], estimate: float, tell: Callable[[int], None]
) -> tuple[list[float], bool]:
    """Effects of the sets on the view's one concept, up to the one at which enough reach ``estimate``; did they?

    ``tell`` is told how many were tried so far.
    """
    outcome = view.log_odds[view.names[0]].name
    found: list[float] = []
    at_once = _AT_ONCE if math.isfinite(estimate) else max(1, len(sets))
    for start in range(0, len(sets), at_once):
        stage = random_set_stage(view, sets[start : start + at_once])
        deltas = stage.run().change(outcome).T
        means = equal_weight_mean(template_means(deltas, [layout.template for layout in stage.layouts]).means)
        found += [float(mean) for mean in means]
        tell(len(found))
        if (n := n_to_try(estimate, found)) is not None:
            return found[:n], True
    return found, False


def random_set_stage(study: Study, sets: Sequence[HeadSet], *, bound: bool = False) -> Stage:
    """Random sets over the prompts of the study's one concept; controls stay out, their damage is not asked for."""
    arms = [Arm(heads, DECIDING_EDIT) for heads in sets]
    return study.stage("nulls", arms, study.rows_of(study.names[0]), bound=bound)


def _sum_of_singles(sweep: SweepResult, top: ChosenSet, outcome: str) -> EffectBlock:
    effects = single_effects(sweep, top.concept)
    chosen = effects["heads"].isin([str(head) for head in top.heads]).to_numpy()
    mine = effects["prompt"].isin(list(top.prompts)).to_numpy()
    total = effects.to_numpy()[chosen][:, mine].sum(axis=0)[:, None]
    labels = [str(label) for label in effects["template"].to_numpy()[mine]]
    tests = [{"heads": str(top.heads), "role": SUM_OF_SINGLES, "k": len(top.heads)}]
    return EffectBlock(
        top.concept, outcome, "nats", DECIDING_EDIT, "all", tests, np.zeros(len(total)), total, labels,
        family=f"joint/sum_of_singles/{DECIDING_EDIT}",
    )  # fmt: skip
