"""Text written under a patch agrees with the slow, obvious way, and keeps the laws of patching.

The slow way has no cache and no batch: for every new token the source prompt with the tokens written so far is run from
its start, its heads' outputs are caught, and put into one run of the target with the same tokens.
"""

from dataclasses import replace

import pytest
import torch

from headscope.errors import ProfileError, RequestError
from headscope.heads import HeadSet
from headscope.measure.alignment import TARGETS, Patch, Placed, Recipe, slot_of
from headscope.measure.edit_kinds import PATCH_KINDS
from headscope.measure.edits import Arm, ArmValues
from headscope.measure.generation import TextPasses
from headscope.measure.layout import encoder_of, lay_out
from headscope.measure.patching import PatchStates
from headscope.measure.sampling import Sampling
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Prompt
from tests.laws.families import make, word_tokenizer

N_NEW = 6
GREEDY = Sampling(max_tokens=N_NEW, greedy=True, stop_at_eos=False)
SAMPLED = Sampling(max_tokens=N_NEW, top_p=0.95, samples=2, stop_at_eos=False, seed=4)


def demo_prompts():
    """With a readout behind each, so that the model goes on with what they feel."""
    profile = load_profile("baseline")
    ids = ("neutral-003", "gratitude-003", "neutral-020", "neutral-041", "gratitude-041", "neutral-055")
    found = {name: next(p for p in profile.prompts if p.id == name) for name in ids}
    return {name: replace(one, text=f"{one.text} {profile.readouts[0]}") for name, one in found.items()}


def made_up_prompts():
    """Two targets of different length, each with a source and a control; slots of one and of two tokens."""
    texts = {
        "a": ("w5 w6 w7 w8 w9", (6, 8)), "a-source": ("w5 w6 w17 w8 w9", (6, 9)),
        "a-control": ("w20 w21 w22 w8 w24", (8, 11)),
        "b": ("w30 w31 w32 w33 w34 w35 w36", (8, 15)), "b-source": ("w1 w31 w12 w9 w34 w38 w39", (7, 10)),
        "b-control": ("w30 w2 w32 w33 w34 w35 w6", (7, 14)),
    }  # fmt: skip
    return {name: Prompt(name, text, "x", span, name) for name, (text, span) in texts.items()}


@pytest.fixture(scope="module", params=["demo", "llama", "gpt_neo"])
def asked(request):
    """(model, prompts with their slots: target, source, control, and again)."""
    if request.param == "demo":
        model, prompts = load_model("demo"), demo_prompts()
    else:
        model = load_model(make(request.param), tokenizer=word_tokenizer(), device="cpu")
        prompts = made_up_prompts()
    encoder = encoder_of(model)
    found = lay_out(model, list(prompts.values()), (), {name: name for name in prompts})
    return model, [Placed(one, slot_of(prompts[one.id], one.tokens, encoder)) for one in found]


def patches_of(placed):
    return [
        Patch(target, {"patch": [source], "control_patch": [control]})
        for target, source, control in (placed[:3], placed[3:])
    ]


def written(model, patches, heads, recipe=None, sampling=GREEDY, *, batch_tokens=4096):
    """``texts[arm][prompt][sample]``: unpatched, patched, control-patched."""
    layers = range(len(model.heads_per_layer))
    states = PatchStates(model, patches, recipe or Recipe(), layers=layers, batch_tokens=4096)
    arms = [None, *(Arm(heads, kind) for kind in PATCH_KINDS)]
    prompts = [patch.target.layout for patch in patches]
    return TextPasses(model, prompts, arms, sampling, states=states, batch_tokens=batch_tokens).write()


def everything(model):
    return HeadSet.parse("*", model.heads_per_layer)


def projections(hf):
    return [module for name, module in hf.named_modules() if name.rsplit(".", 1)[-1] in ("c_proj", "o_proj", "out_proj")
            and ".mlp" not in name]  # fmt: skip


@torch.inference_mode()
def slow_logits(model, ids, put=None, keep=None):
    """[V] after the last token of one unpadded, uncached run; ``put(layer, z)`` may change z [1, T, H * d]."""
    handles = []
    for layer, projection in enumerate(projections(model.hf)):

        def hook(_, args, layer=layer):
            z = args[0].clone()
            if keep is not None:
                keep[layer] = z.clone()
            return ((z if put is None else put(layer, z)), *args[1:])

        handles.append(projection.register_forward_pre_hook(hook))
    logits = model.hf(torch.tensor([ids])).logits[0, -1]
    for handle in handles:
        handle.remove()
    return logits


def slow_text(model, target, source, heads, where, alpha):
    """Greedy tokens of ``target`` patched from ``source``, everything run anew for each of them."""
    new = []
    first, end, n = target.slot.first, target.slot.end, target.slot.n_prompt
    there_first, there_end, m = source.slot.first, source.slot.end, source.slot.n_prompt
    size = model.hf.config.hidden_size // model.heads_per_layer[0]
    for _ in range(N_NEW):
        caught = {}
        slow_logits(model, [*source.layout.tokens.ids, *new], keep=caught)
        places = {
            "from_span": range(first, n + len(new)),
            "span": range(first, end),
            "last": [n - 1],
            "generated": range(n, n + len(new)),
        }[where]

        def counterpart(i):
            if i < end:
                return max(there_end - (end - i), there_first)
            return max(m - (n - i), min(there_end, m - 1)) if i < n else m + (i - n)

        def put(layer, z, caught=caught, places=places, counterpart=counterpart):
            for head in heads:
                if head.layer == layer:
                    mine = slice(head.head * size, (head.head + 1) * size)
                    for i in places:
                        z[0, i, mine] = (1 - alpha) * z[0, i, mine] + alpha * caught[layer][0, counterpart(i), mine]
            return z

        new.append(int(slow_logits(model, [*target.layout.tokens.ids, *new], put).argmax()))
    return tuple(new)


