"""Fast scores are the derivatives they claim to be, of every prompt alone, and exact where the model is linear."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from headscope.errors import RequestError, WorkError
from headscope.heads import Head, HeadSet
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedPasses
from headscope.measure.gradient_memory import bytes_per_token
from headscope.measure.gradients import FastScores, GradientPasses
from headscope.measure.layout import same_layout
from headscope.measure.logit_places import LogitPlaces
from headscope.measure.outcomes.outcome import summed_by_row
from headscope.models.batches import Batch
from headscope.models.editing import LayerEdit, editing, watching_z
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.models.running import logits_at, run_hidden
from tests.laws.families import make, word_tokenizer
from tests.tolerances import FLOAT64, effect_error
from tests.unit.measure.made_up import JOY, LEXICON, MadeUp, made_up

STEP = 1e-4
SLOPE = 1e-6  # of a central difference: STEP^2 times a third derivative below 100; ε / STEP is 2e-12
FORMS = ("gate_gradient", "attribution_patching", "attribution_patching_matched", "integrated_gradient")


def scores(model: HeadModel, asked: MadeUp, *, steps: int = 3, batch_tokens: int = 512) -> FastScores:
    passes = GradientPasses(
        model, asked.prompts, asked.log_odds, states=asked.states, partners=asked.partners, batch_tokens=batch_tokens
    )
    return passes.measure(steps=steps)


def outcome(model: HeadModel, asked: MadeUp, p: int, edits: dict[int, LayerEdit] | None = None) -> float:
    """One prompt's outcome, its sequences run one to a row."""
    prompt = asked.prompts[p]
    batch = Batch.of_chains([sequence.ids for sequence in prompt.sequences])
    with editing(model, edits or {}):
        logits = logits_at(model, batch, torch.arange(len(batch)), batch.ends())
    own = asked.lexicons[0][0]
    words, control = list(own.lexicon.ids), list(own.control.ids)
    return float((logits[:, words].logsumexp(-1) - logits[:, control].logsumexp(-1)).mean())


def weakened(model: HeadModel, head: Head, strength: float, value: torch.Tensor | None) -> dict[int, LayerEdit]:
    """z' = (1 - strength) z + strength value, for one head."""
    anatomy = model.anatomy.layers[head.layer]
    gain = torch.ones(1, 1, anatomy.n_heads, dtype=torch.float64)
    gain[..., head.head] = 1 - strength
    if value is None:
        return {head.layer: LayerEdit(gain)}
    added = torch.zeros(*value.shape[:2], anatomy.n_heads, anatomy.head_size, dtype=torch.float64)
    added[:, :, head.head] = strength * value
    return {head.layer: LayerEdit(gain, added)}


def slope(model: HeadModel, asked: MadeUp, p: int, head: Head, value: torch.Tensor | None) -> float:
    up, down = (outcome(model, asked, p, weakened(model, head, sign * STEP, value)) for sign in (1, -1))
    return (up - down) / (2 * STEP)


@pytest.mark.parametrize("pack", [False, True])
def test_gradients_are_central_differences_of_the_outcome(exact_model: HeadModel, pack: bool) -> None:
    asked = made_up(exact_model, pack=pack)
    found = scores(exact_model, asked, steps=0)
    for p, prompt in enumerate(asked.prompts):
        for head in (Head(0, 0), Head(0, 3), Head(1, 2), Head(2, 1)):
            mean = torch.from_numpy(asked.states.values("mean", prompt, head.layer, None))[None, :, head.head]
            for values, value in ((found.gate_gradient, None), (found.attribution_patching, mean)):
                expected = slope(exact_model, asked, p, head, value)
                assert abs(values[p, head.layer, head.head] - expected) < SLOPE * max(1, abs(expected))


def test_the_matched_form_takes_z_of_the_control_at_the_same_tokens(exact_model: HeadModel) -> None:
    asked = made_up(exact_model)
    found = scores(exact_model, asked, steps=0).attribution_patching_matched
    assert np.isnan(found[1]).all(), "p1 and its partner differ in length"
    kept: dict[int, torch.Tensor] = {}
    batch = Batch.of_chains([sequence.ids for sequence in asked.controls[0].sequences])
    with watching_z(exact_model, lambda layer, z: kept.__setitem__(layer, z.clone())):
        run_hidden(exact_model, batch)
    for head in (Head(0, 1), Head(1, 3), Head(2, 0)):
        expected = slope(exact_model, asked, 0, head, kept[head.layer][:, :, head.head])
        assert abs(found[0, head.layer, head.head] - expected) < SLOPE * max(1, abs(expected))


