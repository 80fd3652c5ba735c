"""The smallest set of heads that removes a stated share of a concept, found greedily on one half of the templates.

1. Forward: start with the head whose removal lowers the concept most; add the head that lowers it most together with
   those already off, until the mean effect reaches ``share`` of the concept gap (concept - control, no edit), no head
   lowers it further, or ``MOST_HEADS`` are off. Only the ``MOST_CANDIDATES`` heads with the largest single effects are
   tried, so a pair of backups of which neither shows alone can be missed on large models; within a top set, only its
   members, and every such pair is missed.
2. Backward: drop every head without which the share is still reached, the least useful first.
3. The set's effect is quoted on the *other* half, where it may fall short of the share: that is the honest number.

Greedy search gives a small set, not provably the smallest (the problem is a set cover); both directions are shown, so
that a reader sees how far two halves of the prompts agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from headscope.errors import RequestError
from headscope.heads import Head, HeadSet
from headscope.measure.edits import Arm
from headscope.stats import EffectBlock
from headscope.stats.areas import jackknife_interval
from headscope.stats.clusters import FloatArray, equal_weight_mean, template_means
from headscope.stats.ratios import SMALLEST_WHOLE_NATS
from headscope.study import Study
from headscope.tables import TABLES
from headscope.terms import SMALLEST
from headscope.verbs.effect_rows import DECIDING_EDIT
from headscope.verbs.head_order import Order, concept_gaps
from headscope.verbs.sweep import SweepResult

MOST_HEADS = 8
MOST_CANDIDATES = 64

Places = npt.NDArray[np.intp]


class Changes:
    """Effects of sets of heads on one concept's primary outcome, under the deciding edit."""

    def __init__(self, study: Study, concept: str) -> None:
        self._study, self.concept = study, concept
        self.rows = study.rows_of(concept)
        self.ids = [study.layouts[i].id for i in self.rows]
        self._outcome = study.log_odds[concept].name
        self._baseline = np.full(len(self.rows), np.nan)

    def places(self, prompts: Sequence[str]) -> Places:
        """Indices among the concept's prompts."""
        wanted = frozenset(prompts)
        return np.flatnonzero([i in wanted for i in self.ids])

    def labels(self, places: Places) -> list[str]:
        """Template labels of prompts."""
        return self._study.labels_of([self.rows[int(p)] for p in places])

    def of(self, sets: Sequence[HeadSet], places: Places) -> Mapping[HeadSet, FloatArray]:
        """[len(places)] edited - baseline of each set; a set that stands twice is run once."""
        distinct = list(dict.fromkeys(sets))
        arms = [Arm(heads, DECIDING_EDIT) for heads in distinct]
        outcomes = self._study.measure(arms, [self.rows[int(p)] for p in places])
        self._baseline[places] = outcomes.baseline[self._outcome]
        deltas = outcomes.change(self._outcome)
        return dict(zip(distinct, deltas, strict=True))

    def means(self, sets: Sequence[HeadSet], places: Places) -> FloatArray:
        """[n_sets] effects, means over templates."""
        found = self.of(sets, places)
        deltas = np.stack([found[heads] for heads in sets], axis=1)
        return equal_weight_mean(template_means(deltas, self.labels(places)).means)

    def block(
        self,
        tests: Sequence[Mapping[str, object]],
        change: FloatArray,
        family: str,
        *,
        rows: Places | None = None,
        simultaneous: bool = False,
    ) -> EffectBlock:
        """A block of measured changes [n_prompts, n_tests] for ``effects_table``; exploratory."""
        places = np.arange(len(self.rows)) if rows is None else rows
        before = self._baseline[places]
        return EffectBlock(
            self.concept, self._study.primary, "nats", DECIDING_EDIT, "all", tests, before, before[:, None] + change,
            self.labels(places), family=f"{family}/{self._study.primary}/{DECIDING_EDIT}", simultaneous=simultaneous,
        )  # fmt: skip


