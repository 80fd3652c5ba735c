"""Real checkpoints: gradients are slopes, and parts add up to the logits, with trained weights too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headscope.heads import HeadSet
from headscope.measure.direct import measure_direct
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedPasses
from headscope.measure.gradients import GradientPasses
from headscope.models.loading import load_model
from tests.tolerances import pass_error
from tests.unit.measure.made_up import JOY, made_up

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("name", ["stories260K", "chat-gpt2-3M"])
def test_real_weights_obey_the_laws_of_attribution(shared: Path, name: str) -> None:
    model = load_model(shared / "models" / name, device="cpu")
    asked = made_up(model)
    direct = measure_direct(model, asked.prompts, asked.log_odds, states=asked.states, batch_tokens=512)
    assert direct.additivity_error < pass_error(model)
    passes = GradientPasses(
        model, asked.prompts, asked.log_odds, states=asked.states, partners=asked.partners, batch_tokens=512
    )
    fast = passes.measure(steps=16)
    assert np.abs(fast.completeness_error).max() < 0.02 * np.abs(fast.all_edited).max()
    # The last layer's heads act on the log-odds nearly as the slope says; every head of it, against the exact edit.
    last = len(model.anatomy) - 1
    arms = [Arm(HeadSet((head,)), "mean") for head in model.head_set(f"{last}:*")]
    forced = ForcedPasses(
        model, asked.prompts, asked.outcomes, damage_on=frozenset(), states=asked.states, batch_tokens=512
    )
    outcomes = forced.measure(arms)
    exact = outcomes.change(JOY).T
    assert np.corrcoef(fast.attribution_patching[:, last].ravel(), exact.ravel())[0, 1] > 0.9
