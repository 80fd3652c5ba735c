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
from tests.tolerances import FLOAT64, effect_error
from tests.unit.measure.made_up import CONTROL, LEXICON, MadeUp, made_up

AFTER_ATTENTION = dict.fromkeys(
    ("olmo2", "gemma2", "gemma3"), lambda hf, layer: hf.model.layers[layer].post_attention_layernorm
)


def direct(model: HeadModel, asked: MadeUp, batch_tokens: int = 512):
    return measure_direct(model, asked.prompts, asked.log_odds, states=asked.states, batch_tokens=batch_tokens)


def log_odds(logits: torch.Tensor) -> float:
    logits = logits.double()
    return float(logits[list(LEXICON)].logsumexp(-1) - logits[list(CONTROL)].logsumexp(-1))


@pytest.mark.parametrize("family", ["gpt2", "llama", "granite", "gptj", "olmo2", "gemma2", "gemma3"])
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
            between = AFTER_ATTENTION[family](model.hf, head.layer) if family in AFTER_ATTENTION else None
            if between is not None:
                handles.append(
                    between.register_forward_hook(
                        lambda _, args, out, caught=caught: caught.update(given=args[0], gave=out)
                    )
                )
            before = log_odds(oracles.logits(model.hf, sequence.ids)[-1])
            for handle in handles:
                handle.remove()
            z = caught["z"][:, -1:].clone()
            size = model.anatomy.layers[head.layer].head_size
            place = slice(head.head * size, (head.head + 1) * size)
            z[..., place] = mean.float()
            delta = multiplier * (module(z) - module(caught["z"][:, -1:])).double()
            if between is not None:  # an RMSNorm multiplies each coordinate by what it multiplied the sum by
                delta *= (caught["gave"][:, -1:] / caught["given"][:, -1:]).double()
            x, y = caught["x"][:, -1:].double(), caught["y"].double()
            if norm.centered:
                delta = delta - delta.mean(-1, keepdim=True)
                y[:, -1:] += norm.module.weight.detach().double() * delta / x.var(unbiased=False).sqrt()
            else:
                y[:, -1:] += delta * y[:, -1:] / x
            handle = norm.module.register_forward_hook(lambda *_, y=y: y.float())
            changes.append(log_odds(oracles.logits(model.hf, sequence.ids)[-1]) - before)
            handle.remove()
        expected = float(np.mean(changes))
        assert abs(found[0, head.layer, head.head] - expected) < effect_error(model), head


def test_direct_effects_do_not_depend_on_the_batch_or_on_how_rows_are_laid(exact_model: HeadModel) -> None:
    packed, alone = direct(exact_model, made_up(exact_model, pack=True)), direct(exact_model, made_up(exact_model), 1)
    for name in ("heads", "effect", "feed_forward", "attention_bias", "embedding", "bias", "total"):
        assert np.allclose(getattr(packed, name), getattr(alone, name), atol=FLOAT64), name
    assert packed.additivity_error < FLOAT64


class _Squared(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.abs().mean(-1, keepdim=True) + x**3


def test_a_final_module_that_is_no_norm_is_refused_by_its_name() -> None:
    hf = make("gpt2")
    hf.transformer.ln_f = _Squared()
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    with pytest.raises(ModelError, match="_Squared, is no such norm"):
        find_residual(model)


@pytest.mark.parametrize("family", ["llama", "olmo2"])
def test_a_function_between_heads_and_stream_that_is_no_norm_is_refused_with_its_layer(family: str) -> None:
    hf = make(family)
    hf.model.layers[1].self_attn.register_forward_hook(lambda _, args, out: (torch.tanh(out[0]), *out[1:]))
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    with pytest.raises(ModelError, match="layer 1 adds something else"):
        find_residual(model)


def test_a_module_after_attention_that_is_no_norm_is_refused_by_its_name() -> None:
    hf = make("olmo2")
    hf.model.layers[1].post_attention_layernorm = _Squared()
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    with pytest.raises(ModelError, match="_Squared, is no such norm"):
        find_residual(model)


def test_a_function_of_the_logits_that_is_no_soft_cap_is_refused() -> None:
    hf = make("llama")
    hf.register_forward_hook(lambda _, args, out: out.__setitem__("logits", out.logits / (1.0 + out.logits.abs())))
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    with pytest.raises(ModelError, match="a function that is no soft cap"):
        find_residual(model)


def test_a_sum_that_misses_something_is_an_error_not_a_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check at work: a projection's bias is left out of the sum."""
    model = load_model(make("gpt2"), tokenizer=word_tokenizer(), device="cpu")
    import headscope.measure.direct_parts as room

    whole = room.attention_writes
    monkeypatch.setattr(room, "attention_writes", lambda *given: (whole(*given)[0], 0 * whole(*given)[1]))
    with pytest.raises(WorkError, match="do not add up"):
        direct(model, made_up(model))
