"""Direct effects against a slow way: one prompt, one head, the final norm replaced by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from headscope.errors import ModelError, WorkError
from headscope.heads import Head
from headscope.measure.direct import measure_direct
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.models.residual import find_residual
from tests.laws import oracles
from tests.laws.families import make, word_tokenizer
from tests.unit.measure.made_up import CONTROL, LEXICON, MadeUp, made_up


def direct(model: HeadModel, asked: MadeUp, batch_tokens: int = 512):
    return measure_direct(model, asked.prompts, asked.lexicons, states=asked.states, batch_tokens=batch_tokens)


def log_odds(logits: torch.Tensor) -> float:
    logits = logits.double()
    return float(logits[list(LEXICON)].logsumexp(-1) - logits[list(CONTROL)].logsumexp(-1))


@pytest.mark.parametrize("family", ["gpt2", "llama", "granite", "gptj"])
def test_the_direct_effect_of_a_head_is_what_the_head_alone_changes_behind_a_frozen_norm(family: str) -> None:
    model = load_model(make(family), tokenizer=word_tokenizer(), device="cpu")
    asked = made_up(model)
    found = direct(model, asked).effect
    norm, multiplier = find_residual(model).norm, find_residual(model).multiplier
    for head in (Head(0, 0), Head(1, 3), Head(2, 2)):
        module = oracles.projection(model.hf, head.layer)
        changes = []
        for sequence in asked.prompts[0].sequences:
            mean = torch.from_numpy(asked.states.values("mean", asked.prompts[0], head.layer, None))[0, head.head]
            caught: dict[str, torch.Tensor] = {}
            handles = [
                module.register_forward_pre_hook(lambda _, args, caught=caught: caught.update(z=args[0])),
                norm.module.register_forward_hook(lambda _, args, out, caught=caught: caught.update(x=args[0], y=out)),
            ]
            before = log_odds(oracles.logits(model.hf, sequence.ids)[-1])
            for handle in handles:
                handle.remove()
            z = caught["z"][:, -1:].clone()
            place = slice(head.head * 8, head.head * 8 + 8)
            z[..., place] = mean.float()
            delta = multiplier * (module(z) - module(caught["z"][:, -1:])).double()
            y = caught["y"].double()
            if norm.centered:
                delta = delta - delta.mean(-1, keepdim=True)
            variance = (
                caught["x"][0, -1].double().var(unbiased=False)
                if norm.centered
                else caught["x"][0, -1].double().square().mean()
            )
            weight = norm.module.weight.detach().double()
            y[:, -1:] += weight * delta / variance.sqrt()
            handle = norm.module.register_forward_hook(lambda *_, y=y: y.float())
            changes.append(log_odds(oracles.logits(model.hf, sequence.ids)[-1]) - before)
            handle.remove()
        expected = float(np.mean(changes))
        assert abs(found[0, head.layer, head.head] - expected) < 1e-3 * max(1.0, abs(expected)), head


def test_direct_effects_do_not_depend_on_the_batch_or_on_how_rows_are_laid(exact_model: HeadModel) -> None:
    packed, alone = direct(exact_model, made_up(exact_model, pack=True)), direct(exact_model, made_up(exact_model), 1)
    for name in ("heads", "effect", "feed_forward", "attention_bias", "embedding", "bias", "total"):
        assert np.allclose(getattr(packed, name), getattr(alone, name), atol=1e-9), name
    assert packed.additivity_error < 1e-10


class _Squared(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.abs().mean(-1, keepdim=True) + x**3


def test_a_final_module_that_is_no_norm_is_refused_by_its_name() -> None:
    hf = make("gpt2")
    hf.transformer.ln_f = _Squared()
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    with pytest.raises(ModelError, match="_Squared, is no such norm"):
        find_residual(model)


def test_a_sum_that_misses_something_is_an_error_not_a_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check at work: a projection's bias is left out of the sum."""
    model = load_model(make("gpt2"), tokenizer=word_tokenizer(), device="cpu")
    import headscope.measure.direct as room

    whole = room.attention_writes
    monkeypatch.setattr(room, "attention_writes", lambda *given: (whole(*given)[0], 0 * whole(*given)[1]))
    with pytest.raises(WorkError, match="do not add up"):
        direct(model, made_up(model))
