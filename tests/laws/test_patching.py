"""Laws of patching, on any architecture: rows of a batch are patched by hand-made arms and whole logits compared."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headscope.heads import HeadSet
from headscope.measure.alignment import Patch, Placed, Recipe, Slot, is_patched, matched
from headscope.measure.edits import Arm, places_of
from headscope.measure.layout import lay_out
from headscope.measure.patching import PatchStates
from headscope.models.batches import batch_of
from headscope.models.loading import load_model
from headscope.models.running import forward_arguments
from headscope.profiles.types import Prompt
from tests.laws.families import make, word_tokenizer
from tests.tolerances import close, pass_error

READOUTS = ("w40 w41 w42", "w40 w43")
TEXTS = {
    "target": ("w5 w6 w7 w8 w9", (6, 8)),
    "source": ("w5 w6 w17 w8 w9", (6, 9)),
    "control": ("w20 w21 w22 w23 w24", (8, 11)),
    "long": ("w30 w31 w32 w33 w34 w35 w36", (8, 15)),  # two tokens in the slot, three after it
}


@pytest.fixture(scope="module", params=["gpt2", "llama", "qwen3", "gpt_neo"])
def model(request):
    return load_model(make(request.param), tokenizer=word_tokenizer(), device="cpu")


def placed(model, *, pack=True, readouts=READOUTS):
    prompts = [Prompt(name, text, "x", span, name) for name, (text, span) in TEXTS.items()]
    asked = lay_out(model, prompts, readouts, {name: name for name in TEXTS}, pack=pack)
    slots = {"target": Slot(3, 4, 6), "source": Slot(3, 4, 6), "control": Slot(3, 4, 6), "long": Slot(3, 5, 8)}
    return {one.id: Placed(one, slots[one.id]) for one in asked}


def everything(model):
    return HeadSet.parse("*", model.heads_per_layer)


def states_of(model, target, source, control, recipe=None, **options):
    patch = Patch(target, {"patch": [source], "control_patch": [control]})
    layers = range(len(model.heads_per_layer))
    return PatchStates(model, [patch], recipe or Recipe(), layers=layers, batch_tokens=4096, **options)


@torch.inference_mode()
def logits(model, target, states=None, arms=()):
    """[rows, T, V] of one target's rows, under each arm, side by side."""
    width = max(map(len, target.layout.rows))
    rows = [
        (arm, target.layout, places_of(target.layout, r, width))
        for arm in arms or (None,)
        for r in range(len(target.layout.rows))
    ]
    batch = batch_of(
        [target.layout.rows[r] for _ in arms or (None,) for r in range(len(target.layout.rows))], model.device
    )
    if states is None:
        return model.hf(**forward_arguments(model, batch)).logits
    with states.edited(rows):
        return model.hf(**forward_arguments(model, batch)).logits


def patched(model, target, source, control, arms, **recipe):
    return logits(model, target, states_of(model, target, source, control, Recipe(**recipe)), arms)


def arm(heads, kind="patch"):
    return Arm(heads, kind)


