"""What happens when heads are turned up? Effect and cost by dose, beside random vectors, other heads, the stream.

1. Each set of heads is steered at every dose: ``add`` moves z along a vector fitted on other templates than it is used
   on, by doses in σ (``stats.steering_vectors``); ``scale`` multiplies z. The prompts are the concept's controls, into
   which it is pushed, or its own.
2. Every dose is compared with the unedited model, prompt by prompt; control text steered at all tokens says what it
   costs. Other concepts' log-odds stand beside.
3. The slope through the doses is compared with those of random vectors of the same norm in the same heads, and of the
   same doses in other heads; where no dose has an effect beyond δ these are not run, since no verdict asks for them.
4. The same norm put into the residual stream behind the set's layers, the field's habit, is a comparison.
5. One set is also let to write: baseline and every dose from the same random numbers.

Every row is exploratory: the confirmatory family is the sweep's. Sources: Li et al. 2023 (arXiv:2306.03341); Izawa et
al. 2026 (arXiv:2603.13249).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from headscope.heads import HeadSet
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedOutcomes
from headscope.measure.outcomes.sentiment import SentimentScorer
from headscope.measure.sampling import Sampling
from headscope.models.anatomy import block_list
from headscope.settings import Writing
from headscope.stats import Criteria, EffectBlock
from headscope.stats.dose_response import dose_response_table
from headscope.stats.dosing import (
    DoseResponse,
    NullDraws,
    NullSlopes,
    SteeredOutcome,
    steering_blocks,
    steering_nulls_table,
    steering_table,
)
from headscope.stats.specificity import specificity_blocks
from headscope.study import Study
from headscope.terms import PRIMARIES, REQUESTED, RESIDUAL, SINGLE, SPECIFICITY
from headscope.verbs.continuations import continued, open_end, sampling_of, scorer_of, texts_table, writing_facts
from headscope.verbs.effect_rows import assay_tables, facts_of
from headscope.verbs.result import Result, prompt_coords
from headscope.verbs.steer_passes import SteeredConcept
from headscope.verbs.steer_request import HeadsOf, SteerRequest, sets_of, vectors_of
from headscope.verbs.steer_vectors import Given


class SteerResult(Result):
    """``tables``: dose_response, steering, steering_nulls, assay; texts where one set was let to write.

    ``values``: ``baseline`` (prompt, lexicon), and ``steered_<concept>`` (edit, prompt, lexicon); NaN where a prompt
    was not steered.
    """


@dataclass
class _Found:
    """What was measured of all concepts."""

    blocks: list[EffectBlock] = field(default_factory=list[EffectBlock])
    responses: list[DoseResponse] = field(default_factory=list[DoseResponse])
    draws: list[NullDraws] = field(default_factory=list[NullDraws])
    texts: list[pd.DataFrame] = field(default_factory=list[pd.DataFrame])
    arrays: dict[str, Any] = field(default_factory=dict[str, Any])
    warnings: list[str] = field(default_factory=list[str])


def steer(
    study: Study,
    heads: HeadsOf,
    request: SteerRequest | None = None,
    *,
    given: Given | None = None,
    writing: Writing | None = None,
    criteria: Criteria | None = None,
) -> SteerResult:
    """Effect and cost of turning heads up, by dose, among their nulls.

    Args:
        study: what is asked of which model.
        heads: e.g. ``"1:10,3:2"``, steered together or each alone; or concept -> its heads, for some of the concepts.
        request: which edit, doses, vector, prompts and tokens.
        given: the vectors of one's own, where ``request.vector`` is ``given``.
        writing: also let each one set write; None: fixed text only.
        criteria: what decides a verdict.

    Raises:
        RequestError: heads or doses that do not exist or say nothing; a vector without length; texts that cannot be
            written as asked.
        ProfileError: too few templates to fit a vector on others than it is used on.
    """
    request, study = request or SteerRequest(), study.only()
    sets = sets_of(study, heads, request)
    writes = writing is not None and all(len(of) == 1 for of in sets.values())
    scorer = scorer_of(study, writing, controls=True) if writes and writing is not None else None
    concepts = {
        name: SteeredConcept(study.only(name), vectors_of(study.only(name), name, request, given), request.dosage)
        for name in sets
    }
    for name, one in concepts.items():
        if one.own_vector():
            for each in sets[name]:
                one.vectors.check_length(each, one.own_vector())
    unedited = study.measure([])
    tables = assay_tables(study, unedited)
    found = _Found()
    for name, one in concepts.items():
        _steer_concept(one, sets[name], tables["assay"], study, found)
    rules = criteria or Criteria()
    table = steering_table(found.blocks, seed=study.seed)
    _nulls(found, concepts, sets, table, rules, request.n_random)
    record: dict[str, Any] = facts_of(study, unedited) | {
        "heads": {name: [str(each) for each in of] for name, of in sets.items()},
        **vars(request), "doses": list(request.dosage.doses),
    }  # fmt: skip
    if scorer is not None and writing is not None:
        sampling = sampling_of(study, writing)
        for name, one in concepts.items():
            _write(one, sets[name][0], sampling, scorer, found)
        table = steering_table(found.blocks, seed=study.seed)
        record |= writing_facts(study, sampling, scorer)
        found.warnings += open_end(study)
        tables["texts"] = pd.concat(found.texts, ignore_index=True)
    response = dose_response_table(found.responses, table, rules, seed=study.seed)
    tables = {
        "dose_response": response,
        "steering": table,
        "steering_nulls": steering_nulls_table(found.draws),
        **tables,
    }
    ran = [unedited, *(outcomes for one in concepts.values() for outcomes in one.ran)]
    record |= {
        "criteria": vars(rules), "warnings": [*study.warnings, *dict.fromkeys(found.warnings)],
        "n_forward_tokens": sum(one.n_forward_tokens for one in ran),
        "n_layer_tokens": sum(one.n_layer_tokens for one in ran),
        "n_batches_halved": study.n_halved + sum(one.study.n_halved for one in concepts.values()),
    }  # fmt: skip
    return SteerResult(tables, _arrays(study, unedited, found), record, "dose_response")


def _steer_concept(
    one: SteeredConcept, sets: Sequence[HeadSet], assay: pd.DataFrame, whole: Study, found: _Found
) -> None:
    """Every set at every dose, and the residual stream beside it: blocks, responses without nulls, arrays."""
    arms = [arm for heads in sets for arm in one.arms(heads, one.own_vector())]
    if one.own_vector():
        if _has_stream(one.study):
            arms += [arm for heads in sets for arm in one.residual_arms(heads)]
        else:
            found.warnings.append("this model's layers lie in no one list, so the residual stream is not compared")
    outcomes = one.measure("steering", arms)
    damage = one.measure_damage(arms, outcomes)
    tests = [_test(arm) for arm in arms]
    about: dict[str, Any] = {
        "concept": one.concept, "edit": one.dosage.edit, "vector": one.own_vector(), "scope": one.dosage.scope,
    }  # fmt: skip
    for outcome in one.study.outcomes:
        rows, measured = (one.templates, outcomes) if outcome.read_at == "answers" else (one.control_templates, damage)
        name = one.study.primary if outcome.name == one.outcome else outcome.name
        values = SteeredOutcome(
            name, outcome.unit, measured.baseline[outcome.name], measured.edited[outcome.name].T, outcome.scale
        )
        target = one.target if outcome.read_at == "answers" else one.study.profile.control
        if not np.isnan(values.baseline).all():
            found.blocks += steering_blocks(values, **about, target=target, tests=tests, templates=rows)
    found.blocks += _specificity(one, outcomes, tests)
    row = assay[assay["outcome"].isin(PRIMARIES) & (assay["concept"] == one.concept)].iloc[0]
    n_doses, change = len(one.dosage.doses), outcomes.change(one.outcome)
    for at in range(0, len(arms), n_doses):
        test = {key: value for key, value in tests[at].items() if key != "dose"}
        p_vector = None if test["role"] == RESIDUAL else one.vectors.p_holds(arms[at].heads)
        found.responses.append(
            DoseResponse(
                **about, **test, target=one.target, doses=one.dosage.doses, deltas=change[at : at + n_doses].T,
                templates=one.templates, p_vector=p_vector,
                gap_nats=float(row["estimate"]), shown=bool(row["shown"]),
            )
        )  # fmt: skip
    arms_by_prompt = np.full((len(arms), len(whole.layouts), len(whole.profile.concepts)), np.nan)
    arms_by_prompt[:, one.rows] = whole.by_concept(outcomes.edited, one.rows)
    found.arrays[f"steered_{one.concept}"] = ((f"edit_{one.concept}", "prompt", "lexicon"), arms_by_prompt)
    found.arrays[f"edit_{one.concept}"] = [str(arm) for arm in arms]


def _specificity(
    one: SteeredConcept, outcomes: ForcedOutcomes, tests: Sequence[Mapping[str, Any]]
) -> list[EffectBlock]:
    """Own change minus that of every other concept on the same prompts, at each dose; none of tasks, whose prompts are
    not read with others' answers."""
    others = {
        name: outcomes.change(outcome.name).T
        for name, outcome in one.study.log_odds.items()
        if name != one.concept and outcome.name != one.outcome
    }
    dosage, vector = one.dosage, one.own_vector()
    family = "/".join(filter(None, ("steer", dosage.edit, vector, dosage.scope, SPECIFICITY)))
    chosen = [i for i, test in enumerate(tests) if test["role"] != RESIDUAL]
    blocks = specificity_blocks(
        one.concept, [tests[i] for i in chosen], outcomes.change(one.outcome).T[:, chosen],
        {name: change[:, chosen] for name, change in others.items()}, one.templates, edit=dosage.edit, family=family,
    )  # fmt: skip
    keys = {"target": one.target, "vector": vector}
    return [replace(block, scope=dosage.scope, keys=keys) for block in blocks]


