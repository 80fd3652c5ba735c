"""The log-odds of answers in every family: one continuation and one token at a time, in plain transformers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from headscope.heads import Head, HeadSet, every_head
from headscope.measure.answers import NONE, Joining
from headscope.measure.edits import Arm, places_of
from headscope.measure.gradients import GradientPasses
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.study import Study
from headscope.terms import ANSWER_ACCURACY, ANSWER_PROB, ANSWERS
from headscope.verbs.attribute import attribute
from headscope.verbs.effect_rows import facts_of
from tests.laws import oracles
from tests.laws.families import FAMILIES, loaded, make, word_tokenizer
from tests.small_tasks import log_odds_alone, word_tasks
from tests.tolerances import FLOAT64, close, effect_error, nats_error

TREES = ("gpt2", "bloom", "mistral")  # learned positions, ALiBi, a window


@pytest.fixture(scope="module", params=list(FAMILIES))
def model(request: pytest.FixtureRequest) -> HeadModel:
    return loaded(request.param)


def alone(model: HeadModel, hf: object) -> list[float]:
    profile = word_tasks()
    return [
        log_odds_alone(lambda ids: oracles.logits(hf, ids), model.tokenizer, one, model.bos_token_id)  # type: ignore[arg-type]
        for one in profile.prompts
    ]


def test_answers_are_as_probable_as_one_at_a_time(model: HeadModel) -> None:
    layer = max(model.anatomy.layers)
    head = Head(layer, 1)
    outcomes = Study(model, word_tasks()).measure([Arm(HeadSet((head,)), "zero")])
    sizes = {at: one.head_size for at, one in model.anatomy.layers.items()}
    without = oracles.without_heads(model.hf, [(head.layer, head.head)], sizes)
    longest = 3  # tokens of a continuation, each with the error of a log-probability
    error = 2 * longest * nats_error(model)
    np.testing.assert_allclose(outcomes.baseline[ANSWERS], alone(model, model.hf), rtol=0, atol=error)
    np.testing.assert_allclose(outcomes.edited[ANSWERS][0], alone(model, without), rtol=0, atol=error)


@pytest.mark.parametrize("family", TREES)
def test_prompts_alone_say_what_trees_say(family: str) -> None:
    model = loaded(family)
    arms = [Arm(HeadSet((Head(min(model.anatomy.layers), 0),)), kind) for kind in ("mean", "zero", "resample")]
    packed, apart = (Study(model, word_tasks(), pack=pack).measure(arms) for pack in (True, False))
    for name in (ANSWERS, ANSWER_PROB):
        np.testing.assert_allclose(packed.baseline[name], apart.baseline[name], rtol=0, atol=3 * effect_error(model))
        np.testing.assert_allclose(packed.edited[name], apart.edited[name], rtol=0, atol=3 * effect_error(model))


@pytest.mark.parametrize("pack", [True, False])
def test_answers_of_more_tokens_give_a_control_prompt_no_more_weight(pack: bool) -> None:
    """Prompts of other numbers of sequences, and the same prompts with answers of one token: one mean."""
    model, profile = loaded("gpt2"), word_tasks()
    short = replace(profile, prompts=tuple(replace(p, answers=(" w50",), foils=(" w55",)) for p in profile.prompts))
    studies = [Study(model, one, pack=pack) for one in (profile, short)]
    assert (
        {len(one.sequences) for one in studies[0].controls} > {1} == {len(one.sequences) for one in studies[1].controls}
    )
    of = [study.states(["mean", "position_mean"]) for study in studies]
    for index, layout in enumerate(studies[1].layouts):
        places = places_of(layout, 0, layout.n_prompt)
        for layer, kind in ((layer, kind) for layer in model.anatomy.layers for kind in ("mean", "position_mean")):
            several, one = (
                states.values(kind, study.layouts[index], layer, places)
                for study, states in zip(studies, of, strict=True)
                if states is not None
            )
            assert close(several, one, model)


def test_the_record_says_where_one_token_does_not_tell() -> None:
    """Of word_tasks a third has answers of one token, a third of several that begin like foils, a third no foils."""
    study = Study(loaded("gpt2"), word_tasks())
    told = facts_of(study, study.measure([]))["answers"]
    assert told == {"n_prompts": 12, "n_of_several_tokens": 8, "n_that_begin_like_a_foil": 4, "n_without_foils": 4}


def test_probability_and_accuracy_follow_from_the_same_continuations() -> None:
    model, profile = loaded("gpt2"), word_tasks()
    found = Study(model, profile).measure([])
    for index, prompt in enumerate(profile.prompts):
        each = [
            log_odds_alone(
                lambda ids: oracles.logits(model.hf, ids), model.tokenizer, replace(prompt, answers=(one,), foils=()),
                model.bos_token_id,
            )
            for one in prompt.continuations
        ]  # fmt: skip
        right, wrong = each[: len(prompt.answers)], each[len(prompt.answers) :]
        assert found.baseline[ANSWER_PROB][index] == pytest.approx(sum(np.exp(right)), rel=3 * nats_error(model))
        accuracy = found.baseline[ANSWER_ACCURACY][index]
        assert np.isnan(accuracy) if not wrong else accuracy == float(max(right) > max(wrong))


def test_scores_of_some_prompts_say_so() -> None:
    profile = word_tasks()
    longer = {one.pair for one in profile.prompts if one.template == "t1"}
    prompts = tuple(replace(one, text=f"{one.text} w7") if one.id in longer else one for one in profile.prompts)
    warnings = attribute(Study(loaded("gpt2"), replace(profile, prompts=prompts)), steps=0, verify=0).record["warnings"]
    assert any("direct attribution is of 4 of 12 prompts" in one for one in warnings)
    assert any("attribution_patching_matched is of 9 of 12 prompts" in one for one in warnings)


@pytest.fixture(scope="module", params=["gpt2", "gpt_neox"])
def exact_model(request: pytest.FixtureRequest) -> HeadModel:
    """In float64, so that the integral's error and not the arithmetic's is seen."""
    model = load_model(make(request.param), tokenizer=word_tokenizer(), device="cpu")
    model.hf.double()
    return model


@pytest.mark.parametrize("pack", [True, False])
def test_the_integral_of_the_gradients_is_the_effect_of_all_heads(exact_model: HeadModel, pack: bool) -> None:
    study = Study(exact_model, word_tasks(), pack=pack)
    states = study.states(["mean"])
    assert states is not None
    prompts = [one for one in study.layouts if one.concept != study.profile.control]
    passes = GradientPasses(exact_model, prompts, study.log_odds, states=states, partners={}, batch_tokens=64)
    errors = [np.abs(passes.measure(steps=steps).completeness_error).max() for steps in (2, 6, 18)]
    assert errors[2] < max(1e-3 * errors[0], FLOAT64)  # Gauss-Radau converges beyond any power of the steps
    scores = passes.measure(steps=18)
    whole = study.measure([Arm(HeadSet(every_head(exact_model.heads_per_layer)), "mean")])
    rows = [i for i, one in enumerate(study.layouts) if one.concept != study.profile.control]
    error = effect_error(loaded("gpt2"))  # what is measured is read off in float32
    np.testing.assert_allclose(scores.all_edited, whole.change(ANSWERS)[0][rows], rtol=0, atol=error)


def test_prompts_without_any_answers_are_neither_right_nor_wrong() -> None:
    joining = Joining((NONE, NONE))
    read = torch.zeros((1, 3, 2, 0), dtype=torch.float64)  # one sequence, three arms, two prompts, nothing read
    for values in (joining.accuracy(read), joining.log_odds(read), joining.probability(read)):
        assert values.shape == (3, 2)
        assert values.isnan().all()
