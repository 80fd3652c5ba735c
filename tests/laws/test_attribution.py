"""Gradients and direct attribution of every family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from headscope.errors import ModelError
from headscope.heads import Head
from headscope.measure.direct import measure_direct
from headscope.measure.gradients import GradientPasses
from headscope.models.batches import Batch
from headscope.models.editing import LayerEdit, editing
from headscope.models.head_model import HeadModel
from headscope.models.residual import find_residual
from headscope.models.running import logits_at
from tests.laws import oracles
from tests.laws.families import FAMILIES, loaded
from tests.tolerances import close, effect_error, pass_error
from tests.unit.measure.made_up import CONTROL, LEXICON, MadeUp, made_up

# A norm between the output projection and the stream, by its name.
AFTER_ATTENTION = {
    **dict.fromkeys(["gemma2", "gemma3", "olmo2", "olmo3", "exaone4"], "post_attention_layernorm"),
    "glm4": "post_self_attn_layernorm",
}
SOFT_CAPS = {"gemma2": 5.0}
RMS_NORMS = {
    *("llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma", "phi3"),
    *("granite", "gpt_oss", "deepseek_v3", "glm4_moe", "smollm3", "ministral", "seed_oss", "llama4_text"),
    *AFTER_ATTENTION,
}
WITHOUT_HEADS = "layers without attention heads"
NOT_PLAIN = {
    **dict.fromkeys(["qwen3_5_text", "qwen3_next", "lfm2", "jamba", "granitemoehybrid", "nemotron_h"], WITHOUT_HEADS),
    "falcon_h1": "adds something else than its heads and one module",  # a state space beside the heads
    "gemma3n_text": "what comes next: something stands between",
    "inkling_text": "InklingShortConvolution, is no such norm",  # after the output projection
    "gemma4_text": "adds something else than its heads and one module",
}


@dataclass
class Case:
    family: str
    model: HeadModel
    asked: MadeUp


@pytest.fixture(scope="module", params=list(FAMILIES))
def case(request: pytest.FixtureRequest) -> Case:
    model = loaded(request.param)
    return Case(request.param, model, made_up(model))


def log_odds(logits: torch.Tensor) -> torch.Tensor:
    logits = logits.double()
    return logits[..., LEXICON].logsumexp(-1) - logits[..., CONTROL].logsumexp(-1)


def last_token(case: Case, module: torch.nn.Module, ids: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """What a module gets and gives at the last token."""
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    handle = module.register_forward_hook(lambda _, args, out: kept.append((args[0], out)))
    oracles.logits(case.model.hf, ids)
    handle.remove()
    given, gave = (one[0, -1].double() for one in kept[0])
    return given, gave


def logits_before_cap(case: Case, ids: Sequence[int]) -> torch.Tensor:
    """[T, V]; where a family has a soft cap, what its output embedding gives."""
    if case.family not in SOFT_CAPS:
        return oracles.logits(case.model.hf, ids)
    kept: list[torch.Tensor] = []
    handle = case.model.hf.get_output_embeddings().register_forward_hook(lambda _, args, out: kept.append(out[0]))
    oracles.logits(case.model.hf, ids)
    handle.remove()
    return kept[0]


def test_a_gradient_is_the_slope_of_the_edited_outcome(case: Case) -> None:
    """float32 (test_gradients.py is exact in float64); a step too small to change an expert.

    A difference of log-odds within ``effect_error`` over two steps of 1e-3; beside it the curvature, a term in step^2.
    """
    passes = GradientPasses(
        case.model, case.asked.prompts, case.asked.log_odds, states=case.asked.states, partners={}, batch_tokens=512
    )
    found = passes.measure(steps=0).gate_gradient
    with_heads = list(case.model.anatomy.layers)
    assert np.isfinite(found[:, with_heads]).all()
    assert np.isnan(found[:, list(case.model.anatomy.without_heads)]).all()
    assert np.nanmax(np.abs(found)) > 0.01, "the gradient under test must not be nothing"
    largest = np.nanmax(np.abs(found))
    for head in (Head(with_heads[0], 1), Head(with_heads[-1], 2)):
        slopes = []
        for step in (1e-3, -1e-3):
            gain = torch.ones(1, 1, case.model.heads_per_layer[head.layer])
            gain[..., head.head] -= step
            values = []
            for sequence in case.asked.prompts[0].sequences:
                batch = Batch.of_chains([sequence.ids])
                with editing(case.model, {head.layer: LayerEdit(gain)}):
                    values.append(
                        log_odds(logits_at(case.model, batch, torch.zeros(1, dtype=torch.long), batch.ends()))
                    )
            slopes.append(float(torch.stack(values).mean()))
        expected = (slopes[0] - slopes[1]) / 2e-3
        assert abs(found[0, head.layer, head.head] - expected) < effect_error(case.model) / 2e-3 + 1e-3 * largest


def test_a_model_whose_stream_is_no_such_sum_is_refused_with_the_place(case: Case) -> None:
    if case.family in NOT_PLAIN:
        with pytest.raises(ModelError, match="direct logit attribution is not defined") as caught:
            find_residual(case.model)
        assert NOT_PLAIN[case.family] in str(caught.value)


def test_parts_add_up_to_the_models_own_logit_difference(case: Case) -> None:
    if case.family in NOT_PLAIN:
        return
    found = measure_direct(
        case.model, case.asked.prompts, case.asked.log_odds, states=case.asked.states, batch_tokens=512
    )
    summed = found.heads.sum(axis=(1, 2)) + found.feed_forward.sum(1) + found.attention_bias.sum(1)
    summed += found.embedding + found.bias
    for p, prompt in enumerate(case.asked.prompts):
        ends = torch.stack([logits_before_cap(case, sequence.ids)[-1] for sequence in prompt.sequences]).double()
        own = float((ends[:, LEXICON].mean(-1) - ends[:, CONTROL].mean(-1)).mean())
        error = 2 * pass_error(case.model) * max(1.0, float(ends.abs().max()))  # two means of logits
        assert abs(found.total[p] - own) < error
        assert abs(summed[p] - own) < error
    assert np.abs(found.heads).max() > 1e-3, "heads must say something for the sum to prove anything"
    residual = find_residual(case.model)
    assert residual.norm.centered == (case.family not in RMS_NORMS)
    assert all((norm is not None) == (case.family in AFTER_ATTENTION) for norm in residual.attention_norms)
    assert residual.soft_cap == pytest.approx(SOFT_CAPS.get(case.family))


def test_what_a_last_layers_head_says_directly_is_its_own_slice_of_the_projection(case: Case) -> None:
    """Contributions against the oracle's head outputs and the norm frozen by autograd, not by our formula."""
    if case.family in NOT_PLAIN:
        return
    found = measure_direct(
        case.model, case.asked.prompts, case.asked.log_odds, states=case.asked.states, batch_tokens=512
    )
    residual, layer = find_residual(case.model), len(case.model.anatomy) - 1
    expected = np.zeros(4)
    for sequence in case.asked.prompts[0].sequences:
        x, y = last_token(case, residual.norm.module, sequence.ids)
        weights = case.model.hf.get_output_embeddings().weight.double() * residual.logit_scale
        u = weights[list(LEXICON)].mean(0) - weights[list(CONTROL)].mean(0)
        scale = ((y - residual.norm.bias) / (residual.norm.weight * residual.norm.center(x))).median()
        heads = oracles.head_outputs(case.model.hf, sequence.ids, layer, 4)[-1].double() * residual.multiplier
        if case.family in AFTER_ATTENTION:  # an RMSNorm multiplies each coordinate by what it multiplied the sum by
            norm = getattr(case.model.hf.model.layers[layer], AFTER_ATTENTION[case.family])
            before, after = last_token(case, norm, sequence.ids)
            heads = heads * (after / before)
        said = (residual.norm.weight * scale * residual.norm.center(heads)) @ u
        expected += said.detach().numpy() / len(case.asked.prompts[0].sequences)
    # A head's part is a quotient by the norm of the stream, taken coordinate by coordinate in AFTER_ATTENTION.
    assert close(found.heads[0, layer], expected, 16 * pass_error(case.model))
