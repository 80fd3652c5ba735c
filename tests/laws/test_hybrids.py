"""Layers without heads keep their numbers: nothing is read or edited there, and what is beside them is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedModel

from headscope.errors import RequestError
from headscope.heads import HeadSet, every_head
from headscope.measure.attention import Probe, read_probes
from headscope.measure.edit_kinds import EDIT_KINDS
from headscope.measure.edits import Arm, ArmValues, ControlStates
from headscope.measure.forced import ForcedPasses
from headscope.measure.generation import TextPasses
from headscope.measure.outcomes import fixed_text_outcomes
from headscope.measure.sampling import Sampling
from headscope.models.editing import LayerEdit, editing
from headscope.models.head_model import HeadModel
from headscope.stats.nulls import draw_disjoint_sets
from tests.end_to_end.conftest import type_command
from tests.laws import oracles
from tests.laws.families import loaded, make, sequences, word_tokenizer
from tests.laws.test_lengths import TOLERANCE, asked_alone, log_odds
from tests.unit.measure.made_up import JOY, lexicons, made_up

SHAPE = [0, 4, 0, 4]


@pytest.fixture(scope="module", params=["jamba", "nemotron_h", "lfm2"])
def model(request: pytest.FixtureRequest) -> HeadModel:
    return loaded(request.param)


def plain(model: HeadModel, heads: HeadSet) -> PreTrainedModel:
    """Plain transformers with the heads' rows of W_O at zero, in the layers the family itself numbers so."""
    hf = make(model.hf.config.model_type)
    return oracles.without_heads(hf, [(head.layer, head.head) for head in heads], 8)


def test_a_layers_number_is_the_models_own(model: HeadModel) -> None:
    assert list(model.heads_per_layer) == SHAPE
    assert model.anatomy.without_heads == (0, 2)
    kinds = model.hf.config.layer_types
    assert [n for n, kind in enumerate(kinds) if kind == "full_attention"] == list(model.anatomy.layers)
    record = model.describe()
    assert (record["n_layers"], record["heads_per_layer"], record["layers_without_heads"]) == (4, SHAPE, [0, 2])


def test_a_layer_without_heads_cannot_be_named(model: HeadModel) -> None:
    assert len(model.head_set("*")) == 8
    for spec in ("0:1", "2:*", "L0H1"):
        with pytest.raises(RequestError, match="has no attention heads") as caught:
            model.head_set(spec)
        assert "one of layers 1, 3" in str(caught.value)
    with pytest.raises(RequestError, match="does not exist"):
        model.head_set("4:0")
    with pytest.raises(RequestError, match="layer 2 has no attention heads"), editing(model, {2: LayerEdit(None)}):  # type: ignore[arg-type]
        pass


def test_random_sets_come_from_layers_that_have_heads() -> None:
    drawn = draw_disjoint_sets(SHAPE, HeadSet.parse("1:0,3:2", SHAPE), n_sets=3, seed=0)
    assert {head.layer for one in drawn.sets for head in one} == {1, 3}


def test_nothing_is_read_where_there_are_no_heads(model: HeadModel) -> None:
    rows = sequences()
    probes = [Probe(index, (len(ids) - 1,), (1, 2)) for index, ids in enumerate(rows)]
    found = read_probes(model, rows, probes, batch_tokens=512, pack=True)["attention"]
    eager = make(model.hf.config.model_type, attention="eager")
    assert np.isnan(found[:, [0, 2]]).all()
    for values, ids in zip(found, rows, strict=True):
        expected = oracles.attentions(eager, ids)[:, :, -1, [1, 2]].sum(-1)
        assert np.allclose(values[[1, 3]], expected.numpy(), atol=TOLERANCE)


def test_a_sweep_of_every_head_is_plain_transformers_without_it(model: HeadModel) -> None:
    """Passes begin at the edited block, so that the layers without heads below it run once."""
    assert model.skips_lower_blocks
    asked = made_up(model)
    arms = [Arm(HeadSet((head,)), "zero") for head in every_head(model.heads_per_layer)]
    passes = ForcedPasses(
        model,
        asked.prompts,
        fixed_text_outcomes(lexicons()),
        damage_on=frozenset(),
        states=asked.states,
        batch_tokens=512,
    )
    found = passes.measure(arms)
    for arm, values in zip(arms, found.edited[JOY][:, 0], strict=True):
        hf = plain(model, arm.heads)
        expected, bounds = zip(
            *(log_odds(oracles.logits(hf, one.ids)[-1]) for one in asked.prompts[0].sequences), strict=True
        )
        assert abs(values - np.mean(expected)) <= np.mean(bounds), arm
    states = ControlStates(
        model, asked.controls, kinds=[kind for kind in EDIT_KINDS if kind != "bos"], seed=0, batch_tokens=512
    )
    every = [Arm(HeadSet.parse("*", model.heads_per_layer), kind) for kind in EDIT_KINDS if kind != "bos"]
    changed = ForcedPasses(
        model, asked.prompts, fixed_text_outcomes(lexicons()), damage_on=frozenset(), states=states, batch_tokens=512
    ).measure(every)
    assert np.isfinite(changed.edited[JOY]).all()


def test_texts_that_end_at_different_times_go_on_as_each_alone(model: HeadModel) -> None:
    """A row that has ended leaves the batch, and with it its recurrent states."""
    prompts = [asked_alone(f"p{index}", ids) for index, ids in enumerate(sequences())]
    heads = HeadSet.parse("1:0,3:2", SHAPE)
    sampling = Sampling(max_tokens=6, samples=1, greedy=True)
    models = {None: make(model.hf.config.model_type), Arm(heads, "zero"): plain(model, heads)}
    whole = {arm: [oracles.greedy(hf, one.tokens.ids, 6) for one in prompts] for arm, hf in models.items()}
    eos = whole[None][0][2]  # one text at least ends early
    kept = model.hf.generation_config.eos_token_id
    model.hf.generation_config.eos_token_id = eos
    try:
        found = TextPasses(model, prompts, list(models), sampling, states=ArmValues(model), batch_tokens=4000).write()
    finally:
        model.hf.generation_config.eos_token_id = kept
    for arm, texts in zip(models, found, strict=True):
        for text, (sample,) in zip(whole[arm], texts, strict=True):
            assert list(sample) == (text[: text.index(eos)] if eos in text else text)
    assert len({len(sample) for texts in found for (sample,) in texts}) > 1


def test_check_names_the_layers_without_heads(tmp_path: Path) -> None:
    make("jamba").save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    outcome = type_command("check", tmp_path)
    assert outcome.code == 0
    assert "4 layers x 4 heads" in outcome.out
    assert "layers without attention heads: 0, 2" in outcome.out
