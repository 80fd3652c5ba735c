"""Fast scores for every head: gradients of the edit's strength, direct attribution, and the top verified exactly.

Every row of ``scores`` predicts one thing, the effect of removing the head (edited - baseline, negative where removal
lowers the concept), so that it can be held against the exact effect of the same edit:

- ``gate_gradient``, ``attribution_patching``, ``attribution_patching_matched``, ``integrated_gradient``: first order
  and integrated, measure/gradients.py;
- ``direct_effect``: the change of the log-odds while later heads and layers stay as they were, measure/direct.py;
- ``direct_logit``: minus the head's contribution to the difference of mean logits; in logits.

The effect of a head's removal that is not direct is what later heads and layers answer. ``effects`` sets both side by
side for every head measured exactly, outcome ``self_repair_nats``: total - direct, from the same prompts and edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import xarray as xr

from headscope.errors import ModelError, RequestError
from headscope.heads import Head, HeadSet, every_head
from headscope.measure.direct import DirectScores, measure_direct
from headscope.measure.gradient_memory import gradient_batch_tokens
from headscope.measure.gradients import FastScores, GradientPasses, check_gradients
from headscope.measure.layout import PromptLayout, same_layout
from headscope.measure.quadrature import has_sum
from headscope.models.head_model import HeadModel
from headscope.random_streams import generator
from headscope.stages import Counted
from headscope.stats import Criteria, EffectBlock, effects_table, head_tests
from headscope.stats.fast_scores import beside_exact, fast_agreement
from headscope.study import Study
from headscope.terms import PRIMARIES, PRIMARY, SINGLE
from headscope.tokens import plan_batches
from headscope.verbs.attribution_tables import arrays_of_scores, components_of, facts_of_scores, scores_of
from headscope.verbs.effect_rows import DECIDING_EDIT
from headscope.verbs.head_order import head_of
from headscope.verbs.result import Result
from headscope.verbs.sweep import SweepResult, sweep

SELF_REPAIR = "self_repair_nats"
CHOOSING = "attribution_patching"
"""The score whose top is verified: the one that predicts single effects under the deciding edit (docs/methods.md)."""

DEFAULT_STEPS = 1
MORE_STEPS = 8
"""Where everything is asked for; docs/attribution.md says how far one step ranks heads as many do."""


class AttributeResult(Result):
    """``tables``: scores, components, and where heads were measured exactly agreement and effects."""


def attribute(study: Study, *, outcome: str = PRIMARY, steps: int = DEFAULT_STEPS, verify: int = 5) -> AttributeResult:
    """Score every head for every concept without editing each alone, and measure the top exactly.

    Args:
        study: what is asked of which model.
        outcome: what is derived; only the primary outcome, of words or of answers, has a derivative.
        steps: of the integrated form; 0 leaves it out.
        verify: heads of each concept, the top by ``CHOOSING``, whose exact effect is measured too; 0 for none.

    Raises:
        RequestError: another outcome, a number out of range, or gradients do not pass through the model.
    """
    check_request(study.model, outcome, steps, verify)
    study = study.only()
    fast, direct, warnings = _measured(study, steps)
    prompts = _scored(study)
    scores = scores_of(study.model, study.names, prompts, fast, direct)
    tables = {"scores": scores}
    if direct is not None:
        tables["components"] = components_of(study.model, study.names, prompts, direct)
    asked = {"outcome": study.primary, "steps": steps, "verify": verify}
    record: dict[str, Any] = facts_of_scores(study.names, prompts, fast, direct) | asked | {
        "seed": study.seed, "batch_tokens": study.batch_tokens, "chat_template": study.settings.chat_template,
        "warnings": warnings,
    }  # fmt: skip
    record["n_batches_halved"] += study.n_halved
    result = AttributeResult(tables, arrays_of_scores(study, prompts, fast, direct), record, "scores")
    if verify == 0:
        return result
    swept = sweep(study, heads=str(top_heads(scores, study.names, verify)), edits=("mean", "zero"))
    result = verified(result, swept, seed=study.seed)
    effects = [table for table in (swept.table, result.tables.get("effects")) if table is not None]
    tables = {**swept.tables, **result.tables, "effects": pd.concat(effects, ignore_index=True)}
    record = {**result.record, "n_batches_halved": record["n_batches_halved"] + swept.record["n_batches_halved"]}
    return AttributeResult(tables, result.values, record, "scores")


def _scored(study: Study) -> list[PromptLayout]:
    """The concepts' prompts, of which every head is scored."""
    return [layout for layout in study.layouts if layout.concept != study.profile.control]


