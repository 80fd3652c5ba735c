"""Screening, every edit and generation agree with the slow, obvious way of doing the same."""

import dataclasses

import numpy as np
import pytest

from headscope.api import screen
from headscope.errors import RequestError
from headscope.heads import Head, HeadSet
from headscope.measure.edits import Arm, ArmValues, ControlStates
from headscope.measure.generation import TextPasses
from headscope.measure.layout import lay_out
from headscope.measure.outcomes import KL, PERPLEXITY, log_odds_name
from headscope.measure.sampling import Sampling
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.profiles.words import POSITION_WORDS
from headscope.stats.tables import TOLERANCE_SHARE
from headscope.study import Study
from tests.reference import slow
from tests.tolerances import close, effect_error, nats_error

TEMPLATES = ("t01", "t08", "t15", "t29")
HEADS = (Head(0, 1), Head(1, 2), Head(2, 0), Head(3, 3))


def reduced(profile):
    """The same profile with four of its templates."""
    return dataclasses.replace(profile, prompts=tuple(p for p in profile.prompts if p.template in TEMPLATES))


@pytest.fixture(scope="module")
def profile():
    return reduced(load_profile("baseline"))


@pytest.fixture(scope="module", params=["demo", pytest.param("chat-gpt2-3M", marks=pytest.mark.oracle)])
def model(request):
    if request.param == "demo":
        return load_model("demo")
    return load_model(request.getfixturevalue("shared") / "models" / request.param)


@pytest.fixture(scope="module")
def eager(model):
    return slow.eager_copy(model.hf)


def by_head(table, model, column="estimate"):
    shape = (len(model.heads_per_layer), model.heads_per_layer[0])
    return table.sort_values(["layer", "head"])[column].to_numpy(float).reshape(shape)


@pytest.mark.parametrize("pack", [True, False])
def test_matched_screening_agrees(model, eager, profile, pack):
    table = screen(model, profile, pack=pack).table
    rows = table[(table["measure"] == "attention") & (table["control"] == "paired_equal")]
    for concept in profile.concepts:
        expected = slow.matched_delta(eager, model.tokenizer, profile, concept)
        found = by_head(rows[rows["concept"] == concept], model)
        assert close(found, np.where(np.abs(expected) < TOLERANCE_SHARE, 0.0, expected), model)


def test_phase6_screening_agrees(model, eager, profile):
    result = screen(model, profile, protocol="phase6")
    neutral = [slow.phase6_value(eager, model.tokenizer, p.text, None)[0] for p in profile.controls]
    coverage = result.tables["coverage"].set_index("concept")
    for concept in profile.concepts:
        values = [
            slow.phase6_value(eager, model.tokenizer, p.text, POSITION_WORDS[concept])
            for p in profile.prompts_of(concept)
        ]
        rows = result.table[result.table["concept"] == concept]
        expected = np.mean([v for v, _ in values], axis=0)
        assert close(by_head(rows, model, "concept_mean"), expected, model)
        assert close(by_head(rows, model), expected - np.mean(neutral, axis=0), model)
        assert coverage.loc[concept, "n_spans"] == sum(found for _, found in values)


def study_of(model, profile, **options):
    return Study(model, profile, batch_tokens=4096, **options)


def edited(kind, *heads):
    return Arm(HeadSet.of(heads), kind)


def words_of(profile, concept):
    found = profile.concepts[concept]
    return found.lexicon.words, found.control_lexicon.words


@pytest.mark.parametrize("heads", [(HEADS[1],), HEADS])
def test_zero_agrees_with_zeroed_rows_of_the_output_projection(model, profile, heads):
    study = study_of(model, profile)
    outcomes = study.measure([edited("zero", *heads)])
    twin = slow.without_heads(model.hf, heads)
    for i in (0, 5, 9, len(study.layouts) - 1):
        text = study.layouts[i].tokens.text
        for concept in profile.concepts:
            arguments = (model.tokenizer, text, profile.readouts, *words_of(profile, concept))
            before, after = (slow.log_odds(one, *arguments) for one in (model.hf, twin))
            assert outcomes.baseline[log_odds_name(concept)][i] == pytest.approx(before, abs=nats_error(model))
            assert outcomes.edited[log_odds_name(concept)][0, i] == pytest.approx(after, abs=nats_error(model))


@pytest.mark.parametrize("heads", [(HEADS[2],), HEADS])
def test_mean_agrees_with_the_mean_put_into_the_bias(model, profile, heads):
    study = study_of(model, profile)
    outcomes = study.measure([edited("mean", *heads)])
    for i in (1, len(study.layouts) - 2):
        asked = study.layouts[i]
        means = slow.leave_template_out_mean(model.hf, model.tokenizer, profile, asked.template)
        twin = slow.without_heads(model.hf, heads, {head: means[head.layer, head.head] for head in heads})
        for concept in profile.concepts:
            expected = slow.log_odds(
                twin, model.tokenizer, asked.tokens.text, profile.readouts, *words_of(profile, concept)
            )
            assert outcomes.edited[log_odds_name(concept)][0, i] == pytest.approx(expected, abs=nats_error(model))


