"""Mistakes 6, 7 and 8 of the Phase 6 study: hooks that stay, a slice of the wrong tensor, padding."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from headscope.api import ablate, screen, sweep
from headscope.heads import HeadSet
from headscope.models.batches import Batch
from headscope.models.head_model import HeadModel
from headscope.models.running import logits_at
from headscope.profiles.types import Profile
from headscope.terms import PRIMARY
from tests.reference import slow
from tests.tolerances import effect_error, nats_error

HEADS = ("0:1", "1:2", "2:3")


def logits(model: HeadModel, profile: Profile) -> torch.Tensor:
    rows = [slow.token_ids(model.tokenizer, prompt.text) for prompt in profile.controls]
    batch = Batch.of_chains(rows)
    return logits_at(model, batch, torch.arange(len(rows)), batch.ends())


def n_hooks(model: HeadModel) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.hf.modules())


def zero_effects(model: HeadModel, profile: Profile, heads: str) -> dict[tuple[str, str], float]:
    table = sweep(model, profile, heads=heads, edits=("zero",)).table
    rows = table[table["outcome"] == PRIMARY]
    return {(row["heads"], row["concept"]): row["estimate"] for _, row in rows.iterrows()}


def test_phase6_mistake_6_hooks_that_stay(model: HeadModel, profile: Profile) -> None:
    """The effect of a head is the same after others were measured as alone; afterwards the model is as it was."""
    before, hooks = logits(model, profile), n_hooks(model)
    together = zero_effects(model, profile, ",".join(HEADS))
    assert torch.equal(logits(model, profile), before)
    for head in reversed(HEADS):
        for (name, concept), alone in zero_effects(model, profile, head).items():
            assert together[name, concept] == pytest.approx(alone, abs=effect_error(model))
    screen(model, profile)
    ablate(model, profile, HEADS[1], concept="anger", max_tokens=3)
    assert torch.equal(logits(model, profile), before)
    assert n_hooks(model) == hooks
    assert len({round(value, 4) for value in together.values()}) > len(HEADS)  # the heads do differ


def test_phase6_mistake_6_an_error_in_the_middle_leaves_nothing_behind(model: HeadModel, profile: Profile) -> None:
    before, hooks = logits(model, profile), n_hooks(model)

    class StoppedError(Exception):
        pass

    def stop(_stage: str, done: int, _total: int) -> None:
        if done:
            raise StoppedError

    with pytest.raises(StoppedError):
        sweep(model, profile, heads="1:2", edits=("zero",), progress=stop)
    assert torch.equal(logits(model, profile), before)
    assert n_hooks(model) == hooks


def wrong_slice(hf: torch.nn.Module, layer: int, head: int) -> torch.nn.Module:
    """What the study's tool did: zero the head's slice of the output projection's *output*."""
    twin = slow.without_heads(hf, ())
    d = twin.config.n_embd // twin.config.n_head
    projection = twin.transformer.h[layer].attn.c_proj
    columns = slice(head * d, (head + 1) * d)
    with torch.no_grad():
        projection.weight[:, columns] = 0.0
        projection.bias[columns] = 0.0
    return twin


def test_phase6_mistake_7_a_slice_of_the_wrong_tensor(model: HeadModel, profile: Profile) -> None:
    """The verb's effect is that of the head's rows of W_O, and not that of a slice of what comes out of W_O."""
    spec, concept = "1:2", "gratitude"
    words = profile.concepts[concept].lexicon.words, profile.concepts[concept].control_lexicon.words
    right = slow.without_heads(model.hf, tuple(HeadSet.parse(spec, model.heads_per_layer)))
    wrong = wrong_slice(model.hf, 1, 2)
    prompts = profile.prompts_of(concept)

    def mean_effect(twin: torch.nn.Module) -> float:
        changes = [
            slow.log_odds(twin, model.tokenizer, prompt.text, profile.readouts, *words)
            - slow.log_odds(model.hf, model.tokenizer, prompt.text, profile.readouts, *words)
            for prompt in prompts
        ]
        return float(slow.template_mean(changes, [prompt.template for prompt in prompts]))

    table = ablate(model, profile, spec, concept=concept, edits="zero", generate=False).table
    rows = table[(table["outcome"] == PRIMARY) & (table["concept"] == concept)]
    measured = float(rows["estimate"].iloc[0])
    assert measured == pytest.approx(mean_effect(right), abs=effect_error(model))
    assert abs(measured - mean_effect(wrong)) > 0.01


def lengthened(profile: Profile) -> Profile:
    """Prompts and controls of very different lengths, so that batches are padded."""
    longer = {f"t{i:02d}": " Then we all went home, and it was late." * (i % 3) for i in range(100)}
    prompts = tuple(
        dataclasses.replace(prompt, text=prompt.text + longer.get(prompt.template or "", ""))
        for prompt in profile.prompts
    )
    assert len({len(prompt.text) // 40 for prompt in prompts}) > 2
    return dataclasses.replace(profile, prompts=prompts)


def test_phase6_mistake_8_padding_changes_no_attention_and_no_effect(model: HeadModel, profile: Profile) -> None:
    mixed = lengthened(profile)
    for verb in (
        lambda tokens: screen(model, mixed, batch_tokens=tokens, pack=False).values["attention"],
        lambda tokens: sweep(model, mixed, heads="1:2,2:0", edits=("zero",), batch_tokens=tokens, pack=False).values[
            "edited"
        ],
    ):
        alone, padded = verb(1), verb(100_000)
        assert np.allclose(alone, padded, atol=nats_error(model), equal_nan=True)


def test_phase6_mistake_8_texts_of_padded_prompts_are_those_of_each_alone(model: HeadModel, profile: Profile) -> None:
    """Greedy texts of a left-padded batch equal texts written alone, and begin where the prompt ends."""
    mixed = lengthened(profile)

    def texts(batch_tokens: int) -> list[tuple[str, str]]:
        table = ablate(
            model, mixed, "1:2", concept="gratitude", edits="zero", greedy=True, max_tokens=8,
            batch_tokens=batch_tokens,
        ).tables["texts"]  # fmt: skip
        return list(zip(table["baseline_text"], table["edited_text"], strict=True))

    together = texts(100_000)
    assert together == texts(1)
    prompts = mixed.prompts_of("gratitude")
    for prompt, (baseline, _) in list(zip(prompts, together, strict=True))[:3]:
        ids = slow.token_ids(model.tokenizer, prompt.text)
        new = slow.greedy_text(model.hf, ids, 8, model.hf.generation_config.eos_token_id)
        assert baseline == model.tokenizer.decode(list(new), clean_up_tokenization_spaces=False)