def _has_stream(study: Study) -> bool:
    return block_list(study.model.hf, [layer.name for layer in study.model.anatomy.layers.values()]) is not None


def _test(arm: Arm) -> dict[str, Any]:
    heads = tuple(arm.heads)
    alone = len(heads) == 1
    place = {"layer": heads[0].layer, "head": heads[0].head} if alone else {}
    role = RESIDUAL if arm.kind == RESIDUAL else SINGLE if alone else REQUESTED
    return {**place, "heads": str(arm.heads), "role": role, "k": len(heads), "dose": arm.dose}


def _nulls(
    found: _Found, concepts: Mapping[str, SteeredConcept], sets: Mapping[str, Sequence[HeadSet]], table: pd.DataFrame,
    rules: Criteria, n_random: int,
) -> None:  # fmt: skip
    """Nulls of every set with an effect beyond δ at some dose; put beside the responses."""
    for i, response in enumerate(found.responses):
        if response.role == RESIDUAL or not _moves(response, table, rules):
            continue
        one = concepts[response.concept]
        heads = next(each for each in sets[response.concept] if str(each) == response.heads)
        nulls = one.nulls(heads, np.asarray(response.deltas, dtype=np.float64), n_random)
        slopes: dict[str, NullSlopes] = {name: null for name, (null, _) in nulls.items()}
        found.responses[i] = replace(response, null_slopes=slopes)
        found.draws += [draws for _, draws in nulls.values() if len(draws.drawn)]


