"""Where heads read agrees with eager attention summed token by token, and the shares of one head sum to 1."""

import dataclasses

import numpy as np
import pytest
import torch

from headscope.api import attention_by_region
from headscope.measure.layout import encoder_of
from headscope.measure.regions import QUERY, READOUT, divide, final_punctuation, read_regions
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Prompt
from headscope.terms import REGIONS
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import make_profile
from tests.reference import slow

TEMPLATES = ("t01", "t02", "t08", "t15", "t22", "t29")
CONCEPT = "gratitude"


@pytest.fixture(scope="module")
def model():
    return load_model("demo")


@pytest.fixture(scope="module")
def profile():
    whole = load_profile("baseline")
    prompts = tuple(p for p in whole.prompts if p.template in TEMPLATES)
    return dataclasses.replace(whole, prompts=prompts, readouts=whole.readouts[:2])


def region_of(text, prompt, token, first, last, n_tokens):
    """The region of token ``token`` that spells ``text[first:last]``, by looking at its characters."""
    seen = [i for i in range(first, last) if not text[i].isspace()]
    if token == n_tokens - 1:
        return "query"
    if token == 0:
        return "first_token"
    if any(prompt.span[0] <= i < prompt.span[1] for i in seen):
        return "span"
    if seen[0] >= len(prompt.text):
        return "readout"
    is_mark = all(not text[i].isalnum() for i in seen)
    return "punctuation" if is_mark and not any(c.isalnum() for c in prompt.text[seen[0] :]) else "prompt"


@torch.inference_mode()
def written(hf, ids, pattern):
    """[L, H, T, d_model] what each head writes at the last token from each token: a v W_O."""
    states = hf(torch.tensor([ids]), output_hidden_states=True, use_cache=False).hidden_states
    n_heads, found = hf.config.n_head, []
    for layer, (block, state) in enumerate(zip(hf.transformer.h, states, strict=False)):
        values = block.attn.c_attn(block.ln_1(state))[0].chunk(3, dim=-1)[2].unflatten(-1, (n_heads, -1)).double()
        rows = block.attn.c_proj.weight.double().unflatten(0, (n_heads, -1))
        moved = torch.einsum("thd,hdm->htm", values, rows)
        found.append(moved.numpy() * pattern[layer, :, -1, :, None])
    return np.stack(found)


def slow_regions(model, profile):
    eager = slow.eager_copy(model.hf)
    share, norm, templates = [], [], []
    for prompt in profile.prompts_of(CONCEPT):
        shares, norms = [], []
        for readout in profile.readouts:
            text = f"{prompt.text} {readout}"
            ids = slow.token_ids(model.tokenizer, text)
            offsets = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
            offsets = [(0, 0), *offsets]
            where = [region_of(text, prompt, i, a, b, len(ids)) for i, (a, b) in enumerate(offsets)]
            pattern = slow.attention(eager, ids)
            moved = written(model.hf, ids, pattern)
            mine = [[i for i, name in enumerate(where) if name == region] for region in REGIONS]
            shares.append(np.stack([pattern[:, :, -1, places].sum(-1) for places in mine], axis=-1))
            norms.append(np.stack([np.linalg.norm(moved[:, :, places].sum(2), axis=-1) for places in mine], axis=-1))
        share.append(np.mean(shares, axis=0))
        norm.append(np.mean(norms, axis=0))
        templates.append(prompt.template)
    return slow.template_mean(share, templates), slow.template_mean(norm, templates)


@pytest.fixture(scope="module")
def expected(model, profile):
    return slow_regions(model, profile)


def rounding(model):
    """Of a share: each layer rounds sums of d_model terms, and errors grow as the root of their number."""
    config = model.hf.config
    return 8 * np.finfo(np.float32).eps * np.sqrt(config.n_embd * config.n_layer)


def by_head(table, model, column):
    shape = (len(model.heads_per_layer), model.heads_per_layer[0], len(REGIONS))
    return table[column].to_numpy(float).reshape(shape)