@pytest.mark.parametrize("n_layers", [1])
def test_patching_by_gradient_is_exact_on_a_model_linear_in_z(n_layers: int) -> None:
    """One layer, no final norm, no feed-forward, and words that share one direction: log-odds are linear in z."""
    hf = make("gpt2", n_layer=n_layers)
    with torch.no_grad():
        hf.transformer.h[0].mlp.c_proj.weight.zero_()
        for words in (LEXICON, (21, 22, 23, 24)):
            hf.lm_head.weight[list(words)] = hf.lm_head.weight[words[0]].clone()
    hf.transformer.ln_f = nn.Identity()
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    asked = made_up(model)
    found = scores(model, asked, steps=1)
    forced = ForcedPasses(
        model, asked.prompts, asked.outcomes, damage_on=frozenset(), states=asked.states, batch_tokens=512
    )
    kinds = ("zero", "mean")
    arms = [Arm(HeadSet((Head(0, h),)), kind) for kind in kinds for h in range(4)]
    outcomes = forced.measure(arms)
    exact = outcomes.change(JOY).reshape(2, 4, -1).transpose(0, 2, 1)
    assert np.abs(exact).max() > 0.5
    for values, expected in zip((found.gate_gradient, found.attribution_patching), exact, strict=True):
        assert np.abs(values[:, 0] - expected).max() < effect_error(model)
    assert np.abs(found.integrated_gradient[:, 0] - exact[1]).max() < effect_error(model)


def test_the_integral_sums_to_the_effect_of_editing_every_head(exact_model: HeadModel) -> None:
    asked = made_up(exact_model)
    errors = []
    for steps in (2, 8, 48):
        found = scores(exact_model, asked, steps=steps)
        errors.append(np.abs(found.completeness_error).max())
        assert np.allclose(
            found.completeness_error, found.integrated_gradient.sum(axis=(1, 2)) - found.all_edited, atol=0
        )
    forced = ForcedPasses(
        exact_model, asked.prompts, asked.outcomes, damage_on=frozenset(), states=asked.states, batch_tokens=512
    )
    outcomes = forced.measure([Arm(exact_model.head_set("*"), "mean")])
    assert np.abs(found.all_edited - outcomes.change(JOY)[0]).max() < 1e-6
    assert errors[2] < 1e-3 * np.abs(found.all_edited).max()
    assert errors[2] < errors[0]


def test_the_integral_of_each_head_is_a_sum_of_many_small_slopes(exact_model: HeadModel) -> None:
    """A midpoint sum of central differences, every head at the same strength but the one that is stepped."""
    asked, n_points = made_up(exact_model), 48
    found = scores(exact_model, asked, steps=32).integrated_gradient[0]
    layers = range(len(exact_model.anatomy))
    means = [torch.from_numpy(asked.states.values("mean", asked.prompts[0], layer, None))[None] for layer in layers]

    def at(strength: float, head: Head, step: float) -> float:
        edits: dict[int, LayerEdit] = {}
        for layer, mean in enumerate(means):
            strengths = torch.full((1, 1, mean.shape[2]), strength, dtype=torch.float64)
            strengths[..., head.head] += step * (layer == head.layer)
            edits[layer] = LayerEdit(1.0 - strengths, strengths[..., None] * mean)
        return outcome(exact_model, asked, 0, edits)

    for head in (Head(0, 0), Head(1, 2), Head(2, 1)):
        middles = (np.arange(n_points) + 0.5) / n_points
        slopes = [(at(a, head, STEP) - at(a, head, -STEP)) / (2 * STEP) for a in middles]
        assert abs(found[head.layer, head.head] - np.mean(slopes)) < 2e-3 * np.abs(found).max()


def test_scores_do_not_depend_on_the_batch_or_on_how_rows_are_laid(exact_model: HeadModel) -> None:
    whole = scores(exact_model, made_up(exact_model, pack=True))
    alone = scores(exact_model, made_up(exact_model, pack=False), batch_tokens=1)
    assert alone.batch_tokens == 1
    for form in FORMS:
        assert np.allclose(getattr(whole, form), getattr(alone, form), atol=FLOAT64, equal_nan=True), form
    assert np.allclose(whole.all_edited, alone.all_edited, atol=FLOAT64)