@pytest.mark.parametrize("heads", [(HEADS[2],), HEADS])
def test_bos_agrees_with_the_values_of_the_bos_token_put_into_the_bias(model, profile, heads):
    study = study_of(model, profile)
    outcomes = study.measure([edited("bos", *heads)])
    values = slow.values_of_bos(model.hf, model.tokenizer)
    twin = slow.without_heads(model.hf, heads, {head: values[head.layer, head.head] for head in heads})
    for i in (1, len(study.layouts) - 2):
        text = study.layouts[i].tokens.text
        for concept in profile.concepts:
            expected = slow.log_odds(twin, model.tokenizer, text, profile.readouts, *words_of(profile, concept))
            assert outcomes.edited[log_odds_name(concept)][0, i] == pytest.approx(expected, abs=nats_error(model))


def test_bos_needs_a_bos(profile):
    with pytest.raises(RequestError, match="needs texts that begin with a BOS"):
        study_of(load_model("demo", bos="never"), profile).states(["bos"])


def test_damage_agrees(model, profile):
    study = study_of(model, profile)
    outcomes = study.measure([edited("zero", *HEADS)])
    twin = slow.without_heads(model.hf, HEADS)
    for i in study.rows_of("neutral")[:3]:
        kl, before, after = slow.damage(model.hf, twin, list(study.layouts[i].tokens.ids))
        assert outcomes.edited[KL.name][0, i] == pytest.approx(kl, abs=effect_error(model))
        assert outcomes.baseline[PERPLEXITY.name][i] == pytest.approx(before, abs=nats_error(model))
        assert outcomes.edited[PERPLEXITY.name][0, i] == pytest.approx(after, abs=nats_error(model))
    assert np.isnan(outcomes.edited[KL.name][0, study.rows_of("anger")]).all(), "damage is measured on controls only"


@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_generation_agrees_with_writing_one_text_at_a_time_without_a_cache(model, profile, kind):
    study = study_of(model, profile)
    prompts = [study.layouts[i] for i in (0, 3, 11, 20)]
    arm = Arm(HeadSet.of(HEADS), kind)
    sampling = Sampling(max_tokens=8, greedy=True)
    texts = TextPasses(
        model, prompts, [None, arm], sampling, states=study.states([kind]) or ArmValues(model), batch_tokens=4096
    ).write()
    for p, prompt in enumerate(prompts):
        values = None
        if kind == "mean":
            means = slow.leave_template_out_mean(model.hf, model.tokenizer, profile, prompt.template)
            values = {head: means[head.layer, head.head] for head in HEADS}
        twin = slow.without_heads(model.hf, HEADS, values)
        eos = model.hf.generation_config.eos_token_id
        assert texts[0][p][0] == slow.greedy_text(model.hf, prompt.tokens.ids, 8, eos)
        assert texts[1][p][0] == slow.greedy_text(twin, prompt.tokens.ids, 8, eos)


def test_position_mean_and_resample_take_the_controls_own_z(model, profile):
    """With one control left in other templates both edits must replay exactly that control's z."""
    only = [p for p in profile.prompts if p.concept != "neutral"]
    controls = [p for p in profile.prompts if p.id in ("neutral-001", "neutral-015")]
    small = dataclasses.replace(profile, prompts=(*only, *controls))
    kinds = ["position_mean", "resample"]
    study = study_of(model, small)
    asked = next(one for one in study.layouts if one.id == controls[0].id)  # its own template is left out
    source = next(one for one in study.layouts if one.id == controls[1].id)
    everything = HeadSet.parse("*", model.heads_per_layer)
    outcomes = study.measure([Arm(everything, kind) for kind in kinds])
    i = study.layouts.index(asked)
    first, second = np.stack([outcomes.edited[log_odds_name(name)][:, i] for name in profile.concepts], axis=1)
    assert np.allclose(first, second, atol=nats_error(model)) == (len(source.tokens) == len(asked.tokens))
    assert isinstance(study.states(kinds), ControlStates)


def test_an_edit_with_the_prompts_own_template_is_cross_fitted(model, profile):
    study = study_of(model, profile)
    states = study.states(["mean"])
    own = states.values("mean", study.layouts[0], 1, None)
    other = states.values("mean", study.layouts[2], 1, None)
    assert study.layouts[0].template != study.layouts[2].template
    assert not np.array_equal(own, other)


def test_readouts_in_one_row_equal_readouts_one_by_one(model, profile):
    prompts = list(profile.prompts_of("anger"))
    templates = {p.id: p.template for p in prompts}
    packed = lay_out(model, prompts, profile.readouts, templates, pack=True)
    single = lay_out(model, prompts, profile.readouts, templates, pack=False)
    assert all(len(one.rows) == 1 for one in packed)
    assert all(len(one.rows) == len(profile.readouts) for one in single)
    edits = [edited("zero", HEADS[1]), edited("mean", HEADS[2])]
    outcomes = [study_of(model, profile, pack=pack).measure(edits) for pack in (True, False)]
    for name in outcomes[0].edited:
        for arms in ("baseline", "edited"):
            both = (getattr(one, arms)[name] for one in outcomes)
            assert np.allclose(*both, atol=effect_error(model), equal_nan=True)
