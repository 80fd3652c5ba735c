"""What do sets of heads do, as they grow and as their members come back? Curves, areas, leave-one-in, smallest set.

Every set is chosen on one half of a concept's templates and measured on the other, in both directions (``orders``); a
curve's row rests on all templates, each measured with sets that it had no part in choosing.

1. Cumulative curves under the deciding edit, at the sizes of ``areas.curve_sizes``. ``top_k``: the k heads that lower
   the concept most are off; ``bottom_k``: the k heads of least effect; ``kept_k``: all heads but the top k;
   ``random_band``: random sets disjoint from the top k, layer-matched where at least 100 such sets exist, as far as
   there are disjoint sets at all.
2. Areas: CPR, CMD and the removed shares (``stats.areas``).
3. Leave-one-in, for each chosen top set: one head stays in, the others of the set are off. ``marginal`` is the
   whole set's effect minus that: what a head's removal adds once the others are off. Beside its single effect it shows
   self-repair: a backup's marginal effect is large and its single effect small.
4. The smallest set that removes a stated share of the concept gap (``smallest``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from headscope.errors import RequestError
from headscope.heads import HeadSet, every_head
from headscope.measure.edits import Arm
from headscope.measure.protocols import told
from headscope.models.head_model import HeadModel
from headscope.stages import Stage
from headscope.stats import EffectBlock, areas_table, curve_sizes, draw_disjoint_sets, effects_table
from headscope.stats.clusters import FloatArray, template_means
from headscope.study import Study
from headscope.terms import BOTTOM_K, KEPT_K, LEAVE_ONE_IN, MARGINAL, RANDOM_BAND, TOP_K
from headscope.verbs.effect_rows import DECIDING_EDIT, LOWEST_SET
from headscope.verbs.head_order import Order, orders, orders_table
from headscope.verbs.joint import ChosenSet, choose_top
from headscope.verbs.result import Result
from headscope.verbs.smallest import MOST_CANDIDATES, MOST_HEADS, Changes, check_share, smallest_sets
from headscope.verbs.sweep import SweepResult

_CUMULATIVE = (TOP_K, BOTTOM_K, KEPT_K)
_Key = tuple[str, int, int]  # role, k, number of the draw


class CurvesResult(Result):
    """``tables``: areas, smallest, orders, and effects with roles ``top_k``, ``bottom_k``, ``kept_k`` and others."""


def curves(
    study: Study,
    sweep: SweepResult,
    *,
    top_k: int = 4,
    share: float = 0.5,
    n_random: int = 20,
    within_top: bool = False,
) -> CurvesResult:
    """Cumulative curves, their areas, leave-one-in, and the smallest set that removes a share of the concept.

    Args:
        study: what was swept.
        sweep: single effects of *every* head of the same model and profile; its seed halves the templates.
        top_k: size of the sets for leave-one-in.
        share: of the concept gap that the smallest set is to remove, in (0, 1].
        n_random: random sets for each size of the band.
        within_top: look for the smallest set only among the ``top_k`` heads.

    Raises:
        RequestError: the sweep left heads out, ``top_k`` is larger than the number of heads, ``share`` is outside
            (0, 1], or ``n_random`` is not positive.
    """
    check_curves(study.model, heads=sweep.record["heads"], top_k=top_k, share=share, n_random=n_random)
    names: list[str] = sweep.record["concepts"]
    chosen = {name: choose_top(sweep, name, top_k, seed=study.seed) for name in names}
    study = study.only(names)
    quiet = study.silent()
    tables: dict[str, list[pd.DataFrame]] = {"areas": [], "smallest": [], "orders": []}
    blocks: list[EffectBlock] = []
    matched: dict[str, list[int]] = {}
    for name in told(names, "growing sets", len(names), study.progress):
        both = orders(sweep, name, seed=study.seed)
        tables["orders"].append(orders_table(both))
        changes = Changes(quiet, name)
        of_concept = _Curves.measure(changes, both, study.model.heads_per_layer, n_random, study.seed)
        blocks += of_concept.blocks()
        tables["areas"].append(of_concept.areas())
        matched[name] = of_concept.matched
        blocks += [block for top in chosen[name] for block in _leave_one_in(changes, top)]
        table, blocks_of_search = smallest_sets(changes, sweep, both, share, top_k if within_top else None)
        tables["smallest"].append(table)
        blocks += blocks_of_search
    joined = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
    joined["effects"] = effects_table(blocks, seed=study.seed)
    record: dict[str, Any] = {
        "top_k": top_k,
        "share": share,
        "n_random": n_random,
        "within_top": within_top,
        "layer_matched_sizes": matched,
    }
    record |= {"seed": study.seed, "n_batches_halved": quiet.n_halved}
    return CurvesResult(joined, xr.Dataset(), record, "areas")


def curve_stage(study: Study, *, top_k: int = 4, n_random: int = 20, within_top: bool = False) -> Stage:
    """At most the work of ``curves`` on the study's one concept: which sets it tries depends on what is measured."""
    n_heads = sum(study.model.heads_per_layer)
    growing = (len(_CUMULATIVE) + n_random) * len(curve_sizes(n_heads))
    n_candidates = top_k if within_top else min(n_heads, MOST_CANDIDATES)
    searched = n_candidates * (min(MOST_HEADS, n_candidates) - 1)
    arms = [Arm(LOWEST_SET, DECIDING_EDIT)] * (growing + top_k + 1 + searched)
    return study.stage("curves", arms, study.rows_of(study.names[0]), bound=True)


