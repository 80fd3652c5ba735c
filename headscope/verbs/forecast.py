"""Before a run: how many passes, how long, how much memory, and the smallest effect these prompts can show.

1. Prompts are laid out as the run would lay them out; the passes of a sweep are counted from its own plan, the sets of
   later stages, which depend on results, at their largest number.
2. Time and memory: ``forecast_work``.
3. Reach: smallest p, and smallest effect in d (standard deviations over templates) found with 80 % power at the level
   left to one test of the family (``stats.power``).
"""

from __future__ import annotations

from collections.abc import Sequence

from headscope.heads import Head, HeadSet
from headscope.measure.edits import Arm
from headscope.measure.gradients import gradient_batch_tokens
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.stats import curve_sizes
from headscope.tokens import plan_batches
from headscope.verbs.attribute import DEFAULT_STEPS
from headscope.verbs.causal import CausalStudy
from headscope.verbs.forecast_patch import patch_stages
from headscope.verbs.forecast_work import Forecast, Stage, calibrate, forecast_of, stage_of
from headscope.verbs.patch_plan import patchable_concepts
from headscope.verbs.request import batch_budget
from headscope.verbs.smallest import MOST_CANDIDATES, MOST_HEADS

_BAND = 20
_SETS_A_CONCEPT = 2  # one from each half of the templates


def forecast(
    model: HeadModel,
    profile: Profile,
    *,
    heads: HeadSet,
    edits: Sequence[str],
    concepts: Sequence[str] | str | None = None,
    together: bool = False,
    joint: bool = False,
    n_random: int = 0,
    sets: bool = False,
    patching: bool = False,
    negative_control: bool = False,
    text_tokens: int = 0,
    chat_template: bool | str = False,
    batch_tokens: int | None = None,
    fast_scores: bool = False,
    at_most: bool = False,
    calibrated: Forecast | None = None,
) -> Forecast:
    """Count the work of a sweep (of an ablation, of a whole run), calibrate, and say what the prompts can show.

    Args:
        model: the model.
        profile: what is asked.
        heads: the heads to edit.
        edits: kinds of edit.
        concepts: only these; all by default.
        together: the heads are one set.
        joint: also top sets, as in ``run``.
        n_random: random sets beside each top set.
        sets: also curves, leave-one-in and the smallest set.
        patching: also every head patched alone, in both directions.
        negative_control: also the sweep with random words in place of the lexicons.
        text_tokens: new tokens of one prompt under one arm; 0 where no text is written.
        chat_template: wrap prompts in the tokenizer's chat template; a text names one of several.
        batch_tokens: most tokens of a batch.
        fast_scores: also the fast scores of every head, as in ``run``.
        at_most: the heads stand for others that are not known yet and cost no more.
        calibrated: a forecast of the same model and profile whose calibration is taken over.
    """
    budget = batch_budget(model, batch_tokens)
    study = CausalStudy(
        model, profile, concepts=concepts, kinds=["zero"], seed=0, batch_tokens=budget,
        chat_template=chat_template, pack=True, progress=None,
    )  # fmt: skip
    alone = [heads] if together else [HeadSet((head,)) for head in heads]
    arms = [Arm(one, "zero") for one in alone] * len(edits)
    whole = study.passes()
    stages = [_fast_scores(study, budget)] if fast_scores else []
    stages.append(stage_of("ablation" if together else "sweep", whole, arms, bound=at_most))
    if negative_control:
        stages.append(stage_of("negative control", whole, arms, bound=at_most))
    low = Arm(HeadSet((Head(0, 0),)), "zero")  # stands for a set that is not known yet: it may begin at layer 0
    n_heads = sum(model.heads_per_layer)
    for name in study.names:
        of_concept = study.passes(study.rows_of(name))
        if joint:
            stages.append(stage_of(f"top sets: {name}", whole, [low] * _SETS_A_CONCEPT * len(edits), bound=True))
            stages.append(stage_of(f"random sets: {name}", of_concept, [low] * n_random, bound=True))
        if sets:
            searched = min(n_heads, MOST_CANDIDATES) * (MOST_HEADS - 1)
            n_sets = (3 + _BAND) * len(curve_sizes(n_heads)) + n_heads + searched
            stages.append(stage_of(f"growing sets: {name}", of_concept, [low] * n_sets, bound=True))
    notes = list(study.warnings)
    if patching:
        can = patchable_concepts(model, profile, study.names, chat_template=chat_template)
        notes += [f"{name} is not patched: no prompt of it fits its control" for name in study.names if name not in can]
        stages += patch_stages(
            study, can, alone, alignment="exact", chat_template=chat_template, batch_tokens=budget, bound=at_most
        )
    n_written = (len(edits) + 1) * (_SETS_A_CONCEPT if joint else 1)
    n_prompts = sum(len(study.rows_of(name)) for name in study.names)
    return forecast_of(
        model,
        stages,
        calibrate(model, whole, arms) if calibrated is None else calibrated.calibration,
        [(name, study.labels_of(study.rows_of(name))) for name in study.names],
        n_tests=len(alone) * len(study.names),
        text_tokens=text_tokens * n_prompts * n_written,
        notes=notes,
    )


def _fast_scores(study: CausalStudy, batch_tokens: int) -> Stage:
    """Passes forward and back, and one of direct attribution; a pass back is counted as the work of two forward."""
    prompts = [one for one in study.asked if one.concept != study.profile.control]
    lengths = [len(row) for prompt in prompts for row in prompt.rows]
    at_once = gradient_batch_tokens(study.model, prompts, batch_tokens)
    plan = plan_batches(lengths, at_once, study.model.row_limits)
    tokens = sum(len(members) * max(lengths[index] for index in members) for members in plan)
    forward, back = DEFAULT_STEPS + 4, DEFAULT_STEPS + 1  # at strength 0, the controls, all heads off, and direct
    layer_tokens = tokens * len(study.model.heads_per_layer) * (forward + 2 * back)
    return Stage("fast scores", (forward + back) * len(plan), (forward + back) * tokens, layer_tokens, is_bound=True)
