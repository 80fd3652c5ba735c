"""A sweep that measures what a verdict reads, and no more: the deciding edit first, the rest where it can matter.

1. ``decide``: the deciding edit of every head on the concepts' prompts, with the assay. That alone says which heads
   are causal, which have no effect that matters, and which are undecided.
2. ``complete``: the other edits, and damage to control text, of the heads whose simultaneous interval does not lie
   inside the smallest effect that matters, for some concept. Of any other head the verdict is "no effect" (or that it
   only attends), whatever these would say: they can only take a verdict away. So the families of the deciding edit are
   what they are in a whole sweep, and what was not measured has no row and is NaN in the arrays.

Both together are ``sweep`` where every head is named, to rounding: rows of prompts share batches in other ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from headscope.heads import HeadSet, every_head
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedOutcomes
from headscope.stages import Stage
from headscope.stats import Criteria, effects_table
from headscope.study import Study
from headscope.terms import PRIMARIES, SINGLE
from headscope.verbs.effect_rows import (
    DECIDING_EDIT,
    Edited,
    FloatArray,
    arrays_of,
    assay_tables,
    edited_sets,
    effect_blocks,
    facts_of,
)
from headscope.verbs.head_order import head_of
from headscope.verbs.sweep import SweepResult

_Part = tuple[Sequence[int], list[int], ForcedOutcomes]  # edits, prompts, and what was measured of them


@dataclass(frozen=True)
class Decided:
    """What the deciding edit says of each head.

    Attributes:
        study: whose prompts.
        edited: the heads, each alone under the deciding edit.
        outcomes: on all prompts; under the edit NaN on control prompts.
        result: the sweep so far.
        is_whole: every head of the model was swept.
    """

    study: Study
    edited: tuple[Edited, ...]
    outcomes: ForcedOutcomes
    result: SweepResult
    is_whole: bool

    def named(self, criteria: Criteria) -> HeadSet | None:
        """The heads whose simultaneous interval does not lie inside the smallest effect that matters; None for none.

        Where there is no interval, with few templates, every head is among them.
        """
        assay = self.result.tables["assay"].set_index("concept")["estimate"]
        rows = self.result.table[self.result.table["outcome"].isin(PRIMARIES)]
        limit = np.array([criteria.threshold_nats(float(assay[name])) for name in rows["concept"]])
        inside = (rows["sim_low"].to_numpy() > -limit) & (rows["sim_high"].to_numpy() < limit)
        heads = {head_of(str(spec)) for spec in rows["heads"].to_numpy()[~inside]}
        return HeadSet.of(heads) if heads else None


def decide(study: Study, *, heads: str = "*") -> Decided:
    """The deciding edit of each head on the concepts' prompts; control prompts run unedited, for the assay."""
    study = study.only()
    chosen = study.model.head_set(heads)
    edited = tuple(edited_sets([HeadSet((head,)) for head in chosen], [DECIDING_EDIT], SINGLE))
    of_concepts, controls = _rows(study)
    unedited, stage = deciding_stages(study, chosen)
    swept = stage.run()  # first: a part of a run ends with its pieces of the sweep
    outcomes = _joined(study, len(edited), [((), controls, unedited.run()), _all(edited, of_concepts, swept)])
    is_whole = chosen.heads == every_head(study.model.heads_per_layer)
    blocks = effect_blocks(
        study, edited, outcomes, family="sweep", confirmatory=DECIDING_EDIT if is_whole else None, damage=()
    )
    tables = {"effects": effects_table(blocks, seed=study.seed), **assay_tables(study, outcomes)}
    record = facts_of(study, outcomes) | {"edits": [DECIDING_EDIT], "heads": str(chosen) if not is_whole else "*"}
    result = SweepResult(tables, arrays_of(study, edited, outcomes), record, "effects")
    return Decided(study, edited, outcomes, result, is_whole)