def check_curves(model: HeadModel, *, heads: str, top_k: int, share: float, n_random: int = 1) -> None:
    """Refuse, before anything is swept, what ``curves`` cannot do with a sweep of ``heads``.

    Raises:
        RequestError: see ``curves``.
    """
    n_heads = sum(model.heads_per_layer)
    if heads != "*" or n_heads < 2:
        raise RequestError(
            "curves run over all heads of a model",
            expected="a sweep of every head of a model that has at least two",
            got=f"a sweep of {heads}" if heads != "*" else f"{n_heads} head",
            fix='sweep with heads="*"',
        )
    if not 1 <= top_k <= n_heads:
        raise RequestError("top_k does not fit the model", expected=f"1 to {n_heads}, its heads", got=str(top_k))
    check_share(share)
    if n_random < 1:
        raise RequestError("no random sets were asked for", expected="n_random >= 1", got=str(n_random))


@dataclass(frozen=True)
class _Curves:
    """One concept's curves: for every key its set in each direction, and the change on every prompt."""

    changes: Changes
    sizes: list[int]
    sets: Mapping[_Key, tuple[HeadSet, HeadSet]]
    values: Mapping[_Key, FloatArray]
    matched: list[int]

    @classmethod
    def measure(
        cls,
        changes: Changes,
        both: tuple[Order, Order],
        heads_per_layer: Sequence[int],
        n_random: int,
        seed: int,
    ) -> _Curves:
        sizes = curve_sizes(sum(heads_per_layer))
        plans: list[dict[_Key, HeadSet]] = []
        matched: list[list[int]] = []
        for order in both:
            plan, layer_matched = _plan(order, sizes, heads_per_layer, n_random, seed)
            plans.append(plan)
            matched.append(layer_matched)
        keys = [key for key in plans[0] if key in plans[1]]
        values = {key: np.full(len(changes.rows), np.nan) for key in keys}
        for order, plan in zip(both, plans, strict=True):
            mine = changes.places(order.prompts)
            found = changes.of([plan[key] for key in keys], mine)
            for key in keys:
                values[key][mine] = found[plan[key]]
        sets = {key: (plans[0][key], plans[1][key]) for key in keys}
        return cls(changes, sizes, sets, values, [k for k in matched[0] if k in matched[1]])

    def _of_role(self, role: str) -> list[_Key]:
        return [key for key in self.sets if key[0] == role]

    def blocks(self) -> list[EffectBlock]:
        """One block a role; the two directions' sets are named only where they are the same."""
        blocks: list[EffectBlock] = []
        for role in (*_CUMULATIVE, RANDOM_BAND):
            keys = self._of_role(role)
            tests = [
                {"heads": str(one) if one == other else "", "role": role, "k": key[1]}
                for key in keys
                for one, other in [self.sets[key]]
            ]
            change = np.stack([self.values[key] for key in keys], axis=1)
            blocks.append(self.changes.block(tests, change, f"curves/{role}", simultaneous=role != RANDOM_BAND))
        return blocks

    def areas(self) -> pd.DataFrame:
        labels = self.changes.labels(np.arange(len(self.changes.rows)))
        top, bottom, kept = (
            template_means(np.stack([self.values[key] for key in self._of_role(role)], axis=1), labels)
            for role in _CUMULATIVE
        )
        return areas_table(self.changes.concept, self.sizes, top, bottom, kept)


def _plan(
    order: Order, sizes: Sequence[int], heads_per_layer: Sequence[int], n_random: int, seed: int
) -> tuple[dict[_Key, HeadSet], list[int]]:
    """The sets of one direction, and the sizes whose random sets are layer-matched."""
    everything = every_head(heads_per_layer)
    plan: dict[_Key, HeadSet] = {(TOP_K, k, 0): order.top(k) for k in sizes}
    plan |= {(BOTTOM_K, k, 0): order.bottom(k) for k in sizes}
    for k in sizes[:-1]:
        kept = order.top(k)
        plan[KEPT_K, k, 0] = HeadSet.of(head for head in everything if head not in kept)
    matched: list[int] = []
    for k in sizes:
        name = f"curves/{order.concept}/{order.half}"
        drawn = draw_disjoint_sets(heads_per_layer, order.top(k), n_sets=n_random, seed=seed, name=name)
        plan |= {(RANDOM_BAND, k, draw): heads for draw, heads in enumerate(drawn.sets)}
        matched += [k] if drawn.layer_matched else []
    return plan, matched


def _leave_one_in(changes: Changes, one: ChosenSet) -> list[EffectBlock]:
    """A set without each of its heads in turn, and what each head's removal adds to the others'."""
    if len(one.heads) < 2:
        return []
    mine = changes.places(one.prompts)
    rest = {head: HeadSet.of(other for other in one.heads if other != head) for head in one.heads}
    found = changes.of([one.heads, *rest.values()], mine)
    place = [{"layer": head.layer, "head": head.head} for head in rest]
    without = [
        p | {"heads": str(s), "role": LEAVE_ONE_IN, "k": len(s)} for p, s in zip(place, rest.values(), strict=True)
    ]
    added = [p | {"heads": str(one.heads), "role": MARGINAL, "k": len(one.heads)} for p in place]
    left = np.stack([found[heads] for heads in rest.values()], axis=1)
    return [
        changes.block(without, left, "curves/leave_one_in", rows=mine),
        changes.block(added, found[one.heads][:, None] - left, "curves/marginal", rows=mine),
    ]
