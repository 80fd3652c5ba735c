"""What do heads bring, and what do they take? Their output on one prompt is put into another.

1. Sufficiency: a concept prompt's z goes into its matched control; does the concept come? Necessity: the control's z
   goes into the concept prompt; does the concept go? Single heads, every one in turn, or a set together.
2. The null is the control patch, a source of the target's own class and another template: the effect is patch - control
   patch, paired on the target, so what any foreign z does to a prompt is not taken for the concept. The share recovered
   is the mean effect over the mean gap between the two prompts without any patch.
3. Sets are also placed among random sets of their size, patched the same way, and every target goes on unpatched,
   patched and control-patched (``patched_texts``).
4. Where single heads of several concepts were patched, each concept is patched through the others' heads
   (``dissociation``).

Every row is exploratory: the confirmatory family is the sweep's. Sources: Zhang & Nanda 2023 (arXiv:2309.16042);
Heimersheim & Nanda 2024 (arXiv:2404.15255); Wang et al. 2022 (arXiv:2211.00593).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from headscope.errors import RequestError
from headscope.heads import HeadSet
from headscope.measure.edits import PATCH_KINDS, Arm
from headscope.measure.forced import ForcedOutcomes, ForcedPasses
from headscope.measure.patching import STUDY_NAMES, PatchStates, Recipe
from headscope.measure.texts import load_sentiment
from headscope.profiles.types import Profile
from headscope.settings import Writing
from headscope.stats.clusters import equal_weight_mean, template_means
from headscope.stats.nulls import draw_disjoint_sets, null_row
from headscope.stats.patching import dissociation_table, patching_table
from headscope.study import Study
from headscope.verbs.continuations import check_texts_fit, open_end, sampling_of, writing_facts
from headscope.verbs.effect_rows import PRIMARY, assay_of, facts_of
from headscope.verbs.patch_pairs import DIRECTIONS, PatchPlan, Planner
from headscope.verbs.patched import Measured, forced_blocks, pairs_record, pairs_warnings, patched_values
from headscope.verbs.patched_texts import patched_texts
from headscope.verbs.result import Result

FloatArray = npt.NDArray[np.float64]


class PatchResult(Result):
    """``tables``: patching, assay; dissociation for single heads of several concepts; nulls and texts for a set.

    ``values``: ``baseline`` (prompt, lexicon), and ``patched_<direction>_<concept>`` and ``control_patched_...``
    (edit, prompt, lexicon), where ``prompt`` is the target; NaN where a prompt was no target.
    """


@dataclass(frozen=True)
class PatchRequest:
    """What is patched into what, where, and how far.

    Attributes:
        directions: ``sufficiency`` (concept into control), ``necessity`` (control into concept prompt), or both.
        each: patch each head alone; by default so for ``"*"``, while any other spec is one set, patched together.
        what: ``z``, ``pattern`` (attention rows of the source, values of the target) or ``v`` (values of the source,
            attention of the target); the Phase 6 study's names ``result``, ``pattern_v``, ``v_only`` mean these.
        source: ``partner``, the matched prompt; ``mean``, the mean over all prompts of the partner's class from other
            templates than the target's and over the places that ``target`` names; or a prompt's id.
        target: which tokens are patched: ``from_span`` (the span and everything after it), ``span``, ``last`` (the
            last prompt token) or ``generated`` (what follows the prompt: a readout, or the words that are written).
        alpha: 0 changes nothing, 1 puts the source in the target's place; between, a straight line.
        alignment: ``end``: slots and suffixes of different length are matched from their last token; ``exact``: pairs
            that do not match token by token are left out.
        n_random: random sets beside a set that is patched together; 0 for none.
    """

    directions: Sequence[str] | str = DIRECTIONS
    each: bool | None = None
    what: str = "z"
    source: str = "partner"
    target: str = "from_span"
    alpha: float = 1.0
    alignment: str = "end"
    n_random: int = 100

    @property
    def recipe(self) -> Recipe:
        """What is patched, where and how far."""
        return Recipe(STUDY_NAMES.get(self.what, self.what), self.target, self.alpha)

    @property
    def asked_directions(self) -> list[str]:
        """The directions as a list."""
        return [self.directions] if isinstance(self.directions, str) else list(self.directions)

    def alone(self, heads: str | HeadSet) -> bool:
        """Whether each of the heads is patched alone."""
        return heads == "*" if self.each is None else self.each


def patch(
    study: Study, heads: str | HeadSet = "*", request: PatchRequest | None = None, *, writing: Writing | None = None
) -> PatchResult:
    """Effect of patching heads between concept prompts and their controls.

    Args:
        study: what is asked of which model; concept prompts need pairs, and all prompts spans.
        heads: e.g. ``"1:10,3:2"``; every head by default.
        request: what is patched into what.
        writing: also let the targets go on, where the heads are one set and z is patched; None: fixed text only.

    Raises:
        RequestError: an unknown direction, target, alignment or source; alpha is not finite; ``pattern`` or ``v``
            between prompts of different length.
        ProfileError: a concept without matched controls, or a pair whose slots cannot be aligned.
        ModelError: ``pattern`` or ``v`` where a gate or norm stands between attention and z.
    """
    request = request or PatchRequest()
    recipe, alone = request.recipe, request.alone(heads)
    _check(request.asked_directions, recipe, study.profile, request.n_random)
    study = study.only()
    chosen = study.model.head_set(heads) if isinstance(heads, str) else heads
    sets = [HeadSet((head,)) for head in chosen] if alone else [chosen]
    scorer = None
    if writing is not None:
        sampling_of(study, writing)
        if not alone and recipe.what == "z":
            scorer = load_sentiment(writing.sentiment)
            check_texts_fit(study, writing.max_tokens, controls=True)
    planner = Planner(study, source=request.source, alignment=request.alignment, what=recipe.what)
    plans = [(c, d, planner.plan(c, d)) for c in study.names for d in planner.directions(c, request.asked_directions)]
    unpatched = study.measure([])
    measured = [
        Measured(c, d, plan, _passes(study, c, d, plan, sets, recipe), study.labels_of(plan.targets))
        for c, d, plan in plans
    ]
    settings = {
        "what": recipe.what, "source": request.source, "target": request.target, "alpha": float(request.alpha)
    }  # fmt: skip
    tests = [_test(heads, alone=alone) for heads in sets]
    blocks = [block for one in measured for block in forced_blocks(study, one, unpatched, tests, settings)]
    tables = {"assay": assay_of(study, unpatched)}
    every = [unpatched, *(one.outcomes for one in measured)]
    record: dict[str, Any] = facts_of(study, unpatched) | settings | {
        "heads": str(chosen), "each": alone, "alignment": request.alignment,
        "pairs": [pairs_record(one) for one in measured],
        "n_forward_tokens": sum(one.n_forward_tokens for one in every),
        "n_layer_tokens": sum(one.n_layer_tokens for one in every),
        "n_batches_halved": sum(one.n_halved for one in every),
    }  # fmt: skip
    record["warnings"] = [*study.warnings, *(w for one in measured for w in pairs_warnings(one))]
    if scorer is not None and writing is not None:
        sampling = sampling_of(study, writing)
        more, tables["texts"], n_halved = patched_texts(
            study, measured, chosen, recipe, sampling, scorer, tests, settings
        )
        blocks += more
        record["n_batches_halved"] += n_halved
        record |= writing_facts(study, sampling, scorer)
        record["warnings"] += open_end(study)
    elif writing is not None and not alone:
        record["warnings"].append(f"no texts were written: {recipe.what} is patched in fixed text only")
    tables = {"patching": patching_table(blocks, seed=study.seed), **tables}
    if alone and len(study.names) > 1:
        own = [one for one in blocks if one.outcome == PRIMARY and one.compared_with == "control_patch"]
        tables["dissociation"] = dissociation_table(own, seed=study.seed)
    if not alone and request.n_random:
        tables["nulls"], record["drawn"], n_halved = _nulls(study, measured, chosen, recipe, request.n_random)
        record["n_batches_halved"] += n_halved
    return PatchResult(tables, patched_values(study, measured, sets, unpatched), record, "patching")


def _check(directions: Sequence[str], recipe: Recipe, profile: Profile, n_random: int) -> None:
    for direction in directions:
        if direction not in DIRECTIONS:
            raise RequestError(f'direction "{direction}" does not exist', expected=" or ".join(DIRECTIONS))
    if not directions or len(set(directions)) < len(directions):
        raise RequestError("directions must be named once each", expected=" or ".join(DIRECTIONS))
    if n_random < 0:
        raise RequestError("n_random cannot be negative", expected="0 or more", got=str(n_random))
    if recipe.where == "generated" and not profile.readouts:
        raise RequestError(
            f'profile "{profile.name}" has no readouts, so fixed text has no token after the prompt to patch',
            expected="readouts in profile.yaml, or another target",
        )


def _test(heads: HeadSet, *, alone: bool) -> dict[str, object]:
    head = heads.heads[0]
    place = {"layer": head.layer, "head": head.head} if len(heads) == 1 else {}
    return {**place, "heads": str(heads), "role": "single" if alone else "requested", "k": len(heads)}


def _passes(
    study: Study,
    concept: str,
    direction: str,
    plan: PatchPlan,
    sets: Sequence[HeadSet],
    recipe: Recipe,
) -> ForcedOutcomes:
    """Every target unpatched, then under every set's patch, then under every set's control patch."""
    layers = [head.layer for heads in sets for head in heads]
    states = PatchStates(study.model, plan.patches, recipe, layers=layers, batch_tokens=study.batch_tokens)
    targets = [one.target.layout for one in plan.patches]
    passes = ForcedPasses(
        study.model, targets, study.lexicons,
        damage_on=frozenset(one.id for one in targets), states=states, batch_tokens=study.batch_tokens,
    )  # fmt: skip
    arms = [Arm(heads, kind) for kind in PATCH_KINDS for heads in sets]
    about = {"concept": concept, "direction": direction, "lexicons": study.lexicon_ids()}
    work = study.work("patch", arms, targets, **about)
    outcomes = passes.measure(arms, study.progress, states.counted(work))
    return replace(outcomes, n_halved=outcomes.n_halved + states.n_halved)


def _nulls(
    study: Study,
    measured: Sequence[Measured],
    chosen: HeadSet,
    recipe: Recipe,
    n_random: int,
) -> tuple[pd.DataFrame, list[dict[str, Any]], int]:
    """The set's effect among random sets patched between the same prompts, outcome ``<direction>_nats``.

    Returns:
        The ``nulls`` table, what was drawn, and how many batches had to be halved.
    """
    rows, n_halved = list[pd.DataFrame](), 0
    drawn: list[dict[str, Any]] = []
    heads_per_layer = study.model.heads_per_layer
    for one in measured:
        sets = draw_disjoint_sets(heads_per_layer, chosen, n_sets=n_random, seed=study.seed, name=one.concept)
        effects = np.zeros(0)
        if sets.sets:
            random = _passes(study, one.concept, one.direction, one.plan, sets.sets, recipe)
            effects, n_halved = _mean_effects(study, one, random), n_halved + random.n_halved
        outcome = f"{one.direction}_nats"
        estimate = float(_mean_effects(study, one, one.outcomes)[0])
        rows.append(null_row(one.concept, chosen, outcome, estimate, effects, sets))
        drawn.append(
            {
                "concept": one.concept,
                "outcome": outcome,
                "random_sets": [str(heads) for heads in sets.sets],
                "random_effects_nats": [float(effect) for effect in effects],
            }
        )
    return pd.concat(rows, ignore_index=True), drawn, n_halved


def _mean_effects(study: Study, one: Measured, outcomes: ForcedOutcomes) -> FloatArray:
    """[n_sets] mean over templates of patch - control patch on the concept's own lexicon."""
    patched, control = one.arms(outcomes.edited[:, :, study.lexicon_column(one.concept)])
    return equal_weight_mean(template_means(patched - control, one.templates).means)