def _moves(response: DoseResponse, table: pd.DataFrame, rules: Criteria) -> bool:
    """Whether some dose has a simultaneous interval beyond the smallest effect that matters; there is none below six
    templates."""
    rows = table[
        (table["concept"] == response.concept) & (table["heads"] == response.heads) & (table["role"] == response.role)
        & table["outcome"].isin(PRIMARIES) & (table["target"] == response.target)
    ]  # fmt: skip
    limit = rules.threshold_nats(response.gap_nats)
    return bool(((rows["sim_low"] > limit) | (rows["sim_high"] < -limit)).any())


def _write(one: SteeredConcept, heads: HeadSet, sampling: Sampling, scorer: SentimentScorer, found: _Found) -> None:
    """The steered prompts go on at every dose: blocks of every score, texts."""
    arms = one.arms(heads, one.own_vector())
    written = continued(one.served(one.stage("steered_texts", arms)), one.rows, sampling, scorer)
    one.study.n_halved += written.n_halved
    about: dict[str, Any] = {
        "concept": one.concept, "edit": one.dosage.edit, "vector": one.own_vector(), "scope": one.dosage.scope,
        "target": one.target, "tests": [_test(arm) for arm in arms], "templates": one.templates,
    }  # fmt: skip
    for outcome in written.outcomes:
        scores = written.scores[outcome.name].mean(axis=2)
        values = SteeredOutcome(outcome.name, outcome.unit, scores[0], scores[1:].T, outcome.scale)
        found.blocks += steering_blocks(values, **about)
    found.texts.append(texts_table(one.study, arms, written, concept=one.concept))


def _arrays(study: Study, unedited: ForcedOutcomes, found: _Found) -> xr.Dataset:
    nats = {"unit": "nats"}
    variables: dict[str, Any] = {"baseline": (("prompt", "lexicon"), study.by_concept(unedited.baseline), nats)}
    axes = {name: labels for name, labels in found.arrays.items() if isinstance(labels, list)}
    variables |= {name: (*array, nats) for name, array in found.arrays.items() if name not in axes}
    coords = prompt_coords(study, study.layouts) | {"lexicon": list(study.profile.concepts)} | axes
    return xr.Dataset(variables, coords=coords)
