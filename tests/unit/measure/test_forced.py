"""Teacher-forced passes: what a piece gives depends on the piece alone, so pieces may run anywhere, in any order."""

import dataclasses
import pickle

import numpy as np
import pytest

from headscope.heads import HeadSet, every_head
from headscope.measure.asked import ask, encoder_of
from headscope.measure.edits import Arm, ControlStates
from headscope.measure.forced import ForcedOutcomes, ForcedPasses
from headscope.measure.lexicons import concept_tokens
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile

TEMPLATES = ("t01", "t08", "t15")
KINDS = ("mean", "zero")


@pytest.fixture(scope="module")
def model():
    return load_model("demo")


@pytest.fixture(scope="module")
def passes_of(model):
    """Makes equal objects, as two machines would; batches of two prompts or so."""
    profile = load_profile("baseline")
    prompts = [prompt for prompt in profile.prompts if prompt.template in TEMPLATES]
    asked = ask(model, prompts, profile.readouts, {prompt.id: prompt.template for prompt in prompts})
    controls = [one for one in asked if one.concept == profile.control]
    encoder = encoder_of(model)
    lexicons = [concept_tokens(encoder, profile, tuple(profile.concepts), text) for text in profile.readouts]

    def make(batch_tokens=1024):
        states = ControlStates(model, controls, kinds=KINDS, seed=0, batch_tokens=1024)
        damage_on = frozenset(one.id for one in controls)
        return ForcedPasses(model, asked, lexicons, damage_on=damage_on, states=states, batch_tokens=batch_tokens)

    return make


@pytest.fixture(scope="module")
def arms(model):
    return [Arm(HeadSet((head,)), kind) for kind in KINDS for head in every_head(model.heads_per_layer)[::3]]


def same_bits(first: ForcedOutcomes, second: ForcedOutcomes) -> bool:
    names = [field.name for field in dataclasses.fields(ForcedOutcomes)]
    return all(np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True) for name in names)


def test_every_row_meets_every_arm_once(passes_of, arms):
    pieces = passes_of().plan(arms)
    met = [(row, arm) for piece in pieces for row in piece.rows for arm in piece.arms]
    assert len(met) == len(set(met)) == len({row for row, _ in met}) * len(arms)
    assert len(pieces) > 4, "the laws below need several pieces"


def test_bits_do_not_depend_on_who_runs_a_piece_or_when(passes_of, arms):
    here = passes_of().measure(arms)

    def backwards(pieces, run):
        elsewhere = passes_of()
        sent = pickle.loads(pickle.dumps(list(pieces)))
        results = [elsewhere.run(piece, arms) for piece in sent[::-1]]
        return iter(results[::-1])

    assert same_bits(here, passes_of().measure(arms, work=backwards))


def test_results_are_plain_arrays(passes_of, arms):
    passes = passes_of()
    result = passes.run(passes.plan(arms)[0], arms)
    assert all(type(value) is np.ndarray and value.dtype == np.float64 for value in result.values())


def test_without_arms_the_unedited_model_is_measured(passes_of, arms):
    alone, beside = passes_of().measure([]), passes_of().measure(arms)
    assert alone.edited.shape[0] == 0
    assert np.allclose(alone.baseline, beside.baseline, atol=1e-5)
    assert np.isfinite(alone.baseline).all()


def test_a_result_too_few_is_refused(passes_of, arms):
    with pytest.raises(ValueError, match="shorter"):
        passes_of().measure(arms, work=lambda pieces, run: map(run, pieces[1:]))