def _measured(study: Study, steps: int) -> tuple[FastScores, DirectScores | None, list[str]]:
    """Gradient scores, direct attribution where the model allows it, and what a reader must know."""
    prompts, states = _scored(study), study.states([DECIDING_EDIT])
    if states is None:
        raise AssertionError("the mean edit takes its values from the control prompts' states")
    by_id = {layout.id: layout for layout in study.layouts}
    partners = {name: by_id[pair] for name, pair in study.pair_of.items() if pair is not None and pair in by_id}
    about = {"outcomes": study.outcome_ids()}
    fast = GradientPasses(
        study.model, prompts, study.log_odds, states=states, partners=partners, batch_tokens=study.batch_tokens
    ).measure(steps=steps, progress=study.progress, work=study.work("gradients", (), prompts, **about))
    if study.profile.has_tasks and not any(one.answers.are_single for one in prompts):
        why = "no direct attribution: this tokenizer makes several tokens of the answers, or there are no foils"
        return fast, None, [*study.warnings, *_partly_scored(study, prompts, partners, None), why]
    try:
        direct = measure_direct(
            study.model, prompts, study.log_odds, states=states, batch_tokens=study.batch_tokens,
            progress=study.progress, work=study.work("direct", (), prompts, **about),
        )  # fmt: skip
    except ModelError as refused:
        return (
            fast,
            None,
            [
                *study.warnings,
                *_partly_scored(study, prompts, partners, None),
                "no direct attribution: " + " ".join(str(refused).split()),
            ],
        )
    return fast, direct, [*study.warnings, *_partly_scored(study, prompts, partners, direct)]


def _partly_scored(
    study: Study, prompts: Sequence[PromptLayout], partners: Mapping[str, PromptLayout], direct: DirectScores | None
) -> Iterator[str]:
    """Which scores rest on some of a task's prompts only, while exact effects are of all."""
    if not study.profile.has_tasks:
        return
    n_single, n = sum(one.answers.are_single for one in prompts), len(prompts)
    if direct is not None and n_single < n:
        yield f"direct attribution is of {n_single} of {n} prompts: whose answers and foils are one token each"
    n_alike = sum(one.id in partners and same_layout(one, partners[one.id]) for one in prompts)
    if 0 < n_alike < n:
        yield (
            f"attribution_patching_matched is of {n_alike} of {n} prompts: whose corrupted partners have tokens at the "
            "same places"
        )


def fast_score_work(study: Study, steps: int = DEFAULT_STEPS) -> Counted:
    """Passes forward and back, and one of direct attribution; a pass back costs about one forward (frozen weights)."""
    prompts = _scored(study)
    lengths = [len(row) for prompt in prompts for row in prompt.rows]
    at_once = gradient_batch_tokens(study.model, prompts, study.batch_tokens)
    plan = plan_batches(lengths, at_once, study.model.row_limits)
    tokens = sum(len(members) * max(lengths[index] for index in members) for members in plan)
    forward, back = steps + 3 + has_sum(steps), steps + 1  # at strength 0, the controls, direct, and all heads off
    layer_tokens = tokens * len(study.model.heads_per_layer) * (forward + back)
    logit_rows = (forward + back) * sum(len(prompt.sequences) for prompt in prompts)
    n_passes = forward + back
    return Counted("fast scores", n_passes * len(plan), n_passes * tokens, layer_tokens, True, logit_rows)


def check_outcome(outcome: str) -> None:
    """Raise RequestError where an outcome has no gradient."""
    if outcome not in PRIMARIES:
        raise RequestError(
            f'outcome "{outcome}" has no gradient',
            expected=" or ".join(PRIMARIES),
            got=outcome,
            fix="counts and scores of generated text are measured exactly: headscope ablate",
        )


