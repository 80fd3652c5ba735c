"""What patching would take: its own plan of targets and sources, counted pass by pass and not run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headscope.heads import HeadSet
from headscope.measure.edit_kinds import PATCH_KINDS
from headscope.measure.edits import Arm
from headscope.stages import Counted, Stage
from headscope.study import Study
from headscope.verbs.effect_rows import LOWEST_SET
from headscope.verbs.forecast import Forecast, calibrate, forecast_of
from headscope.verbs.patch import PatchRequest
from headscope.verbs.patch_pairs import DIRECTIONS, PatchPlan, Planner


def forecast_patch(study: Study, heads: HeadSet, request: PatchRequest, *, text_tokens: int = 0) -> Forecast:
    """Count the work of ``patch``, calibrate, and say what the prompts can show.

    ``text_tokens``: new tokens of one target under one arm; 0 where no text is written.

    Raises:
        RequestError, ProfileError: as ``patch`` would.
    """
    recipe, each = request.recipe, request.alone(heads)
    planner = Planner(study, source=request.source, alignment=request.alignment, what=recipe.what)
    plans = planner.plans(request.asked_directions)
    sets = [HeadSet((head,)) for head in heads] if each else [heads]
    counted = [study.stage("unpatched", []).counted(), *_counted(study, plans, sets)]
    if request.n_random and not each:
        random = _counted(study, plans, [LOWEST_SET] * request.n_random, bound=True)
        counted += [replace(one, stage=f"random sets: {one.stage}") for one in random]
    targets = [patch.target.layout for plan in plans for patch in plan.patches]
    writes = text_tokens > 0 and not each and recipe.what == "z"
    zero = [Arm(heads, "zero") for heads in sets]
    return forecast_of(
        study,
        counted,
        calibrate(study.stage("patch", zero), texts=writes),
        n_tests=len(sets) * len(study.names),
        templates=[(f"{plan.concept}, {plan.direction}", study.labels_of(plan.targets)) for plan in plans],
        text_tokens=text_tokens * len(targets) * (1 + len(PATCH_KINDS)) if writes else 0,
    )


def patch_stages(study: Study, sets: Sequence[HeadSet], *, alignment: str, bound: bool) -> list[Counted]:
    """The work of patching z between partners in both directions."""
    planner = Planner(study, source="partner", alignment=alignment, what="z")
    return _counted(study, planner.plans(DIRECTIONS), sets, bound=bound)


def _counted(
    study: Study, plans: Sequence[PatchPlan], sets: Sequence[HeadSet], *, bound: bool = False
) -> list[Counted]:
    stages: list[Counted] = []
    for plan in plans:
        where = f"{plan.concept}, {plan.direction}"
        stages.append(replace(plan.stage(study, f"patching: {where}", sets), is_bound=bound).counted())
        # Sources run once for every batch of targets that needs them, up to the highest patched layer.
        sources = [one.layout for patch in plan.patches for kind in PATCH_KINDS for one in patch.sources[kind]]
        if any(len(given) > 1 for patch in plan.patches for given in patch.sources.values()):
            sources = list({one.id: one for one in sources}.values())
        stages.append(Stage(f"sources: {where}", study, tuple(sources), (), is_bound=True, damage_on="all").counted())
    return stages