@pytest.mark.parametrize("pack", [True, False])
def test_regions_agree_with_eager_attention(model, profile, expected, pack):
    table = attention_by_region(model, profile, concepts=CONCEPT, pack=pack).table
    assert table["region"].tolist()[: len(REGIONS)] == list(REGIONS)
    (share, norm), bound = expected, rounding(model)
    np.testing.assert_allclose(by_head(table, model, "share"), share, rtol=0, atol=bound)
    np.testing.assert_allclose(by_head(table, model, "written_norm"), norm, rtol=0, atol=bound * norm.max())
    assert (table["n_prompts"] == len(profile.prompts_of(CONCEPT))).all()
    assert (table["n_templates"] == len(TEMPLATES)).all()
    assert ((table["share_low"] <= table["share"]) & (table["share"] <= table["share_high"])).all()


@pytest.mark.parametrize("with_readouts", [True, False])
def test_shares_of_attention_sum_to_one(model, profile, with_readouts):
    asked = profile if with_readouts else dataclasses.replace(profile, readouts=())
    table = attention_by_region(model, asked).table
    sums = table.groupby(["concept", "layer", "head"])["share"].sum()
    assert len(sums) == len(profile.concepts) * sum(model.heads_per_layer)
    np.testing.assert_allclose(sums, 1.0, rtol=0, atol=64 * np.finfo(np.float32).eps)  # fewer than 64 tokens a text
    if not with_readouts:
        assert (table.loc[table["region"] == "readout", "share"] == 0.0).all()


def test_halved_batches_and_small_ones_read_the_same(model, profile):
    encoder = encoder_of(model)
    texts = [divide(encoder, p, profile.readouts[0]) for p in profile.prompts_of(CONCEPT)]
    owners = [i % 3 for i in range(len(texts))]
    one = read_regions(model, texts, owners, 4, batch_tokens=10_000, pack=True)
    many = read_regions(model, texts, owners, 4, batch_tokens=40, pack=False)
    for first, second in zip(one, many, strict=True):
        assert np.isnan(first[3]).all()
        np.testing.assert_allclose(first[:3], second[:3], rtol=0, atol=rounding(model) * np.nanmax(first))


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("I am glad.", "."), ("Really?!", "?!"), ("no marks", ""), ("He said “yes.” ", ".”"), ("e.g. this", ""),
        ("嬉しいです。", "。"), ("wait . . .", ". . ."), ("five $", "$"), ("...", "..."), ("it's 5%", "%"),
    ],
)  # fmt: skip
def test_final_punctuation(text, marks):
    assert text[final_punctuation(text) :].strip() == marks


def test_a_text_is_divided_once_and_wholly():
    world, profile = worlds()[0].load(), make_profile()
    prompt, readout = profile.prompts_of(CONCEPT)[0], profile.readouts[0]
    divided = divide(encoder_of(world), prompt, readout)
    names = [REGIONS[i] for i in divided.regions]
    words = ["<bos>", *prompt.text.split(), *readout.split()]
    slot = words.index(prompt.span_text)
    n_after = len(prompt.text.split()) - slot
    expected = ["first_token", *["prompt"] * (slot - 1), "span", *["prompt"] * n_after]
    assert names == [*expected, *["readout"] * (len(readout.split()) - 1), "query"]
    assert divided.regions[-1] == QUERY != READOUT


def test_a_word_with_a_mark_in_one_token_is_no_punctuation():
    """World texts are split at white space, so the mark belongs to the word's token."""
    encoder = encoder_of(worlds()[0].load())
    names = [
        REGIONS[i] for i in divide(encoder, Prompt("x", "Anna felt mad.", "anger", span=(10, 13)), "so nobody").regions
    ]
    assert names == ["first_token", "prompt", "prompt", "span", "readout", "query"]
    names = [REGIONS[i] for i in divide(encoder, Prompt("x", "Anna mad late !", "anger", span=(5, 8)), None).regions]
    assert names == ["first_token", "prompt", "span", "prompt", "query"]
