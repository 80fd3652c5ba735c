"""What happens when the top heads are off together? Sets chosen on one half of the templates, measured on the other.

1. The templates of a concept are halved. On each half the k heads whose removal lowers the concept most are chosen from
   the sweep; their joint effect is measured on the *other* half, so choosing does not flatter it. Where both halves
   choose the same heads, there is one set, measured on all prompts.
2. Beside it stands the sum of the same heads' single effects on the same prompts: a joint effect beyond the sum means
   that heads stand in for each other.
3. Random sets of the same size, disjoint from the set, on the same prompts: the percentile of the set among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from headscope.engines.engine import Engine
from headscope.errors import RequestError
from headscope.heads import HeadSet
from headscope.measure.passes import Progress
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.stats import EffectBlock, effects_table
from headscope.stats.clusters import equal_weight_mean, template_means
from headscope.stats.nulls import draw_disjoint_sets, null_row
from headscope.verbs.causal import PRIMARY, CausalStudy, edited_sets
from headscope.verbs.orders import orders, single_effects
from headscope.verbs.request import batch_budget
from headscope.verbs.result import Result
from headscope.verbs.sweep import DECIDING_EDIT, SweepResult


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
    model: HeadModel,
    profile: Profile,
    sweep: SweepResult,
    chosen: Sequence[ChosenSet],
    joint_estimates: Sequence[float],
    *,
    n_random: int = 100,
    chat_template: bool | str = False,
    pack: bool = True,
    seed: int = 0,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> JointResult:
    """Place the joint effect of each chosen set among random sets, and beside the sum of its heads' single effects.

    Args:
        model: the model.
        profile: what was asked.
        sweep: single effects of the same model and profile.
        chosen: the sets.
        joint_estimates: the joint effect of each, deciding edit, measured on its prompts.
        n_random: random sets for each.
        chat_template: as in the sweep.
        pack: as in the sweep.
        seed: of the draws.
        batch_tokens: most tokens of a batch.
        progress: told how far the work is.
        engine: runs the passes and keeps their results; this process by default, nothing kept.
    """
    rows: list[pd.DataFrame] = []
    blocks: list[EffectBlock] = []
    drawn: list[dict[str, Any]] = []
    n_halved = 0
    for one, estimate in zip(chosen, joint_estimates, strict=True):
        sets = draw_disjoint_sets(model.heads_per_layer, one.heads, n_sets=n_random, seed=seed, name=one.concept)
        study = CausalStudy(
            model, profile, concepts=one.concept, kinds=[DECIDING_EDIT], seed=seed,
            batch_tokens=batch_budget(model, batch_tokens),
            chat_template=chat_template, pack=pack, progress=progress, prompts=frozenset(one.prompts),
            engine=engine,
        )  # fmt: skip
        edited = edited_sets(sets.sets, [DECIDING_EDIT], "random_disjoint")
        mine = study.rows_of(one.concept)
        outcomes = study.measure(edited, rows=mine, stage="nulls")
        n_halved += study.n_halved
        column = study.lexicon_column(one.concept)
        deltas = (outcomes.edited[:, :, column] - outcomes.baseline[None, :, column]).T
        means = equal_weight_mean(template_means(deltas, study.labels_of(mine)).means)
        rows.append(null_row(one.concept, one.heads, PRIMARY, estimate, means, sets))
        blocks.append(_sum_of_singles(sweep, one))
        drawn.append(
            {
                "concept": one.concept,
                "heads": str(one.heads),
                "random_sets": [str(random) for random in sets.sets],
                "random_effects_nats": [float(mean) for mean in means],
            }
        )
    tables = {"nulls": pd.concat(rows, ignore_index=True), "effects": effects_table(blocks, seed=seed)}
    record = {"n_random": n_random, "seed": seed, "n_batches_halved": n_halved, "drawn": drawn}
    return JointResult(tables, xr.Dataset(), record, "nulls")


def _sum_of_singles(sweep: SweepResult, one: ChosenSet) -> EffectBlock:
    effects = single_effects(sweep, one.concept)
    chosen = effects["heads"].isin([str(head) for head in one.heads]).to_numpy()
    mine = effects["prompt"].isin(list(one.prompts)).to_numpy()
    total = effects.to_numpy()[chosen][:, mine].sum(axis=0)[:, None]
    labels = [str(label) for label in effects["template"].to_numpy()[mine]]
    tests = [{"heads": str(one.heads), "role": "sum_of_singles", "k": len(one.heads)}]
    return EffectBlock(
        one.concept, PRIMARY, "nats", DECIDING_EDIT, "all", tests, np.zeros(len(total)), total, labels,
        family=f"joint/sum_of_singles/{DECIDING_EDIT}",
    )  # fmt: skip
