"""Both arms write from the same random numbers: an edit that changes nothing changes no token, and what else is in the
batch changes no text."""

import copy
from dataclasses import replace
from itertools import takewhile

import pytest
import torch
from transformers import GenerationConfig

from headscope.heads import Head, HeadSet
from headscope.measure import edits, generation, sampling
from headscope.measure.edit_kinds import EDIT_KINDS
from headscope.measure.edits import Arm, ControlStates
from headscope.measure.generation import TextPasses
from headscope.measure.layout import lay_out
from headscope.measure.sampling import Sampling, stop_ids
from headscope.models.editing import LayerEdit, watching_z
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from tests.reference import slow
from tests.unit.measure.conftest import TEMPLATES
from tests.unit.measure.test_work import counting, total
from tests.unit.test_chat import CHATML, tokenizer_with

SAMPLED = Sampling(max_tokens=12, samples=3, top_p=0.95, seed=4)
MATTERS = Head(2, 1)


@pytest.fixture(scope="module")
def inert(model):
    """The bundled model with the rows of W_O that belong to one head set to 0: nothing the head says is heard."""
    return load_model(slow.without_heads(model.hf, (MATTERS,)), tokenizer=model.tokenizer, device="cpu")


def asked_of(model):
    profile = load_profile("baseline")
    prompts = [prompt for prompt in profile.prompts if prompt.template in TEMPLATES]
    asked = lay_out(model, prompts, (), {prompt.id: prompt.template for prompt in prompts})
    controls = [one for one in asked if one.concept == profile.control]
    states = ControlStates(model, controls, kinds=EDIT_KINDS, seed=0, batch_tokens=1024)
    return [one for one in asked if one.concept != profile.control][:6], states


def texts_of(model, arms, sampling=SAMPLED, *, prompts=None, batch_tokens=4096):
    asked, states = asked_of(model)
    chosen = asked if prompts is None else [asked[i] for i in prompts]
    return TextPasses(model, chosen, arms, sampling, states=states, batch_tokens=batch_tokens).write()


@pytest.mark.parametrize("scope", ["all", "generated"])
def test_an_edit_of_a_head_that_nothing_hears_changes_no_token(model, inert, scope):
    arms = [None, *(Arm(HeadSet((MATTERS,)), kind) for kind in EDIT_KINDS)]
    sampling = Sampling(max_tokens=12, samples=3, top_p=0.95, seed=4, scope=scope)
    unedited, *edited = texts_of(inert, arms, sampling)
    assert all(one == unedited for one in edited)
    assert all(len({*samples}) > 1 for samples in unedited), "samples differ, so the numbers are random"
    heard, *changed = texts_of(model, arms, sampling)
    assert all(one != heard for one in changed), "where the head is heard, the same edits change tokens"


@pytest.mark.parametrize("greedy", [True, False])
def test_a_text_ends_before_its_first_stop_token_and_is_the_same_up_to_there(model, greedy):
    plain = Sampling(max_tokens=12, greedy=greedy, stop_at_eos=False, seed=4)
    (whole,) = texts_of(model, [None], plain)
    stops = sorted({text[0][5] for text in whole})[:2]
    (cut,) = texts_of(model, [None], replace(plain, stop_ids=tuple(stops)))
    for (full,), (short,) in zip(whole, cut, strict=True):
        assert short == tuple(takewhile(lambda token: token not in stops, full))
    assert any(len(short) < len(full) for (full,), (short,) in zip(whole, cut, strict=True))


def test_a_turn_of_a_chat_ends_at_the_models_the_tokenizers_and_the_templates_token(model):
    tokenizer = tokenizer_with({"default": CHATML, "open": "{% for m in messages %}{{ m.content }}\n{% endfor %}"})
    eos, end, start = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>", "<|im_start|>"])
    chat = replace(model, tokenizer=tokenizer, hf=copy.copy(model.hf))
    chat.hf.generation_config = GenerationConfig(eos_token_id=[7, 8])
    assert stop_ids(chat) == (7, 8), "without a chat template as the model says"
    assert stop_ids(chat, chat_template=True) == tuple(sorted((7, 8, eos, end)))
    assert stop_ids(chat, chat_template="open") == tuple(sorted((7, 8, eos)))
    assert stop_ids(chat, named=["<|im_start|>"]) == tuple(sorted((7, 8, start)))
    assert stop_ids(chat, at_eos=False, chat_template=True, named=["<|im_start|>"]) == (start,)
    chat.hf.generation_config = GenerationConfig()
    assert stop_ids(chat) == (eos,)
    tokenizer.eos_token = None
    assert stop_ids(chat) == ()