def check_request(model: HeadModel, outcome: str, steps: int, verify: int) -> None:
    """Raise RequestError where ``attribute`` cannot serve the request on this model."""
    check_outcome(outcome)
    n_heads = sum(model.heads_per_layer)
    if not 0 <= verify <= n_heads:
        raise RequestError("verify does not fit the model", expected=f"0 to {n_heads} heads", got=str(verify))
    if steps < 0:
        raise RequestError("steps cannot be negative", expected="0 (no integrated form) or more", got=str(steps))
    check_gradients(model)


def verified(
    result: AttributeResult,
    swept: SweepResult,
    *,
    seed: int,
    random_heads: Sequence[Head] = (),
    k: int = 5,
    criteria: Criteria | None = None,
) -> AttributeResult:
    """``result`` with the exact effects of ``swept`` beside its scores; its ``effects`` are those of self-repair alone.

    Args:
        result: of ``attribute`` on the same model, profile and concepts.
        swept: exact effects of some or all heads.
        seed: of sign-flips.
        random_heads: of the swept heads, those drawn at random from outside the top; they bound recall.
        k: for precision.
        criteria: say from what size on an effect matters, which recall counts.
    """
    scores = beside_exact(result.tables["scores"], swept.table)
    assay = swept.tables["assay"].set_index("concept")["estimate"]
    rules = criteria or Criteria()
    limits = {str(name): rules.threshold_nats(float(gap)) for name, gap in assay.items()}
    agreement = fast_agreement(scores, thresholds_nats=limits, random_heads=frozenset(random_heads), k=k)
    repair = _self_repair(result.values, swept.values)
    tables = {**result.tables, "scores": scores, "agreement": agreement}
    if repair:
        tables["effects"] = effects_table(repair, seed=seed)
    record = {**result.record, "verified": sorted(set(map(str, swept.values["heads"].to_numpy())))}
    return AttributeResult(tables, result.values, record, "scores")


def top_heads(scores: pd.DataFrame, concepts: Sequence[str], n: int, *, beyond: float = 0.0) -> HeadSet:
    """The ``n`` heads of each concept with the largest |score| by ``CHOOSING``, all concepts together.

    With ``beyond`` only the heads whose |score| is as large, and the first in any case.
    """
    rows = scores[(scores["measure"] == CHOOSING) & scores["concept"].isin(list(concepts)) & (scores["rank"] <= n)]
    rows = rows[(rows["estimate"].abs() >= beyond) | (rows["rank"] <= 1)]
    return HeadSet.of({Head(int(a), int(b)) for a, b in zip(rows["layer"], rows["head"], strict=True)})


def random_others(model: HeadModel, chosen: HeadSet, *, seed: int) -> tuple[Head, ...]:
    """As many heads as were chosen, drawn from the others; all others where there are fewer."""
    others = [head for head in every_head(model.heads_per_layer) if head not in chosen]
    drawn = generator(seed, "random_heads").permutation(len(others))[: len(chosen)]
    return tuple(sorted(others[int(i)] for i in drawn))


def _self_repair(values: xr.Dataset, swept: xr.Dataset) -> list[EffectBlock]:
    """Direct and total effect of every swept head under the deciding edit, prompt by prompt."""
    if "direct_effect" not in values:
        return []
    chosen = ((swept["kind"] == DECIDING_EDIT) & (swept["role"] == SINGLE)).to_numpy()
    heads = [head_of(str(spec)) for spec in swept["heads"].to_numpy()[chosen]]
    blocks: list[EffectBlock] = []
    for name in dict.fromkeys(map(str, values["concept"].to_numpy())):
        mine = values["prompt"].to_numpy()[(values["concept"] == name).to_numpy()]
        direct = values["direct_effect"].sel(prompt=mine).to_numpy()
        total = swept["edited"].sel(lexicon=name, prompt=mine) - swept["baseline"].sel(lexicon=name, prompt=mine)
        blocks.append(
            EffectBlock(
                name, SELF_REPAIR, "nats", DECIDING_EDIT, "all",
                head_tests(heads),
                direct[:, [h.layer for h in heads], [h.head for h in heads]],
                total.transpose("prompt", "edit").to_numpy()[:, chosen],
                [str(t) for t in values["template"].sel(prompt=mine).to_numpy()],
                family=f"attribute/{SELF_REPAIR}/{DECIDING_EDIT}",
            )
        )  # fmt: skip
    return blocks
