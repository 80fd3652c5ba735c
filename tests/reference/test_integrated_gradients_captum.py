"""Integrated gradients along z against captum's, where captum is installed (``pip install --no-deps captum``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from headscope.measure.gradients import GradientPasses
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from tests.laws.families import make, word_tokenizer
from tests.unit.measure.made_up import CONTROL, LEXICON, MadeUp, made_up

STEPS = 24  # both rules have long converged; their nodes differ
PROJECTIONS: dict[str, Callable[[Any], list[torch.nn.Module]]] = {
    "gpt2": lambda hf: [block.attn.c_proj for block in hf.transformer.h],
    "llama": lambda hf: [block.self_attn.o_proj for block in hf.model.layers],
}


def outcome_of_strengths(family: str, model: HeadModel, asked: MadeUp, p: int) -> Callable[[Tensor], Tensor]:
    """[N] log-odds of [N, L, H] strengths; z' = (1 - a) z + a mean, by hooks on the projections' inputs."""
    prompt, L = asked.prompts[p], len(model.anatomy)
    means = [torch.from_numpy(asked.states.values("mean", prompt, layer, None))[0] for layer in range(L)]

    def outcome(strengths: Tensor) -> Tensor:
        def hook(layer: int) -> Callable[..., Any]:
            def edit(_: torch.nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                z = args[0].unflatten(-1, means[layer].shape)
                a = strengths[:, None, layer, :, None]
                return (((1.0 - a) * z + a * means[layer]).flatten(-2), *args[1:])

            return edit

        handles = [
            module.register_forward_pre_hook(hook(layer)) for layer, module in enumerate(PROJECTIONS[family](model.hf))
        ]
        try:
            each = []
            for sequence in prompt.sequences:
                ids = torch.tensor([list(sequence.ids)]).expand(len(strengths), -1)
                logits = model.hf(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[:, -1]
                each.append(logits[:, LEXICON].logsumexp(-1) - logits[:, CONTROL].logsumexp(-1))
            return torch.stack(each).mean(0)
        finally:
            for handle in handles:
                handle.remove()

    return outcome


@pytest.mark.parametrize("family", list(PROJECTIONS))
def test_integrated_gradients_and_what_they_miss_equal_captums(family: str) -> None:
    captum = pytest.importorskip("captum.attr", reason="captum is not installed")
    model = load_model(make(family), tokenizer=word_tokenizer(), device="cpu")
    model.hf.double()
    asked = made_up(model)
    passes = GradientPasses(model, asked.prompts, asked.log_odds, states=asked.states, partners={}, batch_tokens=512)
    found = passes.measure(steps=STEPS)
    for p in range(len(asked.prompts)):
        whole = torch.ones(1, *found.integrated_gradient.shape[1:], dtype=torch.float64)
        given, missed = captum.IntegratedGradients(outcome_of_strengths(family, model, asked, p)).attribute(
            whole, torch.zeros_like(whole), method="gausslegendre", n_steps=STEPS, return_convergence_delta=True
        )
        assert np.abs(given.numpy()).max() > 0.01
        assert np.abs(found.integrated_gradient[p] - given[0].numpy()).max() < 1e-6
        assert abs(found.completeness_error[p] - float(missed)) < 1e-6