def test_z_replaced_by_itself_changes_no_token(model, monkeypatch):
    """Every head at every step: gain 0, and as value the very z that the gain takes away."""
    seen = {}

    def itself(_, states, rows):
        edited = torch.tensor([arm is not None for arm, _, _ in rows])
        return {
            layer: LayerEdit(
                torch.where(edited, 0.0, 1.0)[:, None, None].expand(-1, 1, anatomy.n_heads),
                lambda layer=layer: seen[layer] * edited[:, None, None, None],
            )
            for layer, anatomy in model.anatomy.layers.items()
        }

    monkeypatch.setattr(edits, "layer_edits", itself)
    everything = Arm(HeadSet.parse("*", model.heads_per_layer), "zero")
    with watching_z(model, seen.__setitem__):
        unedited, edited = texts_of(model, [None, everything])
    assert sorted(seen) == list(range(len(model.anatomy)))
    assert edited == unedited
    monkeypatch.undo()
    unedited, edited = texts_of(model, [None, everything])
    assert edited != unedited, "without the value the same gain changes tokens"


def test_a_text_depends_on_its_prompt_sample_and_arm_alone(model):
    """Not on the other arms, on other prompts, on their order, or on how many share a batch."""
    arms = [None, Arm(HeadSet((MATTERS,)), "mean"), Arm(HeadSet.parse("1:*", model.heads_per_layer), "zero")]
    whole = texts_of(model, arms)
    assert texts_of(model, arms[:2]) == whole[:2]
    assert texts_of(model, arms, batch_tokens=1) == whole
    backwards = texts_of(model, arms[::-1], prompts=[5, 4, 2, 1, 0])
    assert [[of_arm[i] for i in (0, 1, 2, 4, 5)] for of_arm in whole] == [one[::-1] for one in backwards[::-1]]


@pytest.mark.parametrize("scope", ["all", "generated"])
def test_sharing_what_prompts_begin_with_changes_no_text(model, scope):
    """Under every kind of edit, some of which depend on the prompt's template or on the prompt itself."""
    prompts, states = asked_of(model)
    arms = [None, *(Arm(HeadSet((MATTERS,)), kind) for kind in EDIT_KINDS)]
    sampling = Sampling(max_tokens=8, samples=2, seed=4, scope=scope)
    common = {"states": states, "batch_tokens": 512}
    shared = TextPasses(model, prompts, arms, sampling, **common).write()
    with counting([model.anatomy.layers[0].projection]) as ran:
        assert TextPasses(model, prompts, arms, sampling, **common, pack=False).write() == shared
    with counting([model.anatomy.layers[0].projection]) as ran_shared:
        TextPasses(model, prompts, arms, sampling, **common).write()
    new = (sampling.max_tokens - 1) * len(prompts) * len(arms) * sampling.samples
    alone = len(arms) * sampling.samples * sum(one.n_prompt for one in prompts)
    assert total(ran) >= new + alone
    assert total(ran_shared) - new < alone / (2 if scope == "all" else 2 * len(arms)), "samples, and arms, share"


def test_texts_that_do_not_fit_together_are_written_in_halves_and_are_the_same(model, monkeypatch):
    prompts, states = asked_of(model)
    arms = [None, Arm(HeadSet((MATTERS,)), "zero")]
    whole = TextPasses(model, prompts, arms, SAMPLED, states=states, batch_tokens=4096).write()
    step, halvings = generation.step, []

    def full_above_eight_rows(model, cache, ids, positions, mask):
        if len(ids) > 8:
            raise torch.OutOfMemoryError
        return step(model, cache, ids, positions, mask)

    monkeypatch.setattr(generation, "step", full_above_eight_rows)
    halved = TextPasses(model, prompts, arms, SAMPLED, states=states, batch_tokens=4096).write(halved=halvings.append)
    assert sum(halvings) > 0
    assert halved == whole


@pytest.mark.parametrize("vocabulary", [3, 300, 5000])
@pytest.mark.parametrize("top_p", [1e-6, 0.3, 0.9, 0.999])
def test_top_p_keeps_what_a_full_sort_keeps(vocabulary, top_p):
    """Peaked, flat and tied distributions; the reference sorts everything."""
    draw = torch.Generator().manual_seed(vocabulary)
    peaked = torch.randn(4, vocabulary, generator=draw) * 5
    flat = torch.randn(4, vocabulary, generator=draw) * 0.01
    tied = torch.randint(0, 3, (4, vocabulary), generator=draw).float()
    for logits in (peaked, flat, tied, torch.cat([peaked, flat])):
        scores = logits.log_softmax(-1)
        ordered, order = scores.sort(dim=-1, descending=True, stable=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()
        whole = torch.full_like(scores, -torch.inf).scatter(-1, order, ordered.masked_fill(before >= top_p, -torch.inf))
        assert torch.equal(sampling.kept(logits, top_p), whole)