def check_share(share: float) -> None:
    """Raise RequestError where ``share`` is not in (0, 1]."""
    if not 0.0 < share <= 1.0:
        raise RequestError("no share of a concept can be removed", expected="0 < share <= 1", got=f"{share:g}")


def smallest_sets(
    changes: Changes, sweep: SweepResult, both: tuple[Order, Order], share: float, within_top: int | None = None
) -> tuple[pd.DataFrame, list[EffectBlock]]:
    """The ``smallest`` table of one concept, a row a direction, and the blocks of its ``effects`` rows.

    ``both``: the concept's orders; ``share``: of the concept gap to remove; ``within_top``: search only among so many
    of the heads that lower the concept most.
    """
    gaps = concept_gaps(sweep, changes.concept)
    rows: list[tuple[object, ...]] = []
    blocks: list[EffectBlock] = []
    for order in both:
        chosen_on, mine = changes.places(order.chosen_on), changes.places(order.prompts)
        gap = np.array([gaps[i] for i in changes.ids])
        wanted = -share * float(_mean(gap[chosen_on], changes.labels(chosen_on)))
        n_templates = len(set(changes.labels(mine)))
        if wanted > -share * SMALLEST_WHOLE_NATS:
            nothing = (np.nan,) * 4
            note = "the model does not show the concept on the half that was to choose"
            rows.append((changes.concept, order.half, "", 0, share, *nothing, False, n_templates, note))
            continue
        candidates = _candidates(order, within_top)
        heads, effect = _search(changes, order, candidates, chosen_on, wanted)
        change = changes.of([heads], mine)[heads]
        means = template_means(np.stack([-change, gap[mine]], axis=1), changes.labels(mine)).means
        whole = abs(float(equal_weight_mean(means)[1])) >= SMALLEST_WHOLE_NATS
        found = jackknife_interval(means, lambda m: float(m[0] / m[1])) if whole else (np.nan,) * 3
        reached = effect <= wanted
        most, among = min(MOST_HEADS, len(candidates)), "" if within_top is None else f" among the top {within_top}"
        note = "" if reached else f"no set of at most {most} heads{among} was found that removes the share"
        chosen_share = share * effect / wanted
        asked = (changes.concept, order.half, str(heads), len(heads), share)
        rows.append((*asked, chosen_share, *found, reached, n_templates, note))
        tests = [{"heads": str(heads), "role": SMALLEST, "k": len(heads)}]
        blocks.append(changes.block(tests, change[:, None], "curves/smallest", rows=mine))
    return pd.DataFrame(rows, columns=TABLES["smallest"].columns), blocks


def _candidates(order: Order, within_top: int | None) -> list[Head]:
    if within_top is not None:
        return list(order.heads[:within_top])
    size = np.argsort(-np.abs(order.effects_nats), kind="stable")[:MOST_CANDIDATES]
    return [order.heads[int(i)] for i in np.sort(size)]


def _search(
    changes: Changes, order: Order, candidates: Sequence[Head], chosen_on: Places, wanted: float
) -> tuple[HeadSet, float]:
    chosen: list[Head] = [order.heads[0]]
    effect = float(order.effects_nats[0])
    while effect > wanted and len(chosen) < min(MOST_HEADS, len(candidates)):
        tried = [head for head in candidates if head not in chosen]
        means = changes.means([HeadSet.of([*chosen, head]) for head in tried], chosen_on)
        best = int(np.argmin(means))
        if means[best] >= effect:
            break
        chosen.append(tried[best])
        effect = float(means[best])
    while effect <= wanted and len(chosen) > 1:
        without = [HeadSet.of(other for other in chosen if other != head) for head in chosen]
        means = changes.means(without, chosen_on)
        best = int(np.argmin(means))
        if means[best] > wanted:
            break
        chosen.pop(best)
        effect = float(means[best])
    return HeadSet.of(chosen), effect


def _mean(values: FloatArray, labels: Sequence[str]) -> float:
    return float(equal_weight_mean(template_means(values[:, None], labels).means)[0])
