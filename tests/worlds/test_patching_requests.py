"""What patching refuses, and what it says then."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from headscope import api
from headscope.errors import ProfileError, RequestError
from headscope.study import Study
from headscope.terms import PRIMARY
from headscope.verbs.budget import forecast_run
from headscope.verbs.forecast_patch import forecast_patch
from headscope.verbs.patch import PatchRequest
from headscope.verbs.run_request import RunRequest
from tests.small_world import small_model, small_profile
from tests.tolerances import effect_error, nats_error

patch = partial(api.patch, generate=False)  # the worlds have no room for texts of the usual length


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def profile():
    return small_profile()


def with_prompts(profile, change):
    return dataclasses.replace(profile, prompts=tuple(change(p) for p in profile.prompts))


@pytest.mark.parametrize("alpha", [float("nan"), float("inf")])
def test_alpha_must_be_finite(model, profile, alpha):
    with pytest.raises(RequestError, match="alpha is not a finite number"):
        patch(model, profile, "1:2", alpha=alpha)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"what": "mlp"}, '"mlp" cannot be patched'),
        ({"directions": "up"}, 'direction "up" does not exist'),
        ({"directions": ()}, "directions must be named once each"),
        ({"target": "first"}, 'target "first" does not exist'),
        ({"alignment": "start"}, 'alignment "start" does not exist'),
        ({"source": "nobody"}, 'source "nobody" is no prompt'),
        ({"n_random": -1}, "n_random cannot be negative"),
        ({"what": "v", "source": "mean"}, "cannot be patched from a mean"),
        ({"heads": "9:0"}, "9:0 does not exist"),
    ],
)
def test_unknown_names_are_refused_with_what_there_is(model, profile, options, message):
    with pytest.raises(RequestError, match=message):
        patch(model, profile, **({"heads": "1:2", "n_random": 0} | options))


def test_a_source_of_the_targets_own_class_is_refused(model, profile):
    with pytest.raises(RequestError, match="cannot be the source"):
        patch(model, profile, "1:2", concepts="gratitude", directions="necessity", source="gratitude-001")


def test_a_concept_without_controls_is_refused(model, profile):
    alone = with_prompts(profile, lambda p: dataclasses.replace(p, pair=None))
    with pytest.raises(ProfileError, match="has a matched control"):
        patch(model, alone, "1:2")


def test_slots_that_cannot_be_aligned_are_named_and_left_out_on_request(model, profile):
    def lengthen(p):
        return dataclasses.replace(p, text=p.text + " people") if p.id == "neutral-003" else p

    odd = with_prompts(profile, lengthen)
    with pytest.raises(ProfileError, match="gratitude-003 and neutral-003 cannot be aligned"):
        patch(model, odd, "1:2", concepts="gratitude")
    result = patch(model, odd, "1:2", concepts="gratitude", alignment="exact", n_random=0)
    assert [pair["n_left_out"] for pair in result.record["pairs"]] == [1, 1]
    assert any("1 prompts have no partner" in warning for warning in result.warnings)


def test_a_prompt_without_a_span_cannot_be_aligned(model, profile):
    blank = with_prompts(profile, lambda p: dataclasses.replace(p, span=None) if p.id == "gratitude-002" else p)
    with pytest.raises(ProfileError, match="cannot be aligned"):
        patch(model, blank, "1:2", concepts="gratitude")


def test_patterns_need_prompts_that_match_token_by_token(model, profile):
    def lengthen(p):
        if p.id != "gratitude-002":
            return p
        start, end = p.span
        return dataclasses.replace(p, text=p.text[:start] + "grateful " + p.text[start:], span=(start, end + 9))

    longer = with_prompts(profile, lengthen)
    with pytest.raises((RequestError, ProfileError), match=r"token|place"):
        patch(model, longer, "1:2", concepts="gratitude", what="pattern", n_random=0)
    assert patch(model, longer, "1:2", concepts="gratitude", n_random=0).record["pairs"][0]["n_unequal"] == 1


def test_texts_without_room_are_refused_before_any_work(model, profile):
    with pytest.raises(ProfileError, match="longer than the model's context"):
        api.patch(model, profile, "1:2", n_random=0)


@pytest.mark.parametrize("options", [{"samples": 0}, {"temperature": 0.0}, {"greedy": True, "samples": 2}])
def test_sampling_that_cannot_be_is_refused(model, profile, options):
    with pytest.raises(RequestError, match=r"cannot be|greedy text"):
        patch(model, profile, "1:2", **options)


def test_generated_tokens_need_a_readout(model, profile):
    with pytest.raises(RequestError, match="no readouts"):
        patch(model, dataclasses.replace(profile, readouts=()), "1:2", target="generated")


def test_one_control_may_serve_several_prompts(model, profile):
    shared = with_prompts(
        profile,
        lambda p: dataclasses.replace(p, pair="neutral-000") if p.id in ("gratitude-000", "gratitude-008") else p,
    )
    result = patch(model, shared, "1:2", concepts="gratitude", directions="sufficiency", n_random=0)
    own = result.table[(result.table["outcome"] == PRIMARY) & (result.table["compared_with"] == "control_patch")]
    assert own["n_prompts"].tolist() == [8]


def test_a_given_prompt_is_put_into_every_target(model, profile):
    result = patch(model, profile, "1:2", concepts="gratitude", source="gratitude-000", n_random=0)
    assert set(result.table["direction"]) == {"sufficiency"}
    own = result.table[(result.table["outcome"] == PRIMARY) & (result.table["compared_with"] == "control_patch")]
    assert own["estimate"].iloc[0] > 2.0


def test_alpha_zero_is_no_change_at_all(model, profile):
    result = patch(model, profile, "1:2", concepts="gratitude", alpha=0.0, n_random=0)
    for direction in ("sufficiency", "necessity"):
        array = result.values[f"patched_{direction}_gratitude"]
        known = ~np.isnan(array.values)
        assert np.allclose(
            array.values[known],
            np.broadcast_to(result.values["baseline"].values, array.shape)[known],
            atol=nats_error(model),
        )
    assert (result.table.loc[result.table["outcome"] == PRIMARY, "estimate"].abs() < effect_error(model)).all()


def test_the_same_request_gives_the_same_numbers(model, profile):
    first, again = (patch(model, profile, "1:2,2:0", seed=5, n_random=3) for _ in range(2))
    for name in first.tables:
        assert first.tables[name].equals(again.tables[name])


@pytest.mark.parametrize("heads", ["*", "1:2,2:0"])
def test_the_forecast_of_patching_is_what_patching_does(model, profile, heads):
    """Token for token; beside it stand the sources, which run at most once for each target and kind of patch."""
    each = heads == "*"
    study = Study(model, profile, concepts="gratitude")
    counted = forecast_patch(study, model.head_set(heads), PatchRequest(each=each, n_random=3))
    tokens = {stage.stage: stage.tokens for stage in counted.stages if not stage.is_bound}
    assert list(tokens) == ["unpatched", "patching: gratitude, sufficiency", "patching: gratitude, necessity"]
    record = patch(model, profile, heads, concepts="gratitude", n_random=3).record
    assert sum(tokens.values()) == record["n_forward_tokens"]
    assert any("random sets" in stage.stage for stage in counted.stages) == (not each)
    # Of a run that patches every head, with pairs of equal length only, which all of these are.
    run = forecast_run(study, RunRequest(edits=["mean"], complete=True)).exact
    alone = forecast_patch(study, model.head_set("*"), PatchRequest(each=True)).stages
    assert {stage.stage: stage.tokens for stage in run.stages}["patching"] == sum(
        stage.tokens for stage in alone if stage.stage.startswith(("patching", "sources"))
    )
