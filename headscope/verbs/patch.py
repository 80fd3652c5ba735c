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
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from headscope.engines.engine import Engine
from headscope.errors import RequestError
from headscope.heads import HeadSet
from headscope.measure.edits import PATCH_KINDS, Arm
from headscope.measure.forced import ForcedOutcomes, ForcedPasses
from headscope.measure.passes import Progress
from headscope.measure.patches import STUDY_NAMES, PatchStates, Recipe
from headscope.measure.sampling import Sampling, stop_ids
from headscope.measure.texts import load_sentiment
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.stats.clusters import equal_weight_mean, template_means
from headscope.stats.nulls import draw_disjoint_sets, null_row
from headscope.stats.patching import dissociation_table, patching_table
from headscope.verbs.causal import PRIMARY, CausalStudy
from headscope.verbs.generated import check_texts_fit, open_end, sampling_record
from headscope.verbs.patch_plan import DIRECTIONS, PatchPlan, Planner
from headscope.verbs.patched import Measured, forced_blocks, pairs_record, pairs_warnings, patched_values
from headscope.verbs.patched_texts import patched_texts
from headscope.verbs.request import batch_budget, chosen_concepts
from headscope.verbs.result import Result

FloatArray = npt.NDArray[np.float64]


class PatchResult(Result):
    """``tables``: patching, assay; dissociation for single heads of several concepts; nulls and texts for a set.

    ``values``: ``baseline`` (prompt, lexicon), and ``patched_<direction>_<concept>`` and ``control_patched_...``
    (edit, prompt, lexicon), where ``prompt`` is the target; NaN where a prompt was no target.
    """


