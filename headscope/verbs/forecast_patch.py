"""What patching would take: its own plan of targets and sources, counted pass by pass and not run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from headscope.heads import Head, HeadSet
from headscope.measure.asked import AskedPrompt
from headscope.measure.edits import PATCH_KINDS, Arm
from headscope.measure.forced import ForcedPasses
from headscope.measure.patches import Recipe
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.verbs.causal import CausalStudy
from headscope.verbs.forecast_work import Forecast, Stage, calibrate, forecast_of, stage_of
from headscope.verbs.patch_plan import DIRECTIONS, PatchPlan, Planner
from headscope.verbs.request import batch_budget

_Plans = Sequence[tuple[str, str, PatchPlan]]


def forecast_patch(
    model: HeadModel,
    profile: Profile,
    *,
    heads: HeadSet,
    each: bool,
    recipe: Recipe,
    concepts: Sequence[str] | str | None = None,
    directions: Sequence[str] = DIRECTIONS,
    source: str = "partner",
    alignment: str = "end",
    n_random: int = 0,
    text_tokens: int = 0,
    chat_template: bool | str = False,
    batch_tokens: int | None = None,
) -> Forecast:
    """Count the work of ``patch``, calibrate, and say what the prompts can show.

    Args:
        model: the model.
        profile: what is asked.
        heads: the heads to patch.
        each: each alone, not as one set.
        recipe: what is patched, where and how far.
        concepts: only these; all by default.
        directions: as in ``patch``; so are ``source`` and ``alignment``.
        source: whose output is put in.
        alignment: of slots of different length.
        n_random: random sets beside a set.
        text_tokens: new tokens of one target under one arm; 0 where no text is written.
        chat_template: wrap prompts in the tokenizer's chat template; a text names one of several.
        batch_tokens: most tokens of a batch.

    Raises:
        RequestError, ProfileError: as ``patch`` would.
    """
    budget = batch_budget(model, batch_tokens)
    study = CausalStudy(
        model, profile, concepts=concepts, kinds=(), seed=0, batch_tokens=budget,
        chat_template=chat_template, pack=True, progress=None,
    )  # fmt: skip
    planner = Planner(study, source=source, alignment=alignment, what=recipe.what, chat_template=chat_template, seed=0)
    plans = list(_planned(planner, study.names, directions))
    sets = [HeadSet((head,)) for head in heads] if each else [heads]
    stages = [stage_of("unpatched", study.passes(), [])]
    stages += _stages(study, plans, sets, budget)
    if n_random and not each:
        random = [HeadSet((Head(0, 0),))] * n_random  # sets that are not known yet: they may begin at layer 0
        stages += [
            replace(one, stage=f"random sets: {one.stage}") for one in _stages(study, plans, random, budget, True)
        ]
    templates = [(f"{name}, {direction}", study.labels_of(plan.targets)) for name, direction, plan in plans]
    targets = [patch.target.asked for _, _, plan in plans for patch in plan.patches]
    writes = not each and recipe.what == "z"
    return forecast_of(
        model,
        stages,
        calibrate(model, _passes(study, targets, budget), [Arm(one, "zero") for one in sets]),
        templates,
        n_tests=len(sets) * len(study.names),
        text_tokens=text_tokens * len(targets) * (1 + len(PATCH_KINDS)) if writes else 0,
        notes=study.warnings,
    )


def patch_stages(
    study: CausalStudy,
    concepts: Sequence[str],
    sets: Sequence[HeadSet],
    *,
    alignment: str,
    chat_template: bool | str,
    batch_tokens: int,
    bound: bool,
) -> list[Stage]:
    """The work of patching z between partners in both directions, for the concepts that can be patched."""
    planner = Planner(study, source="partner", alignment=alignment, what="z", chat_template=chat_template, seed=0)
    return _stages(study, list(_planned(planner, concepts, DIRECTIONS)), sets, batch_tokens, bound)


def _planned(
    planner: Planner, concepts: Sequence[str], directions: Sequence[str]
) -> Iterator[tuple[str, str, PatchPlan]]:
    for name in concepts:
        for direction in planner.directions(name, directions):
            yield name, direction, planner.plan(name, direction)


def _stages(
    study: CausalStudy, plans: _Plans, sets: Sequence[HeadSet], batch_tokens: int, bound: bool = False
) -> list[Stage]:
    arms = [Arm(heads, kind) for kind in PATCH_KINDS for heads in sets]
    stages: list[Stage] = []
    for name, direction, plan in plans:
        targets = [patch.target.asked for patch in plan.patches]
        stages.append(
            stage_of(f"patching: {name}, {direction}", _passes(study, targets, batch_tokens), arms, bound=bound)
        )
        # Sources run once for every batch of targets that needs them, up to the highest patched layer.
        sources = [one.asked for patch in plan.patches for kind in PATCH_KINDS for one in patch.sources[kind]]
        if any(len(given) > 1 for patch in plan.patches for given in patch.sources.values()):
            sources = list({one.id: one for one in sources}.values())
        stages.append(stage_of(f"sources: {name}, {direction}", _passes(study, sources, batch_tokens), [], bound=True))
    return stages


def _passes(study: CausalStudy, prompts: Sequence[AskedPrompt], batch_tokens: int) -> ForcedPasses:
    damage_on = frozenset(one.id for one in prompts)
    return ForcedPasses(
        study.model, prompts, study.lexicons, damage_on=damage_on, states=None, batch_tokens=batch_tokens
    )