def complete(decided: Decided, edits: Sequence[str], criteria: Criteria) -> SweepResult:
    """The sweep with the other ``edits`` and damage of the heads that ``criteria`` leave open."""
    study, named = decided.study, decided.named(criteria)
    n_heads = len(decided.edited)
    if named is None:
        return _told(decided.result, edits, n_heads)
    mine = [i for i, edit in enumerate(decided.edited) if edit.arm.heads.heads[0] in named]
    others = edited_sets(
        [HeadSet((head,)) for head in named], [kind for kind in edits if kind != DECIDING_EDIT], SINGLE
    )
    edited = [*decided.edited, *others]
    of_concepts, controls = _rows(study)
    damage, rest = completing_stages(study, named, edits)
    parts: list[_Part] = [
        _all(decided.edited, [*of_concepts, *controls], decided.outcomes),
        (mine, controls, damage.run()),
    ]
    if rest is not None:
        parts.append((range(n_heads, len(edited)), list(range(len(study.layouts))), rest.run()))
    outcomes = _joined(study, len(edited), parts)
    blocks = effect_blocks(
        study, edited, outcomes, family="sweep", confirmatory=DECIDING_EDIT if decided.is_whole else None,
        damage=[*mine, *range(n_heads, len(edited))],
    )  # fmt: skip
    tables = {**decided.result.tables, "effects": effects_table(blocks, seed=study.seed)}
    record = {**decided.result.record, **facts_of(study, outcomes)}
    result = SweepResult(tables, arrays_of(study, edited, outcomes), record, "effects")
    return _told(result, edits, n_heads - len(mine))


def deciding_stages(study: Study, heads: HeadSet, *, bound: bool = False) -> tuple[Stage, Stage]:
    """The work of ``decide``: controls unedited, and every head on the concepts' prompts."""
    of_concepts, controls = _rows(study)
    arms = [Arm(HeadSet((head,)), DECIDING_EDIT) for head in heads]
    return study.stage("controls", [], controls), study.stage("sweep", arms, of_concepts, bound=bound)


def completing_stages(
    study: Study, heads: HeadSet, edits: Sequence[str], *, bound: bool = False
) -> tuple[Stage, Stage | None]:
    """The work of ``complete``: damage under the deciding edit, and the other edits; None where there are none."""
    _, controls = _rows(study)
    sets = [HeadSet((head,)) for head in heads]
    damage = study.stage("damage", [Arm(one, DECIDING_EDIT) for one in sets], controls, bound=bound)
    arms = [Arm(one, kind) for kind in edits if kind != DECIDING_EDIT for one in sets]
    return damage, study.stage("other edits", arms, bound=bound) if arms else None


def _rows(study: Study) -> tuple[list[int], list[int]]:
    """Indices among the layouts of the concepts' prompts, and of the controls."""
    control = study.profile.control
    is_control = [layout.concept == control for layout in study.layouts]
    return [i for i, one in enumerate(is_control) if not one], [i for i, one in enumerate(is_control) if one]


def _all(edited: Sequence[Edited], prompts: list[int], outcomes: ForcedOutcomes) -> _Part:
    return range(len(edited)), prompts, outcomes


def _joined(study: Study, n_edits: int, parts: Sequence[_Part]) -> ForcedOutcomes:
    """One set of outcomes of all that was measured; NaN elsewhere.

    The first part that has a prompt gives its baseline; in every part edited - baseline stays what it was there, since
    both ran in the same batch.
    """
    n_prompts = len(study.layouts)
    baseline: dict[str, FloatArray] = {}
    edited: dict[str, FloatArray] = {}
    for edits, prompts, outcomes in parts:
        for name, own in outcomes.baseline.items():
            common = baseline.setdefault(name, np.full(n_prompts, np.nan))
            common[prompts] = np.where(np.isnan(common[prompts]), own, common[prompts])
            known = edited.setdefault(name, np.full((n_edits, n_prompts), np.nan))
            known[np.ix_(list(edits), list(prompts))] = outcomes.edited[name] + (common[prompts] - own)
    n_tokens, n_layer_tokens, n_halved = (
        sum(getattr(one, name) for _, _, one in parts) for name in ("n_forward_tokens", "n_layer_tokens", "n_halved")
    )
    return ForcedOutcomes(baseline, edited, n_tokens, n_layer_tokens, n_halved)


def _told(result: SweepResult, edits: Sequence[str], n_not_measured: int) -> SweepResult:
    record: Mapping[str, object] = {**result.record, "edits": list(edits), "not_measured": n_not_measured}
    return replace(result, record=record)