def patch(
    model: HeadModel,
    profile: Profile,
    heads: str | HeadSet = "*",
    *,
    concepts: Sequence[str] | str | None = None,
    directions: Sequence[str] | str = DIRECTIONS,
    each: bool | None = None,
    what: str = "z",
    source: str = "partner",
    target: str = "from_span",
    alpha: float = 1.0,
    alignment: str = "end",
    n_random: int = 100,
    generate: bool = True,
    max_tokens: int = 30,
    temperature: float = 1.0,
    top_p: float = 0.9,
    samples: int = 1,
    greedy: bool = False,
    stop_tokens: Sequence[str] = (),
    sentiment: str = "vader",
    chat_template: bool | str = False,
    pack: bool = True,
    seed: int = 0,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> PatchResult:
    """Effect of patching heads between concept prompts and their controls.

    Args:
        model: the model.
        profile: what is asked; its concept prompts need pairs, and all of them spans.
        heads: e.g. ``"1:10,3:2"``; every head by default.
        concepts: only these; all by default.
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
        generate: also let the targets go on, where the heads are one set and z is patched.
        max_tokens: most new tokens a text.
        temperature: of sampling.
        top_p: of sampling.
        samples: texts for each target and arm.
        greedy: most probable tokens instead of sampling.
        stop_tokens: tokens that end a text beside EOS and, in a chat, the end of a turn.
        sentiment: ``vader``, or a transformers classifier's name or folder.
        chat_template: wrap prompts in the tokenizer's chat template; a text names one of several.
        pack: lay readouts of a prompt into one row where the model allows it.
        seed: of sign-flips, of the control patches' sources, of random sets and of texts.
        batch_tokens: most tokens of a batch.
        progress: told how far the work is.
        engine: runs the passes and keeps their results; this process by default, nothing kept.

    Raises:
        RequestError: an unknown direction, target, alignment or source; alpha is not finite; ``pattern`` or ``v``
            between prompts of different length.
        ProfileError: a concept without matched controls, or a pair whose slots cannot be aligned.
        ModelError: ``pattern`` or ``v`` where a gate or norm stands between attention and z.
    """
    recipe = Recipe(STUDY_NAMES.get(what, what), target, alpha)
    asked = [directions] if isinstance(directions, str) else list(directions)
    _check(asked, recipe, profile, n_random)
    chosen = model.head_set(heads) if isinstance(heads, str) else heads
    alone = heads == "*" if each is None else each
    sets = [HeadSet((head,)) for head in chosen] if alone else [chosen]
    stops = stop_ids(model, chat_template=chat_template, named=stop_tokens)
    sampling = Sampling(max_tokens, temperature, top_p, samples, greedy, seed=seed, stop_ids=stops)
    scorer = load_sentiment(sentiment) if generate and not alone and recipe.what == "z" else None
    if scorer is not None:
        classes = [*chosen_concepts(profile, concepts), profile.control]
        check_texts_fit(model, profile, classes, max_tokens, chat_template=chat_template)
    budget = batch_budget(model, batch_tokens)
    study = CausalStudy(
        model, profile, concepts=concepts, kinds=(), seed=seed, batch_tokens=budget,
        chat_template=chat_template, pack=pack, progress=progress, engine=engine,
    )  # fmt: skip
    planner = Planner(
        study, source=source, alignment=alignment, what=recipe.what, chat_template=chat_template, seed=seed
    )
    plans = [(c, d, planner.plan(c, d)) for c in study.names for d in planner.directions(c, asked)]
    unpatched = study.measure([])
    measured = [
        Measured(c, d, plan, _passes(study, c, d, plan, sets, recipe, budget, progress), study.labels_of(plan.targets))
        for c, d, plan in plans
    ]
    settings = {"what": recipe.what, "source": source, "target": target, "alpha": float(alpha)}
    tests = [_test(heads, alone=alone) for heads in sets]
    blocks = [block for one in measured for block in forced_blocks(study, one, unpatched, tests, settings)]
    tables = {"assay": study.assay(unpatched)}
    every = [unpatched, *(one.outcomes for one in measured)]
    record: dict[str, Any] = study.record(unpatched) | settings | {
        "heads": str(chosen), "each": alone, "alignment": alignment, "batch_tokens": budget,
        "chat_template": chat_template, "pairs": [pairs_record(one) for one in measured],
        "n_forward_tokens": sum(one.n_forward_tokens for one in every),
        "n_layer_tokens": sum(one.n_layer_tokens for one in every),
        "n_batches_halved": sum(one.n_halved for one in every),
    }  # fmt: skip
    record["warnings"] = [*study.warnings, *(w for one in measured for w in pairs_warnings(one))]
    if scorer is not None:
        more, tables["texts"], n_halved = patched_texts(
            study, measured, chosen, recipe, sampling, scorer, tests, settings, batch_tokens=budget, progress=progress
        )
        blocks += more
        record["n_batches_halved"] += n_halved
        record |= {**sampling_record(model, sampling), "sentiment": scorer.record()}
        record["warnings"] += open_end(model, chat_template)
    elif generate and not alone:
        record["warnings"].append(f"no texts were written: {recipe.what} is patched in fixed text only")
    tables = {"patching": patching_table(blocks, seed=seed), **tables}
    if alone and len(study.names) > 1:
        own = [one for one in blocks if one.outcome == PRIMARY and one.compared_with == "control_patch"]
        tables["dissociation"] = dissociation_table(own, seed=seed)
    if not alone and n_random:
        tables["nulls"], record["drawn"], n_halved = _nulls(study, measured, chosen, recipe, n_random, budget, progress)
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
    study: CausalStudy,
    concept: str,
    direction: str,
    plan: PatchPlan,
    sets: Sequence[HeadSet],
    recipe: Recipe,
    budget: int,
    progress: Progress | None,
) -> ForcedOutcomes:
    """Every target unpatched, then under every set's patch, then under every set's control patch."""
    layers = [head.layer for heads in sets for head in heads]
    states = PatchStates(study.model, plan.patches, recipe, layers=layers, batch_tokens=budget)
    targets = [one.target.asked for one in plan.patches]
    passes = ForcedPasses(
        study.model, targets, study.lexicons,
        damage_on=frozenset(one.id for one in targets), states=states, batch_tokens=budget,
    )  # fmt: skip
    arms = [Arm(heads, kind) for kind in PATCH_KINDS for heads in sets]
    about = {"concept": concept, "direction": direction, "lexicons": study.lexicon_ids()}
    work = study.work("patch", arms, targets, **about)
    outcomes = passes.measure(arms, progress, states.counted(work))
    return replace(outcomes, n_halved=outcomes.n_halved + states.n_halved)


def _nulls(
    study: CausalStudy,
    measured: Sequence[Measured],
    chosen: HeadSet,
    recipe: Recipe,
    n_random: int,
    budget: int,
    progress: Progress | None,
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
            random = _passes(study, one.concept, one.direction, one.plan, sets.sets, recipe, budget, progress)
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


def _mean_effects(study: CausalStudy, one: Measured, outcomes: ForcedOutcomes) -> FloatArray:
    """[n_sets] mean over templates of patch - control patch on the concept's own lexicon."""
    patched, control = one.arms(outcomes.edited[:, :, study.lexicon_column(one.concept)])
    return equal_weight_mean(template_means(patched - control, one.templates).means)
