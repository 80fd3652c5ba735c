"""The bundled tasks on a real model: what the assay says, and the largest effects against an independent loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.smollm2 import NotAtHandError, gguf_file
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile
from headscope.study import Study
from headscope.terms import ANSWERS
from headscope.verbs.attribute import attribute
from tests.laws import oracles
from tests.small_tasks import log_odds_alone

N_LARGEST, AGREED_NATS = 10, 1e-3

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> HeadModel:
    try:
        return load_model(gguf_file())
    except NotAtHandError as absent:
        pytest.skip(str(absent))


def one_a_template(profile: Profile) -> Profile:
    """The first prompt of each template, with its partner."""
    first: dict[str | None, str] = {}
    for prompt in profile.prompts:
        if prompt.concept != profile.control:
            first.setdefault(prompt.template, prompt.id)
    kept = {*first.values(), *(one.pair for one in profile.prompts if one.id in first.values())}
    return replace(profile, prompts=tuple(prompt for prompt in profile.prompts if prompt.id in kept))


@pytest.mark.parametrize("task", ["ioi", "agreement", "capitals"])
def test_the_largest_effects_are_those_of_zeroed_rows(model: HeadModel, task: str) -> None:
    profile = one_a_template(load_profile(task))
    found = attribute(Study(model, profile), verify=N_LARGEST)
    assay = found.tables["assay"].iloc[0]
    assert bool(assay["shown"]) == (assay["ci_low"] > 0.0)  # it passes, or the run says that the model cannot
    effects = found.tables["effects"]
    zero = effects[(effects["edit"] == "zero") & (effects["outcome"] == ANSWERS)]
    assert len(zero) == N_LARGEST
    prompts = [prompt for prompt in profile.prompts if prompt.concept == task]
    before = [alone(model, model.hf, prompt) for prompt in prompts]
    sizes = {at: one.head_size for at, one in model.anatomy.layers.items()}
    for row in zero.to_dict("records"):
        without = oracles.without_heads(model.hf, [(int(row["layer"]), int(row["head"]))], sizes)
        after = [alone(model, without, prompt) for prompt in prompts]
        assert row["estimate"] == pytest.approx(float(np.mean(np.subtract(after, before))), abs=AGREED_NATS)


def alone(model: HeadModel, hf: torch.nn.Module, prompt: object) -> float:
    return log_odds_alone(lambda ids: oracles.logits(hf, ids), model.tokenizer, prompt, model.bos_token_id)  # type: ignore[arg-type]
