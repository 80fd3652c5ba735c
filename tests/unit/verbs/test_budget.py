"""The budget of a run follows from the request and the kind of device, never from a clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.study import Study
from headscope.verbs import budget as rule
from headscope.verbs.budget import choose_budget, nominal_hours
from headscope.verbs.run_plan import RunPlan
from headscope.verbs.run_request import RunRequest
from tests.laws.families import make, word_tokenizer


@pytest.fixture(scope="module")
def model():
    return load_model("demo", device="cpu")


@pytest.fixture(scope="module")
def profile():
    whole = load_profile("baseline")
    kept = {prompt.template for prompt in whole.prompts_of("anger")[:6]}
    return replace(whole, prompts=tuple(prompt for prompt in whole.prompts if prompt.template in kept))


def test_a_run_of_hours_is_not_made_unasked(model, profile, monkeypatch):
    """The whole run decides: what it writes and compares counts as its sweep does."""
    study, request = Study(model, profile, concepts="anger"), RunRequest()
    plan = RunPlan(study, request, fast=False)
    work = sum(one.layer_tokens for one in plan.counted.values())
    hours = nominal_hours(model, work + plan.text_tokens * len(model.heads_per_layer))
    assert work > 2 * plan.counted["sweep"].layer_tokens
    for limit, expected in ((hours * 1.01, "exact"), (hours * 0.99, "fast")):
        monkeypatch.setattr(rule, "LONGEST_RUN_HOURS", limit)
        chosen = choose_budget(study, request, no_gradients=None)
        assert chosen.budget == expected
        assert (chosen.warning is not None) == (expected == "fast"), "a reader must be told that heads were left out"
        for asked in ("exact", "fast"):
            assert choose_budget(study, RunRequest(budget=asked), no_gradients=None).budget == asked
    monkeypatch.setattr(rule, "LONGEST_RUN_HOURS", 0.0)
    without = choose_budget(study, request, no_gradients="no kernel has one")
    assert without.budget == "exact"
    assert "no kernel has one" in without.why


@pytest.mark.parametrize(("family", "dense"), [("llama", True), ("gpt2", True), ("mixtral", False)])
def test_work_is_counted_from_the_weights_that_a_token_passes(family, dense):
    model = load_model(make(family), tokenizer=word_tokenizer(), device="cpu")
    layers = [weight for name, weight in model.hf.named_parameters() if "layers." in name or ".h." in name]
    every = sum(weight.numel() for weight in layers)
    hours = nominal_hours(model, 1000 * len(model.heads_per_layer))
    counted = hours * 3600 * rule._RATES["cpu"] / 2 / 1000
    if dense:
        assert counted == pytest.approx(every)
    else:
        experts = sum(weight.numel() for weight in layers if weight.dim() == 3)
        config = model.hf.config
        left_out = experts * (1 - config.num_experts_per_tok / config.num_local_experts)
        assert experts > 0
        assert counted == pytest.approx(every - left_out)


def test_a_gpu_is_given_more(model, monkeypatch):
    on_cpu = nominal_hours(model, 10**9)
    monkeypatch.setattr(type(model), "device", property(lambda _: torch.device("cuda")))
    assert nominal_hours(model, 10**9) == pytest.approx(on_cpu / 200)
