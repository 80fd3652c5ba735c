"""A GPU gives what a processor gives: where heads look, what happens without them, and what is written."""

import pytest
import torch

from headscope.heads import Head, HeadSet
from headscope.measure.attention import Probe, read_probes
from headscope.measure.edits import Arm, ControlStates
from headscope.measure.generation import TextPasses
from headscope.measure.layout import lay_out
from headscope.measure.sampling import Sampling
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from tests.tolerances import close

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]


def measured(device: str):
    model = load_model("demo", device=device, dtype="float32")
    prompts = load_profile("baseline").prompts
    asked = lay_out(model, prompts, (), {prompt.id: prompt.template for prompt in prompts})
    controls = [one for one in asked if one.concept == load_profile("baseline").control]
    states = ControlStates(model, controls, kinds=("mean",), seed=0, batch_tokens=512)
    sequences = [one.tokens.ids for one in asked]
    probes = [Probe(index, (len(ids) - 1,), (1,)) for index, ids in enumerate(sequences)]
    attention = read_probes(model, sequences, probes, batch_tokens=512, pack=True)["attention"]
    arms = [None, Arm(HeadSet((Head(2, 1),)), "mean"), Arm(HeadSet((Head(1, 0),)), "zero")]
    sampling = Sampling(max_tokens=8, greedy=True)
    return attention, TextPasses(model, asked[:20], arms, sampling, states=states, batch_tokens=512).write()


def test_a_gpu_gives_what_a_processor_gives():
    (attention, texts), (expected, same_texts) = measured("cuda"), measured("cpu")
    assert close(attention, expected, load_model("demo"))
    pairs = [(a, b) for one, other in zip(texts, same_texts, strict=True) for a, b in zip(one, other, strict=True)]
    assert sum(a == b for a, b in pairs) >= 0.95 * len(pairs), "greedy ties may fall otherwise, no more"
