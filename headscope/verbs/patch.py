"""What do heads bring, and what do they take? Their output on one prompt is put into another.

1. Sufficiency: a concept prompt's z goes into its matched control; does the concept come? Necessity: the control's z
   goes into the concept prompt; does the concept go? Single heads, every one in turn, or a set together.
2. The null is the control patch, a source of the target's own class and another template: the effect is patch - control
   patch, paired on the target, so what any foreign z does to a prompt is not taken for the concept. The share recovered
   is the mean effect over the mean gap between the two prompts without any patch.
3. Sets are also placed among random sets of their size, patched the same way, and every target goes on unpatched,
   patched and control-patched. While a text is patched its source is fed the text's own new words, so that z is taken
   from the same words after the source prompt (``measure/patching_text.py``).
4. Where single heads of several concepts were patched, each concept is patched through the others' heads
   (``dissociation``).

Every row is exploratory: the confirmatory family is the sweep's. Sources: Zhang & Nanda 2023 (arXiv:2309.16042);
Heimersheim & Nanda 2024 (arXiv:2404.15255); Wang et al. 2022 (arXiv:2211.00593).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from headscope.errors import RequestError
from headscope.heads import HeadSet
from headscope.measure.alignment import STUDY_NAMES, Recipe
from headscope.measure.edits import Arm
from headscope.measure.outcomes.sentiment import SentimentScorer
from headscope.measure.sampling import Sampling
from headscope.profiles.types import Profile
from headscope.settings import Patching, Writing
from headscope.stats import EffectBlock
from headscope.stats.nulls import draw_disjoint_sets, null_row
from headscope.stats.patching import dissociation_table
from headscope.stats.tables import patching_table
from headscope.study import Study
from headscope.terms import PRIMARIES, REQUESTED, SINGLE
from headscope.verbs.continuations import continued, open_end, sampling_of, scorer_of, texts_table, writing_facts
from headscope.verbs.effect_rows import Edited, assay_tables, facts_of
from headscope.verbs.patch_pairs import DIRECTIONS, Planner
from headscope.verbs.patch_rows import Patched, patched_arrays
from headscope.verbs.result import Result


class PatchResult(Result):
    """``tables``: patching, assay; dissociation for single heads of several concepts; nulls and texts for a set.

    ``values``: ``baseline`` (prompt, lexicon), and ``patched_<direction>_<concept>`` and ``control_patched_...``
    (edit, prompt, lexicon), where ``prompt`` is the target; NaN where a prompt was no target.
    """


@dataclass(frozen=True, kw_only=True)
class PatchRequest(Patching):
    """What is patched into what, where, and how far."""

    @property
    def recipe(self) -> Recipe:
        """What is patched, where and how far."""
        return Recipe(STUDY_NAMES.get(self.what, self.what), self.target, self.alpha)

    @property
    def asked_directions(self) -> list[str]:
        """The directions as a list."""
        if self.directions == "both":
            return list(DIRECTIONS)
        return [self.directions] if isinstance(self.directions, str) else list(self.directions)

    @property
    def columns(self) -> dict[str, object]:
        """What is asked, as it stands beside every row."""
        return {"what": self.recipe.what, "source": self.source, "target": self.target, "alpha": float(self.alpha)}

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
        scorer = scorer_of(study, writing, controls=True) if not alone and recipe.what == "z" else None
    planner = Planner(study, source=request.source, alignment=request.alignment, what=recipe.what)
    plans, settings = planner.plans(request.asked_directions), request.columns
    tests = [Edited(Arm(heads, "patch"), SINGLE if alone else REQUESTED).test() for heads in sets]
    unpatched = study.measure([])
    measured = [Patched(study, plan, plan.stage(study, "patch", sets, recipe).run(), tests, settings) for plan in plans]
    blocks = [block for one in measured for block in one.fixed_text(unpatched)]
    tables = assay_tables(study, unpatched)
    every = [unpatched, *(one.outcomes for one in measured)]
    record: dict[str, Any] = facts_of(study, unpatched) | settings | {
        "heads": str(chosen), "each": alone, "alignment": request.alignment,
        "pairs": [plan.record() for plan in plans],
        "n_forward_tokens": sum(one.n_forward_tokens for one in every),
        "n_layer_tokens": sum(one.n_layer_tokens for one in every),
    }  # fmt: skip
    record["warnings"] = [*study.warnings, *(warning for plan in plans for warning in plan.warnings())]
    if scorer is not None and writing is not None:
        sampling = sampling_of(study, writing)
        more, tables["texts"] = _texts(measured, chosen, recipe, sampling, scorer)
        blocks += more
        record |= writing_facts(study, sampling, scorer)
        record["warnings"] += open_end(study)
    elif writing is not None and not alone:
        record["warnings"].append(f"no texts were written: {recipe.what} is patched in fixed text only")
    tables = {"patching": patching_table(blocks, seed=study.seed), **tables}
    if alone and len(study.names) > 1:
        own = [one for one in blocks if one.outcome in PRIMARIES and one.keys["compared_with"] == "control_patch"]
        tables["dissociation"] = dissociation_table(own, seed=study.seed)
    if not alone and request.n_random:
        tables["nulls"], record["drawn"] = _nulls(measured, chosen, recipe, request.n_random)
    record["n_batches_halved"] = study.n_halved
    return PatchResult(tables, patched_arrays(study, measured, sets, unpatched), record, "patching")


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


def _texts(
    measured: Sequence[Patched], heads: HeadSet, recipe: Recipe, sampling: Sampling, scorer: SentimentScorer
) -> tuple[list[EffectBlock], pd.DataFrame]:
    """Every target goes on unpatched, patched and control-patched, from the same random numbers."""
    blocks, tables = list[EffectBlock](), list[pd.DataFrame]()
    for one in measured:
        study, plan = one.study, one.plan
        stage = plan.stage(study, "patched_texts", [heads], recipe)
        written = continued(stage, plan.targets, sampling, scorer)
        study.n_halved += written.n_halved
        blocks += one.texts(written)
        about: dict[str, Any] = {"concept": plan.concept, "direction": plan.direction, "source_id": plan.source_id}
        tables.append(texts_table(study, stage.arms, written, **about))
    return blocks, pd.concat(tables, ignore_index=True)


def _nulls(
    measured: Sequence[Patched], chosen: HeadSet, recipe: Recipe, n_random: int
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The set's effect among random sets patched between the same prompts; what was drawn."""
    rows, drawn = list[pd.DataFrame](), list[dict[str, Any]]()
    for one in measured:
        study, concept = one.study, one.plan.concept
        sets = draw_disjoint_sets(study.model.heads_per_layer, chosen, n_sets=n_random, seed=study.seed, name=concept)
        effects = np.zeros(0)
        if sets.sets:
            effects = one.mean_effects(one.plan.stage(study, "patch", sets.sets, recipe).run())
        outcome = f"{one.plan.direction}_nats"
        estimate = float(one.mean_effects(one.outcomes)[0])
        rows.append(null_row(concept, chosen, outcome, estimate, effects, sets))
        drawn.append(
            {
                "concept": concept,
                "outcome": outcome,
                "random_sets": [str(heads) for heads in sets.sets],
                "random_effects_nats": [float(effect) for effect in effects],
            }
        )
    return pd.concat(rows, ignore_index=True), drawn