def test_gradients_that_do_not_fit_together_run_in_halves(
    exact_model: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = made_up(exact_model)
    whole, batch = scores(exact_model, asked), GradientPasses.batch

    def full_above_one_row(passes: GradientPasses, where: list[tuple[int, int]]) -> tuple[Batch, LogitPlaces]:
        if len(where) > 1:
            raise torch.OutOfMemoryError
        return batch(passes, where)

    monkeypatch.setattr(GradientPasses, "batch", full_above_one_row)
    halved = scores(exact_model, asked)
    assert whole.n_halved == 0
    assert halved.n_halved > 0
    for form in FORMS:
        assert np.allclose(getattr(whole, form), getattr(halved, form), atol=FLOAT64, equal_nan=True), form
    assert np.allclose(whole.all_edited, halved.all_edited, atol=FLOAT64)


def test_a_batch_costs_what_is_promised(exact_model: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three passes for all first-order scores (one of them back, one without gradients), two a step and one more."""
    asked, forward = made_up(exact_model), []
    exact_model.hf.register_forward_pre_hook(lambda *_: forward.append("whole"))
    handle = exact_model.hf.base_model.register_forward_pre_hook(lambda *_: forward.append("hidden"))
    try:
        assert scores(exact_model, asked, steps=0).n_passes == 3
        assert len([one for one in forward if one == "hidden"]) == 2
        forward.clear()
        assert scores(exact_model, asked, steps=4).n_passes == 3 + 2 * 4 + 1
        assert len([one for one in forward if one == "hidden"]) == 2 + 4 + 1
    finally:
        handle.remove()
        exact_model.hf._forward_pre_hooks.clear()


def test_weights_and_model_are_left_as_they_were(exact_model: HeadModel) -> None:
    asked = made_up(exact_model)
    frozen = next(exact_model.hf.parameters())
    frozen.requires_grad_(False)
    try:
        before = outcome(exact_model, asked, 0)
        scores(exact_model, asked)
        flags = [weight.requires_grad for weight in exact_model.hf.parameters()]
        assert flags == [False] + [True] * (len(flags) - 1)
        assert all(weight.grad is None for weight in exact_model.hf.parameters())
        assert outcome(exact_model, asked, 0) == before
    finally:
        frozen.requires_grad_(True)


class _Cut(nn.Module):
    """An output projection whose result has no gradient, as in inference-only quantization."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.weight, self.nf = inner, inner.weight, inner.nf

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return self.inner(given).detach()


@pytest.mark.parametrize("layers", [(0, 1, 2), (1,)])
def test_a_model_that_cuts_the_graph_is_refused_with_what_to_do(layers: tuple[int, ...]) -> None:
    hf = make("gpt2")
    for layer in layers:
        hf.transformer.h[layer].attn.c_proj = _Cut(hf.transformer.h[layer].attn.c_proj)
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    with pytest.raises(RequestError, match="gradients do not pass") as refused:
        scores(model, made_up(model), steps=0)
    assert "headscope sweep needs no gradients" in str(refused.value)


def test_a_gradient_that_is_not_finite_is_an_error_not_a_score() -> None:
    model = load_model(make("gpt2"), tokenizer=word_tokenizer(), device="cpu")
    asked = made_up(model)
    scale = model.hf.lm_head.register_forward_hook(
        lambda _, args, output: output + torch.sqrt(output.detach() - output)
    )
    try:
        with pytest.raises(WorkError, match="NaN or infinite"):
            scores(model, asked, steps=0)
    finally:
        scale.remove()


def test_a_negative_number_of_steps_is_refused() -> None:
    model = load_model(make("gpt2"), tokenizer=word_tokenizer(), device="cpu")
    with pytest.raises(RequestError, match="steps cannot be negative"):
        scores(model, made_up(model), steps=-1)


def test_layouts_match_only_where_every_token_has_its_partner(exact_model: HeadModel) -> None:
    packed, chains = made_up(exact_model, pack=True), made_up(exact_model, pack=False)
    assert same_layout(packed.prompts[0], packed.controls[0])
    assert not same_layout(packed.prompts[0], chains.controls[0])
    assert not same_layout(chains.prompts[1], chains.controls[1])


def test_bytes_a_token_grow_with_what_is_kept(exact_model: HeadModel) -> None:
    """The estimate covers what autograd really keeps, and not by more than an order of magnitude."""
    asked = made_up(exact_model)
    batch = Batch.of_chains([sequence.ids for prompt in asked.prompts for sequence in prompt.sequences])
    where = [(p, r) for p in range(2) for r in range(2)]
    places = LogitPlaces.answers(asked.prompts, where, None)
    weights = {weight.untyped_storage().data_ptr() for weight in exact_model.hf.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    from headscope.models.running import differentiable_logits_at

    gates = {layer: LayerEdit(torch.ones(4, 1, 4, dtype=torch.float64, requires_grad=True)) for layer in range(3)}
    with editing(exact_model, gates), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        at = torch.from_numpy(places.rows), torch.from_numpy(places.tokens)
        summed_by_row(differentiable_logits_at(exact_model, batch, *at), places, asked.log_odds, 4, 2).sum()
    per_token = sum(kept.values()) / batch.ids.numel()
    estimate = bytes_per_token(exact_model, batch.width, 1 / 8)
    assert per_token < estimate < 10 * per_token
