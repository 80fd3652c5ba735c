"""Scaling and adding at chosen tokens: nothing but what was asked for moves, wherever a prompt lies in a batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headscope import api
from headscope.heads import HeadSet
from headscope.measure.edits import Arm, places_of
from headscope.measure.head_outputs import head_outputs, places_from
from headscope.measure.steering import SteeredText, SteerStates
from headscope.models.batches import batch_of
from headscope.models.blocks import watching_stream
from headscope.models.editing import watching_z
from headscope.models.running import run_hidden
from headscope.profiles.loading import load_profile
from headscope.terms import PRIMARY, RESIDUAL
from tests.tolerances import close, effect_error, nats_error

HEADS = "1:0,3:3"


@pytest.fixture(scope="module")
def study(model):
    profile = load_profile("baseline")
    kept = {"t01", "t08", "t15"}
    some = replace(profile, prompts=tuple(one for one in profile.prompts if one.template in kept))
    return api.Study(model, some, concepts="gratitude")


@pytest.fixture(scope="module")
def vectors(model):
    rng = np.random.default_rng(0)
    return {layer: rng.standard_normal((2, one.n_heads, one.head_size)) for layer, one in model.anatomy.layers.items()}


def states_of(study, vectors, *, scope="all", first=3):
    texts = {one.id: SteeredText(i % 2, first) for i, one in enumerate(study.layouts)}
    stream = {layer: values.reshape(2, -1) for layer, values in vectors.items()}
    return SteerStates(study.model, {"given": vectors, "stream": stream}, texts, scope=scope)


def measured(study, arms, states=None):
    return replace(study.stage("steering", arms), states=states).run()


def arm_of(model, kind, dose, vector="", heads=HEADS):
    return Arm(model.head_set(heads), kind, dose, vector)


def test_a_factor_of_0_is_zero_and_of_1_nothing_bit_for_bit(study, vectors, model):
    """Arms of one stage lie in one batch, so the same numbers come from the same operations."""
    zero = measured(study, [Arm(model.head_set(HEADS), "zero")])
    scaled = measured(study, [arm_of(model, "scale", 0.0)], states_of(study, vectors))
    for name, values in zero.edited.items():
        assert np.array_equal(values, scaled.edited[name], equal_nan=True), name
    for kind, dose, vector in (("scale", 1.0, ""), ("add", 0.0, "given"), (RESIDUAL, 0.0, "stream")):
        same = measured(study, [arm_of(model, kind, dose, vector)], states_of(study, vectors))
        none = measured(study, [arm_of(model, "scale", 1.0)], states_of(study, vectors))
        for name, values in none.edited.items():
            assert np.array_equal(values, same.edited[name], equal_nan=True), (kind, name)
        assert np.abs(same.change(f"{PRIMARY}:gratitude")).max() <= effect_error(model)


@pytest.mark.parametrize("scope", ["all", "from_span", "generated"])
def test_z_is_what_was_asked_for_at_the_tokens_of_the_scope_and_untouched_elsewhere(study, vectors, model, scope):
    layouts, states = study.layouts[:4], states_of(study, vectors, scope=scope)
    rows = [one.rows[0] for one in layouts]
    batch = batch_of(rows, model.device)
    arms = [None, arm_of(model, "add", 2.5, "given"), arm_of(model, "scale", -1.5), arm_of(model, "add", -1.0, "given")]
    edit_rows = [(arm, one, places_of(one, 0, batch.width)) for arm, one in zip(arms, layouts, strict=True)]

    def seen(*, edited):
        found = {}
        with torch.no_grad():
            if edited:
                with states.edited(edit_rows), watching_z(model, lambda layer, z: found.update({layer: z.clone()})):
                    run_hidden(model, batch)
            else:
                with watching_z(model, lambda layer, z: found.update({layer: z.clone()})):
                    run_hidden(model, batch)
        return found

    before, after = seen(edited=False), seen(edited=True)
    layer = 1  # the lowest that is edited: below and in it nothing has changed but what was asked for
    for b, (arm, layout) in enumerate(zip(arms, layouts, strict=True)):
        positions = rows[b].positions
        first = {"all": 0, "from_span": 3, "generated": layout.n_prompt}[scope]
        for t, position in enumerate(positions):
            expected = before[layer][b, t].clone()
            if arm is not None and position >= first:
                value = torch.from_numpy(vectors[layer][b % 2, 0]).float()
                expected[0] = expected[0] * arm.dose if arm.kind == "scale" else expected[0] + arm.dose * value
            assert close(after[layer][b, t], expected, model), (b, t)


def test_the_stream_is_pushed_behind_the_layer_and_nowhere_below(study, vectors, model):
    layouts, states = study.layouts[:2], states_of(study, vectors)
    batch = batch_of([one.rows[0] for one in layouts], model.device)
    arm = arm_of(model, RESIDUAL, 2.0, "stream", heads="2:0")
    edit_rows = [
        (None, layouts[0], places_of(layouts[0], 0, batch.width)),
        (arm, layouts[1], places_of(layouts[1], 0, batch.width)),
    ]

    def streams(*, edited):
        found = {}
        with torch.no_grad():
            if edited:
                with (
                    states.edited(edit_rows),
                    watching_stream(model, lambda n, s: found.update({n: s.clone()}), [1, 2]),
                ):
                    run_hidden(model, batch)
            else:
                with watching_stream(model, lambda n, s: found.update({n: s.clone()}), [1, 2]):
                    run_hidden(model, batch)
        return found

    before, after = streams(edited=False), streams(edited=True)
    assert torch.equal(before[1], after[1])
    assert torch.equal(before[2][0], after[2][0])
    pushed = 2.0 * torch.from_numpy(vectors[2].reshape(2, -1)[1]).float()
    n = len(layouts[1].rows[0])
    assert close(after[2][1, :n], before[2][1, :n] + pushed, model)


def test_packed_or_not_and_beside_whom_changes_no_effect(study, vectors, model):
    arms = [arm_of(model, "add", 2.0, "given"), arm_of(model, "scale", 3.0), arm_of(model, RESIDUAL, 1.0, "stream")]
    apart = api.Study(model, study.profile, concepts="gratitude", pack=False, batch_tokens=64)
    for scope in ("all", "from_span", "generated"):
        one, other = (measured(each, arms, states_of(each, vectors, scope=scope)) for each in (study, apart))
        for name, values in one.edited.items():
            if "logodds" in name:
                assert np.abs(values - other.edited[name]).max() <= 2 * nats_error(model)


def test_arms_with_other_values_never_share_a_beginning(study, vectors, model):
    arm, layout, other = arm_of(model, "add", 2.0, "given"), *study.layouts[:2]
    for scope in ("all", "from_span"):
        states = states_of(study, vectors, scope=scope)
        assert states.depends_on(arm, layout) != states.depends_on(arm, other)  # of different folds
        assert states.depends_on(None, layout) == states.depends_on(None, other)


def test_places_are_each_token_once_and_what_heads_put_out_there_is_kept(study, model):
    apart = api.Study(model, study.profile, concepts="gratitude", pack=False)
    kept = []
    for each in (study, apart):
        first = [3] * len(each.layouts)
        outputs = head_outputs(model, each.layouts, first, layers=[0, 2], batch_tokens=512)
        for layout, tokens in zip(each.layouts, outputs.tokens[2], strict=True):
            distinct = {tuple(s.ids[: i + 1]) for s in layout.sequences for i in range(3, len(s))}
            assert len(tokens) == len(distinct) == sum(map(len, places_from(layout, 3)))
        kept.append(outputs.means)
    for layer in (0, 2):
        assert close(kept[0][layer], kept[1][layer], model)


def test_an_arm_says_its_dose_to_the_last_bit():
    heads = HeadSet.parse("1:0", (4, 4))
    third = Arm(heads, "add", 1 / 3, "probe")
    assert str(third) == f"add(1:0; probe {1 / 3!r})"
    assert str(Arm(heads, "zero")) == "zero(1:0)"