@pytest.mark.parametrize(("where", "alpha"), [*((where, 1.0) for where in TARGETS), ("from_span", 0.5)])
def test_greedy_text_agrees_with_one_text_at_a_time_without_a_cache(asked, where, alpha):
    model, placed = asked
    last = len(model.heads_per_layer) - 1
    heads = HeadSet.parse(f"0:1,1:*,{last}:*", model.heads_per_layer)
    found = written(model, patches_of(placed), heads, Recipe(where=where, alpha=alpha))
    for p, (target, source, control) in enumerate((placed[:3], placed[3:])):
        assert found[1][p][0] == slow_text(model, target, source, heads, where, alpha)
        assert found[2][p][0] == slow_text(model, target, control, heads, where, alpha)
    if model.name != "demo" or where == "from_span":  # the demo says the concept's word at once or not at all
        assert found[1] != found[0], "a patch that changes no text would test nothing"


def test_with_every_head_patched_from_the_span_on_a_target_writes_what_its_source_writes(asked):
    """From its last token on a target with its source's last word differs from it by nothing but what heads bring."""
    model, placed = asked
    target, source = placed[:2]
    assert target.layout.tokens.ids[-1] == source.layout.tokens.ids[-1]
    assert target.slot.n_prompt == source.slot.n_prompt
    found = written(model, patches_of(placed)[:1], everything(model))
    alone = TextPasses(model, [source.layout], [None], GREEDY, states=ArmValues(model), batch_tokens=4096).write()
    assert found[1][0] == alone[0][0]
    assert found[1][0] != found[0][0]


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("where", TARGETS)
def test_a_prompt_patched_with_itself_writes_the_same(asked, where, sampling):
    model, placed = asked
    own = [Patch(one.target, one.sources | {"patch": [one.target]}) for one in patches_of(placed)]
    found = written(model, own, everything(model), Recipe(where=where), sampling)
    assert found[1] == found[0]


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_alpha_zero_writes_the_same(asked, sampling):
    model, placed = asked
    found = written(model, patches_of(placed), everything(model), Recipe(alpha=0.0), sampling)
    assert found[1] == found[0] == found[2]


def test_the_first_new_token_is_not_touched_where_only_new_tokens_are_patched(asked):
    model, placed = asked
    found = written(model, patches_of(placed), everything(model), Recipe(where="generated"), SAMPLED)
    for baseline, patched in zip(found[0], found[1], strict=True):
        assert [text[0] for text in patched] == [text[0] for text in baseline]


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_texts_written_together_equal_texts_written_alone(asked, sampling):
    model, placed = asked
    heads, patches = everything(model), patches_of(placed)
    together = written(model, patches, heads, sampling=sampling)
    apart = [written(model, [one], heads, sampling=sampling) for one in patches]
    assert together == [[one[arm][0] for one in apart] for arm in range(3)]
    assert written(model, patches, heads, sampling=sampling, batch_tokens=1) == together


def test_the_mean_over_two_copies_of_a_source_at_its_last_token_writes_as_the_source_does(asked):
    model, placed = asked
    target, source, control = placed[:3]
    twin = Placed(replace(source.layout, id="twin"), source.slot)
    mean = Patch(target, {"patch": [source, twin], "control_patch": [control]})
    recipe = Recipe(where="last")
    assert (
        written(model, [mean], everything(model), recipe)
        == written(model, patches_of(placed)[:1], everything(model), recipe)
    )  # fmt: skip


def test_a_text_that_has_ended_ends_its_sources_row_and_nothing_else(asked):
    """With EOS set to what the patched text says second, it stops there, and the other arms go on as before."""
    model, placed = asked
    patches, heads = patches_of(placed), everything(model)
    whole = written(model, patches, heads)
    eos = whole[1][0][0][1]
    before = model.hf.generation_config.eos_token_id
    try:
        model.hf.generation_config.eos_token_id = eos
        stopped = written(model, patches, heads, sampling=replace(GREEDY, stop_at_eos=True))
    finally:
        model.hf.generation_config.eos_token_id = before
    for arm in range(3):
        for p in range(len(patches)):
            ids = whole[arm][p][0]
            assert stopped[arm][p][0] == (ids[: ids.index(eos)] if eos in ids else ids)


def test_patterns_and_values_are_refused(asked):
    model, placed = asked
    one = placed[0]
    patches = [Patch(one, {"patch": [one], "control_patch": [one]})]
    with pytest.raises(RequestError, match='"v" patched'):
        written(model, patches, everything(model), Recipe(what="v"))


def test_a_source_too_long_to_be_continued_is_named(asked):
    model, placed = asked
    source = placed[1]
    assert model.context_length is not None
    room = model.context_length - source.layout.n_prompt
    short = replace(placed[0].layout, tokens=replace(placed[0].layout.tokens, ids=placed[0].layout.tokens.ids[:-1]))
    target = Placed(short, replace(placed[0].slot, n_prompt=placed[0].slot.n_prompt - 1))
    patches = [Patch(target, {"patch": [source], "control_patch": [target]})]
    with pytest.raises(ProfileError, match=source.layout.id):
        written(model, patches, everything(model), sampling=replace(GREEDY, max_tokens=room + 1))
