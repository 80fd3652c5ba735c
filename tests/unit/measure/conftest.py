"""The bundled model asked about a few prompts, ready for edited passes; a tiny model in float64."""

import pytest

from headscope.heads import HeadSet, every_head
from headscope.measure.edits import Arm, ControlStates
from headscope.measure.forced import ForcedPasses
from headscope.measure.layout import encoder_of, lay_out
from headscope.measure.lexicons import concept_tokens
from headscope.measure.outcomes import fixed_text_outcomes
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from tests.laws.families import make, word_tokenizer

TEMPLATES = ("t01", "t08", "t15")
KINDS = ("mean", "zero")


@pytest.fixture(scope="package")
def model():
    return load_model("demo")


@pytest.fixture(scope="package")
def passes_of(model):
    """Makes equal objects, as two machines would; batches of two prompts or so."""
    profile = load_profile("baseline")
    prompts = [prompt for prompt in profile.prompts if prompt.template in TEMPLATES]
    asked = lay_out(model, prompts, profile.readouts, {prompt.id: prompt.template for prompt in prompts})
    controls = [one for one in asked if one.concept == profile.control]
    encoder = encoder_of(model)
    lexicons = [concept_tokens(encoder, profile, tuple(profile.concepts), text) for text in profile.readouts]

    def make(batch_tokens=1024, *, damage=True):
        states = ControlStates(model, controls, kinds=KINDS, seed=0, batch_tokens=1024)
        damage_on = frozenset(one.id for one in controls if damage)
        return ForcedPasses(
            model, asked, fixed_text_outcomes(lexicons), damage_on=damage_on, states=states, batch_tokens=batch_tokens
        )

    return make


@pytest.fixture(scope="package")
def arms(model):
    return [Arm(HeadSet((head,)), kind) for kind in KINDS for head in every_head(model.heads_per_layer)[::3]]


@pytest.fixture(scope="package", params=["gpt2", "gpt_neox"])
def exact_model(request):
    """Three layers of four heads in float64, so that differences of outcomes are derivatives.

    Loaded, and proved, in float32 first. Families with an RMSNorm compute it in float32 whatever they are.
    """
    model = load_model(make(request.param), tokenizer=word_tokenizer(), device="cpu")
    model.hf.double()
    return model
