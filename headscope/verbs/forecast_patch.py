"""What patching would take: its own plan of targets and sources, counted pass by pass and not run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from headscope.heads import HeadSet
from headscope.measure.edits import PATCH_KINDS, Arm
from headscope.measure.forced import ForcedPasses
from headscope.measure.layout import PromptLayout
from headscope.study import Counted, Study
from headscope.verbs.effect_rows import LOWEST_SET
from headscope.verbs.forecast import Forecast, calibrate, forecast_of
from headscope.verbs.patch import PatchRequest
from headscope.verbs.patch_pairs import DIRECTIONS, PatchPlan, Planner

_Plans = Sequence[tuple[str, str, PatchPlan]]


def forecast_patch(study: Study, heads: HeadSet, request: PatchRequest, *, text_tokens: int = 0) -> Forecast:
    """Count the work of ``patch``, calibrate, and say what the prompts can show.

    Args:
        study: what is asked of which model.
        heads: the heads to patch.
        request: what is patched into what.
        text_tokens: new tokens of one target under one arm; 0 where no text is written.

    Raises:
        RequestError, ProfileError: as ``patch`` would.
    """
    recipe, each = request.recipe, request.alone(heads)
    planner = Planner(study, source=request.source, alignment=request.alignment, what=recipe.what)
    plans = list(_planned(planner, study.names, request.asked_directions))
    sets = [HeadSet((head,)) for head in heads] if each else [heads]
    counted = [study.stage("unpatched", []).counted(), *_counted(study, plans, sets)]
    if request.n_random and not each:
        random = _counted(study, plans, [LOWEST_SET] * request.n_random, bound=True)
        counted += [replace(one, stage=f"random sets: {one.stage}") for one in random]
    targets = [patch.target.asked for _, _, plan in plans for patch in plan.patches]
    writes = not each and recipe.what == "z"
    zero = [Arm(heads, "zero") for heads in sets]
    return forecast_of(
        study,
        counted,
        calibrate(study.stage("patch", zero)),
        n_tests=len(sets) * len(study.names),
        templates=[(f"{name}, {direction}", study.labels_of(plan.targets)) for name, direction, plan in plans],
        text_tokens=text_tokens * len(targets) * (1 + len(PATCH_KINDS)) if writes else 0,
    )


def patch_stages(study: Study, sets: Sequence[HeadSet], *, alignment: str, bound: bool) -> list[Counted]:
    """The work of patching z between partners in both directions."""
    planner = Planner(study, source="partner", alignment=alignment, what="z")
    return _counted(study, list(_planned(planner, study.names, DIRECTIONS)), sets, bound=bound)


def _planned(
    planner: Planner, concepts: Sequence[str], directions: Sequence[str]
) -> Iterator[tuple[str, str, PatchPlan]]:
    for name in concepts:
        for direction in planner.directions(name, directions):
            yield name, direction, planner.plan(name, direction)


def _counted(study: Study, plans: _Plans, sets: Sequence[HeadSet], *, bound: bool = False) -> list[Counted]:
    arms = [Arm(heads, kind) for kind in PATCH_KINDS for heads in sets]
    stages: list[Counted] = []
    for name, direction, plan in plans:
        targets = [patch.target.asked for patch in plan.patches]
        stages.append(_work(study, f"patching: {name}, {direction}", targets, arms, bound=bound))
        # Sources run once for every batch of targets that needs them, up to the highest patched layer.
        sources = [one.asked for patch in plan.patches for kind in PATCH_KINDS for one in patch.sources[kind]]
        if any(len(given) > 1 for patch in plan.patches for given in patch.sources.values()):
            sources = list({one.id: one for one in sources}.values())
        stages.append(_work(study, f"sources: {name}, {direction}", sources, [], bound=True))
    return stages


def _work(study: Study, name: str, layouts: Sequence[PromptLayout], arms: Sequence[Arm], *, bound: bool) -> Counted:
    damage_on = frozenset(layout.id for layout in layouts)
    passes = ForcedPasses(
        study.model, layouts, study.lexicons, damage_on=damage_on, states=None, batch_tokens=study.batch_tokens
    )
    return Counted(name, *passes.work_of(passes.plan(arms)), bound)