def test_a_prompt_patched_with_itself_is_the_same_bit_for_bit(model):
    one = placed(model)
    found = patched(model, one["target"], one["target"], one["control"], [arm(everything(model))])
    assert torch.equal(found, logits(model, one["target"]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_so_it_is_in_any_precision(dtype):
    model = load_model(make("gpt2"), tokenizer=word_tokenizer(), device="cpu")
    model.hf.to(dtype)
    one = placed(model)
    found = patched(model, one["target"], one["target"], one["control"], [arm(everything(model))])
    tolerance = pass_error(model) if dtype == torch.float64 else 0.0  # an edit's value is float32
    assert close(found, logits(model, one["target"]), tolerance)


@pytest.mark.parametrize("what", ["pattern", "v"])
def test_patterns_and_values_patched_with_the_prompts_own_change_nothing(model, what):
    one = placed(model)
    found = patched(model, one["target"], one["target"], one["control"], [arm(everything(model))], what=what)
    assert close(found, logits(model, one["target"]), model)


@pytest.mark.parametrize("what", ["z", "pattern", "v"])
def test_alpha_zero_changes_nothing_at_all(model, what):
    one = placed(model)
    found = patched(model, one["target"], one["source"], one["control"], [arm(everything(model))], what=what, alpha=0.0)
    assert torch.equal(found, logits(model, one["target"]))


@pytest.mark.parametrize("what", ["z", "pattern", "v"])
def test_a_full_patch_changes_what_follows_the_slot_and_nothing_before_it(model, what):
    one = placed(model)
    found = patched(model, one["target"], one["source"], one["control"], [arm(everything(model))], what=what)
    before = logits(model, one["target"])
    positions = one["target"].layout.rows[0].positions
    early, late = np.flatnonzero(positions < 3), np.flatnonzero(positions >= 3)
    assert close(found[0, early], before[0, early], model)
    assert ((found[0, late] - before[0, late]).abs().amax(-1) > 1e-3).all()


def test_half_of_alpha_in_one_head_moves_z_half_the_way(model):
    """The patched head's z itself, caught behind the patch, lies on the straight line."""
    one = placed(model)
    head = HeadSet.parse("1:2", model.heads_per_layer)
    caught = {}

    def watch(alpha):
        projection = model.anatomy.layers[1].projection
        with states_of(model, one["target"], one["source"], one["control"], Recipe(alpha=alpha)).edited(
            [(arm(head), one["target"].layout, places_of(one["target"].layout, 0, len(one["target"].layout.rows[0])))]
        ):
            handle = projection.register_forward_pre_hook(lambda _, args: caught.update({alpha: args[0].clone()}))
            try:
                batch = batch_of([one["target"].layout.rows[0]], model.device)
                with torch.inference_mode():
                    model.hf(**forward_arguments(model, batch))
            finally:
                handle.remove()

    for alpha in (0.0, 0.25, 1.0):
        watch(alpha)
    assert close(caught[0.25], 0.75 * caught[0.0] + 0.25 * caught[1.0], model)
    assert not torch.allclose(caught[0.0], caught[1.0], atol=1e-3)


def test_all_heads_and_the_residual_input_at_one_token_reproduce_the_source_there(model):
    """At the last token, layer 1's input and the z of every head above are the source's, so its logits are, too."""
    one = placed(model, readouts=())
    width = len(one["target"].layout.rows[0])
    states = states_of(model, one["target"], one["source"], one["control"], Recipe(where="last"))
    heads = HeadSet.of(head for head in everything(model) if head.layer >= 1)
    block = next(module for name, module in model.hf.named_modules() if name.endswith((".h.1", ".layers.1")))
    residual = {}
    handle = block.register_forward_pre_hook(
        lambda _, args, kwargs: residual.update(x=(args[0] if args else kwargs["hidden_states"]).clone()),
        with_kwargs=True,
    )
    source = logits(model, one["source"])
    handle.remove()

    def put(_, args, kwargs):
        hidden = (args[0] if args else kwargs["hidden_states"]).clone()
        hidden[:, -1] = residual["x"][:, -1]
        return ((hidden, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": hidden})

    rows = [(arm(heads), one["target"].layout, places_of(one["target"].layout, 0, width))]
    batch = batch_of([one["target"].layout.rows[0]], model.device)
    with states.edited(rows), torch.inference_mode():
        handle = block.register_forward_pre_hook(put, with_kwargs=True)
        try:
            found = model.hf(**forward_arguments(model, batch)).logits
        finally:
            handle.remove()
    assert not torch.allclose(found[0, -2], source[0, -2], atol=1e-3)
    assert close(found[0, -1], source[0, -1], model)


@pytest.mark.parametrize("what", ["z", "pattern", "v"])
def test_readouts_in_one_row_equal_readouts_one_by_one(model, what):
    if model.tree_row_limit is None:
        pytest.skip("this architecture does not take rows that hold several sequences")
    ends = []
    for pack in (True, False):
        one = placed(model, pack=pack)
        found = patched(model, one["target"], one["source"], one["control"], [arm(everything(model))], what=what)
        ends.append(torch.stack([found[r, token] for r, token in one["target"].layout.ends()]))
    assert close(*ends, model)


def test_arms_beside_each_other_equal_arms_alone(model):
    one = placed(model)
    arms = [
        arm(HeadSet.parse(spec, model.heads_per_layer), kind)
        for spec in ("0:1", "1:*,2:3")
        for kind in ("patch", "control_patch")
    ]
    together = patched(model, one["target"], one["source"], one["control"], arms)
    for which, alone in zip(together.split(len(one["target"].layout.rows)), arms, strict=True):
        single = patched(model, one["target"], one["source"], one["control"], [alone])
        assert close(which, single, model)


def test_a_longer_target_takes_each_token_from_its_counterpart(model):
    """Two slot tokens, three after them: the first slot token and the first after it stand for the left-over ones."""
    counterparts = matched(Slot(3, 5, 8), Slot(3, 4, 6), np.arange(3, 11))
    assert counterparts.tolist() == [3, 3, 4, 4, 5, 6, 7, 8]
    back = matched(Slot(3, 4, 6), Slot(3, 5, 8), np.arange(3, 9))
    assert back.tolist() == [4, 6, 7, 8, 9, 10]
    one = placed(model)
    found = patched(model, one["long"], one["source"], one["control"], [arm(everything(model))])
    assert torch.isfinite(found).all()


def test_the_mean_of_one_prompt_over_its_last_token_is_its_own_z(model):
    """A mean over two copies of the source, at one place, is a patch from the source at that place."""
    one = placed(model)
    twin = replace(one["source"].layout, id="twin")
    mean = Patch(
        one["target"], {"patch": [one["source"], Placed(twin, one["source"].slot)], "control_patch": [one["control"]]}
    )
    layers = range(len(model.heads_per_layer))
    states = PatchStates(model, [mean], Recipe(where="last"), layers=layers, batch_tokens=4096)
    found = logits(model, one["target"], states, [arm(everything(model))])
    single = patched(model, one["target"], one["source"], one["control"], [arm(everything(model))], where="last")
    assert close(found, single, model)


@pytest.mark.parametrize(
    ("where", "expected"),
    [("from_span", [3, 4, 5, 6, 7]), ("span", [3]), ("last", [5]), ("generated", [6, 7])],
)
def test_targets_name_their_tokens(where, expected):
    positions = np.array([*range(8), -1])
    assert np.flatnonzero(is_patched(where, Slot(3, 4, 6), positions)).tolist() == expected
