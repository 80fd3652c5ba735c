"""A prompt that is read under edits, in every kind of architecture: against whole passes and eager attention."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

import headscope as hs
from headscope.errors import ModelError
from headscope.measure.live_map import DirectReader
from headscope.models.batches import Batch
from headscope.models.head_model import HeadModel
from headscope.models.residual import find_residual
from headscope.verbs.inspection import Inspection
from tests.laws import oracles
from tests.laws.families import loaded, make
from tests.small_tasks import word_tasks
from tests.tolerances import FLOAT64, TINY, close, nats_error, pass_error

TEXT = "w20 w31 w7 w44 w9 w58 w12"
FAMILIES = ("gpt2", "bloom", "llama", "gemma2", "olmo2", "gpt_oss", "mistral", "jamba", "lfm2")
PLAIN = ("gpt2", "bloom", "llama", "gemma2", "olmo2", "granite", "gptj")


@cache
def view_of(family: str) -> Inspection:
    return hs.inspect(loaded(family), TEXT)


def layers_of(model: HeadModel) -> list[int]:
    return list(model.anatomy.layers)


@pytest.mark.parametrize("family", FAMILIES)
def test_next_words_under_an_edit_are_those_of_a_whole_pass(family: str) -> None:
    view, model = view_of(family), loaded(family)
    layers = layers_of(model)
    chosen = [f"{layers[0]}:0", f"{layers[-1]}:1", f"{layers[-1]}:*", f"{layers[1]}:2-3"]
    for spec in chosen:
        edits = [view.edit(spec, "zero")]
        table = view.next_words(edits, n=67)
        heads = [(head.layer, head.head) for head in model.head_set(spec)]
        changed = oracles.without_heads(make(family), heads, model.anatomy.layers[heads[0][0]].head_size)
        both = [oracles.logits(hf, view.ids)[-1].double().softmax(-1) for hf in (make(family), changed)]
        for name, expected in zip(("probability_baseline", "probability_edited"), both, strict=True):
            got = table[name].to_numpy()
            assert np.allclose(got, expected[table["token_id"].tolist()], rtol=0.0, atol=nats_error(model)), spec
        assert table["change"].abs().max() > nats_error(model)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_what_an_eager_model_computes(family: str) -> None:
    view, model = view_of(family), loaded(family)
    expected = oracles.attentions(make(family, attention="eager"), view.ids)
    for place, layer in enumerate(layers_of(model)):
        for head in range(model.heads_per_layer[layer]):
            got = view.attention(layer, head)
            assert close(got, expected[place, head], TINY), (layer, head)
            if family != "gpt_oss":  # sinks take a share of each row
                assert np.allclose(got.sum(axis=1), 1.0, rtol=0.0, atol=TINY)
    chosen = view.attention(layers_of(model)[-1], 1, queries=[4, 2])
    assert close(chosen, expected[-1, 1, [4, 2]], TINY)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_under_an_edit_is_that_of_the_edited_model(family: str) -> None:
    view, model = view_of(family), loaded(family)
    layers = layers_of(model)
    spec = f"{layers[0]}:*"
    heads = [(head.layer, head.head) for head in model.head_set(spec)]
    size = model.anatomy.layers[layers[0]].head_size
    changed = oracles.without_heads(make(family, attention="eager"), heads, size)
    expected = oracles.attentions(changed, view.ids)
    for place, layer in enumerate(layers):
        assert close(view.attention(layer, 0, [hs.zero(spec)]), expected[place, 0], TINY)
    assert not close(view.attention(layers[-1], 0), expected[-1, 0], TINY), "the edit changes nothing there"


@pytest.mark.parametrize("family", ["gpt2", "llama", "jamba"])
def test_a_greedy_text_is_the_one_without_a_cache(family: str) -> None:
    view, model = view_of(family), loaded(family)
    layer = layers_of(model)[-1]
    changed = oracles.without_heads(make(family), [(layer, 1)], model.anatomy.layers[layer].head_size)
    written: dict[str, list[int]] = {"baseline": [], "edited": []}
    for piece in view.write([hs.zero(f"{layer}:1")], max_tokens=8, greedy=True):
        if not piece.ends and piece.token_id is not None:
            written[piece.arm].append(piece.token_id)
    for arm, hf in (("baseline", make(family)), ("edited", changed)):
        expected = oracles.greedy(hf, view.ids, 8)
        stop = model.tokenizer.eos_token_id
        expected = expected[: expected.index(stop)] if stop in expected else expected
        assert written[arm] == expected


@pytest.mark.parametrize("family", PLAIN)
def test_what_heads_and_the_rest_add_is_the_logit_beyond_the_mean_one(family: str) -> None:
    model, view = loaded(family), view_of(family)
    residual = find_residual(model)
    logits = oracles.logits(make(family), view.ids).double()
    if residual.soft_cap is not None:
        logits = residual.soft_cap * torch.atanh(logits / residual.soft_cap)
    for tokens, token in (([6], 9), ([2, 5], 40)):
        found = DirectReader(model).read(Batch.of_chains([view.ids]), tokens, token)
        expected = (logits[tokens, token] - logits[tokens].mean(-1)).mean()
        assert abs(found.total - float(expected)) <= 2 * pass_error(model) * float(logits.abs().max())
        assert abs(np.nansum(found.heads) + found.rest - found.total) <= FLOAT64
        assert np.array_equal(view.head_map("direct", queries=tokens, token_id=token), found.heads, equal_nan=True)


def test_what_a_head_adds_is_what_it_writes_along_the_tokens_direction() -> None:
    """GPT-2 by hand: its write, centred and scaled as the final norm did, times W_U of the token less the mean row."""
    model, view, hf = loaded("gpt2"), view_of("gpt2"), make("gpt2")
    token, at = 23, len(view.ids) - 1
    norm, unembedding = hf.transformer.ln_f, hf.lm_head.weight.detach().double()
    caught: list[torch.Tensor] = []
    handle = norm.register_forward_pre_hook(lambda _, args: caught.append(args[0][0, at].detach().double()))
    oracles.logits(hf, view.ids)
    handle.remove()
    spread = (caught[0].var(unbiased=False) + norm.eps).sqrt()
    u = unembedding[token] - unembedding.mean(0)
    got = view.head_map("direct", queries=[at], token_id=token)
    for layer in range(3):
        writes = oracles.head_outputs(hf, view.ids, layer, 4)[at].detach().double()
        centred = (writes - writes.mean(-1, keepdim=True)) * norm.weight.detach().double() / spread
        assert close(got[layer], centred @ u, 4 * pass_error(model) * float(u.norm()))


def test_a_model_that_is_no_plain_sum_has_no_direct_map() -> None:
    view = view_of("jamba")
    with pytest.raises(ModelError, match="direct logit attribution"):
        view.head_map("direct", queries=[3], token_id=5)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_log_odds_of_answers_are_those_of_ablate(family: str) -> None:
    """Answers of one token and of several; a corrupted prompt is read with those of its clean partner."""
    model, profile = loaded(family), word_tasks()
    study = hs.Study(model, profile)
    heads = "1:*,2:0"
    arrays = study.ablate(heads, edits=["zero"], generate=False).values
    for prompt in (profile.prompts[0], profile.prompts[1], profile.controls[0]):
        view = hs.inspect(model, profile=profile, prompt=prompt.id)
        (row,) = view.log_odds([hs.zero(heads)]).to_dict("records")
        expected = arrays.sel(prompt=prompt.id, lexicon=row["concept"])
        for name, value in (("baseline_nats", expected["baseline"]), ("edited_nats", expected["edited"][0])):
            assert abs(row[name] - float(value)) <= nats_error(model) * 4  # sums over the tokens of an answer
    assert hs.inspect(model, TEXT, profile=profile).log_odds().empty
