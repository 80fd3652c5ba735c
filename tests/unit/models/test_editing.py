"""Edits hold where they are said to hold, compose in order, and leave nothing behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from headscope.errors import RequestError
from headscope.heads import Head
from headscope.models.batches import Batch
from headscope.models.editing import (
    HeadEdit,
    LayerEdit,
    add,
    editing,
    mean,
    replace,
    scale,
    value_bias,
    watching_z,
    zero,
)
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.models.running import logits_at, run_hidden
from tests.laws.families import make, sequences, word_tokenizer
from tests.tolerances import close


@pytest.fixture
def batch() -> Batch:
    return Batch.of_chains(sequences())


def last_logits(model: HeadModel, batch: Batch) -> Tensor:
    return logits_at(model, batch, torch.arange(len(batch)), batch.ends())


def z_of(model: HeadModel, batch: Batch, *edits: HeadEdit) -> dict[int, Tensor]:
    seen: dict[int, Tensor] = {}
    with model.edit(*edits), watching_z(model, lambda layer, z: seen.update({layer: z.clone()})):
        run_hidden(model, batch)
    return seen


def n_hooks(model: HeadModel) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.hf.modules())


def test_after_the_block_logits_are_bit_identical_and_no_hook_is_left(gpt2: HeadModel, batch: Batch) -> None:
    hooks, before = n_hooks(gpt2), last_logits(gpt2, batch)
    with gpt2.edit(zero("0:1,2:*")):
        assert not torch.equal(last_logits(gpt2, batch), before)
    assert torch.equal(last_logits(gpt2, batch), before)
    assert n_hooks(gpt2) == hooks


def test_an_exception_inside_the_block_leaves_no_hook(gpt2: HeadModel) -> None:
    hooks = n_hooks(gpt2)
    with pytest.raises(KeyError), gpt2.edit(zero("1:1"), zero("2:2")):
        raise KeyError
    assert n_hooks(gpt2) == hooks


def test_a_bad_second_layer_leaves_no_hook_of_the_first(gpt2: HeadModel) -> None:
    hooks = n_hooks(gpt2)
    edits = {0: LayerEdit(torch.ones(1, 1, 4)), 1: LayerEdit(torch.ones(1, 1, 3))}
    with pytest.raises(RequestError, match="layer 1"), editing(gpt2, edits):
        pass
    assert n_hooks(gpt2) == hooks


def test_zero_switches_off_these_heads_and_no_others(gpt2: HeadModel, batch: Batch) -> None:
    plain, edited = z_of(gpt2, batch), z_of(gpt2, batch, zero("0:1"))
    others = [0, 2, 3]
    assert float(edited[0][:, :, 1].abs().max()) == 0.0
    assert torch.equal(edited[0][:, :, others], plain[0][:, :, others])


def test_each_row_of_a_batch_has_its_own_edit(gpt2: HeadModel, batch: Batch) -> None:
    gain = torch.ones(len(batch), 1, 4)
    gain[1, 0, 2], gain[2, 0, 3] = 0.0, 0.5
    with editing(gpt2, {1: LayerEdit(gain)}):
        together = last_logits(gpt2, batch)
    for row in range(len(batch)):
        with editing(gpt2, {1: LayerEdit(gain[row : row + 1])}):
            assert torch.equal(last_logits(gpt2, batch)[row], together[row])


def test_an_edit_may_hold_at_some_tokens_only(gpt2: HeadModel, batch: Batch) -> None:
    gain = torch.ones(1, batch.width, 4)
    gain[0, 5, 2] = 0.0
    seen: dict[int, Tensor] = {}
    with editing(gpt2, {0: LayerEdit(gain)}), watching_z(gpt2, lambda layer, z: seen.update({layer: z.clone()})):
        run_hidden(gpt2, batch)
    off = (seen[0].abs().amax(-1) == 0.0).nonzero()
    assert off.tolist() == [[row, 5, 2] for row in range(len(batch))]


def test_a_value_takes_the_place_of_z(gpt2: HeadModel, batch: Batch) -> None:
    values = torch.randn(2, 8)
    edited = z_of(gpt2, batch, replace("1:2,0:3", values))
    assert torch.equal(edited[0][:, :, 3], values[0].expand_as(edited[0][:, :, 3]))
    assert torch.equal(edited[1][:, :, 2], values[1].expand_as(edited[1][:, :, 2]))


@pytest.mark.parametrize("key", ["0:3", "L0H3", (0, 3), Head(0, 3)])
def test_values_may_be_named_by_head(gpt2: HeadModel, batch: Batch, key: object) -> None:
    edited = z_of(gpt2, batch, mean("0:3", {key: [1.0] * 8}))
    assert torch.equal(edited[0][:, :, 3], torch.ones_like(edited[0][:, :, 3]))


def test_an_inner_edit_sees_what_the_outer_left(gpt2: HeadModel, batch: Batch) -> None:
    halve = {0: LayerEdit(torch.full((1, 1, 4), 0.5))}
    add = {0: LayerEdit(torch.ones(1, 1, 4), torch.ones(1, 1, 4, 8))}
    plain, seen = z_of(gpt2, batch)[0], {}
    with editing(gpt2, halve), editing(gpt2, add), watching_z(gpt2, lambda layer, z: seen.update({layer: z.clone()})):
        run_hidden(gpt2, batch)
    assert torch.equal(seen[0], plain * 0.5 + 1.0)


def test_a_watch_sees_edits_entered_before_it_and_not_those_entered_after(gpt2: HeadModel, batch: Batch) -> None:
    plain, seen = z_of(gpt2, batch)[0], {}
    with watching_z(gpt2, lambda layer, z: seen.update({layer: z.clone()}), layers=[0]), gpt2.edit(zero("0:0")):
        run_hidden(gpt2, batch)
    assert list(seen) == [0]
    assert torch.equal(seen[0], plain)


def test_edits_can_be_differentiated(gpt2: HeadModel, batch: Batch) -> None:
    gain = torch.ones(1, 1, 4, requires_grad=True)
    with editing(gpt2, {1: LayerEdit(gain)}):
        gpt2.hf(input_ids=batch.ids, attention_mask=batch.attention_mask).logits[:, -1].sum().backward()
    assert gain.grad is not None
    assert float(gain.grad.abs().min()) > 0


def test_value_bias_is_what_z_becomes_when_every_value_vector_is_zeroed(gpt2: HeadModel, batch: Batch) -> None:
    """GPT-2's b_V, read off c_attn's bias by name; zeroing values at the source must give the same logits."""
    for layer in range(3):
        bias = gpt2.hf.transformer.h[layer].attn.c_attn.bias[64:].reshape(4, 8)
        assert torch.equal(value_bias(gpt2, layer), bias)
    kept = z_of(gpt2, batch, zero("1:2", value_bias="keep"))
    assert torch.equal(kept[1][0, 0, 2], value_bias(gpt2, 1)[2])
    with torch.no_grad():
        twin = make("gpt2")
        twin.transformer.h[1].attn.c_attn.weight[:, 64 + 16 : 64 + 24] = 0.0
        expected = twin(input_ids=batch.ids, attention_mask=batch.attention_mask).logits
    with gpt2.edit(zero("1:2", value_bias="keep")):
        got = last_logits(gpt2, batch)
    rows = torch.arange(len(batch))
    assert close(got, expected[rows, batch.ends()], gpt2)


def test_value_bias_is_spread_over_grouped_heads_and_zero_where_there_is_none(llama: HeadModel) -> None:
    assert float(value_bias(llama, 0).abs().max()) == 0.0
    qwen = load_model(make("qwen2"), tokenizer=word_tokenizer(), device="cpu")
    bias = qwen.hf.model.layers[2].self_attn.v_proj.bias.reshape(2, 8)
    assert torch.equal(value_bias(qwen, 2), bias.repeat_interleave(2, dim=0))


@pytest.mark.parametrize("family", ["bloom", "falcon", "gptj"])
def test_value_bias_of_families_that_do_not_route(family: str) -> None:
    model = load_model(make(family), tokenizer=word_tokenizer(), device="cpu")
    fused = getattr(model.anatomy.layers[1].attention, "query_key_value", None)
    expected = torch.zeros(4, 8) if fused is None or fused.bias is None else fused.bias.reshape(4, 3, 8)[:, 2]
    assert torch.equal(value_bias(model, 1), expected)


@pytest.mark.parametrize(
    ("edit", "names"),
    [
        (LayerEdit(torch.ones(1, 4)), "wrong shape"),
        (LayerEdit(torch.ones(1, 1, 5)), "wrong shape"),
        (LayerEdit(torch.ones(1, 1, 4), torch.ones(1, 1, 4, 7)), "wrong shape"),
        (LayerEdit(torch.ones(3, 1, 4)), "does not fit the pass"),
        (LayerEdit(torch.ones(1, 6, 4)), "does not fit the pass"),
        (LayerEdit(torch.ones(1, 1, 4), torch.ones(1, 6, 4, 8)), "does not fit the pass"),
    ],
)
def test_an_edit_that_does_not_fit_is_an_error(gpt2: HeadModel, batch: Batch, edit: LayerEdit, names: str) -> None:
    with pytest.raises(RequestError, match=names), editing(gpt2, {0: edit}):
        run_hidden(gpt2, batch)


@pytest.mark.parametrize(
    ("edit", "names"),
    [
        (zero("3:0"), "3:0 does not exist"),
        (zero("0:4"), "0:4 does not exist"),
        (zero("0-1"), "malformed"),
        (replace("0:1,0:2", torch.zeros(1, 8)), "do not fit the set"),
        (replace("0:1", torch.zeros(1, 7)), "wrong shape"),
        (replace("0:1", {"0:2": torch.zeros(8)}), "do not name the heads"),
        (replace("0:1", {"0:1": torch.zeros(8), "0:2": torch.zeros(8)}), "do not name the heads"),
    ],
)
def test_a_head_edit_that_does_not_fit_is_an_error(gpt2: HeadModel, edit: HeadEdit, names: str) -> None:
    with pytest.raises(RequestError, match=names), gpt2.edit(edit):
        pass


def test_an_unknown_value_bias_or_layer_is_an_error(gpt2: HeadModel) -> None:
    with pytest.raises(RequestError, match="value_bias"):
        zero("0:1", value_bias="drop")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="layer 7"), editing(gpt2, {7: LayerEdit(torch.ones(1, 1, 4))}):
        pass


def test_scale_0_is_zero_and_scale_1_is_nothing_bit_for_bit(gpt2: HeadModel, batch: Batch) -> None:
    heads, plain = "0:1,2:*", last_logits(gpt2, batch)
    with gpt2.edit(scale(heads, 0.0)):
        off = last_logits(gpt2, batch)
    with gpt2.edit(zero(heads)):
        assert torch.equal(last_logits(gpt2, batch), off)
    with gpt2.edit(scale(heads, 1.0)):
        assert torch.equal(last_logits(gpt2, batch), plain)
    assert not torch.equal(off, plain)


def test_scale_2_twice_is_scale_4_bit_for_bit(gpt2: HeadModel, batch: Batch) -> None:
    with gpt2.edit(scale("1:2", 2.0), scale("1:2", 2.0)):
        twice = last_logits(gpt2, batch)
    with gpt2.edit(scale("1:2", 4.0)):
        assert torch.equal(last_logits(gpt2, batch), twice)
    assert not torch.equal(twice, last_logits(gpt2, batch))


def test_scale_and_add_change_these_heads_and_no_others(gpt2: HeadModel, batch: Batch) -> None:
    vector, plain = torch.linspace(-1.0, 1.0, 8), z_of(gpt2, batch)
    scaled, added = z_of(gpt2, batch, scale("0:1", -1.5)), z_of(gpt2, batch, add("0:1", {"0:1": vector}))
    assert torch.equal(scaled[0][:, :, 1], plain[0][:, :, 1] * -1.5)
    assert torch.equal(added[0][:, :, 1], plain[0][:, :, 1] + vector)
    for edited in (scaled, added):
        assert torch.equal(edited[0][:, :, [0, 2, 3]], plain[0][:, :, [0, 2, 3]])


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), -float("inf")])
def test_a_factor_that_is_not_finite_is_refused(factor: float) -> None:
    with pytest.raises(RequestError, match="not a finite number"):
        scale("0:1", factor)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (torch.zeros(1, 8), "zero length"),
        (torch.full((1, 8), torch.nan), "not finite"),
        (torch.ones(1, 7), "wrong shape"),
        (torch.ones(2, 8), "do not fit the set"),
        (torch.ones(8), "do not fit the set"),
        ({"0:2": torch.ones(8)}, "do not name the heads"),
    ],
)
def test_a_vector_that_adds_nothing_or_does_not_fit_is_refused(gpt2: HeadModel, values: Any, words: str) -> None:
    hooks = n_hooks(gpt2)
    with pytest.raises(RequestError, match=words), gpt2.edit(add("0:1", values)):
        pass
    assert n_hooks(gpt2) == hooks


def test_an_edit_has_the_values_that_its_kind_needs_and_no_others() -> None:
    kind: Any
    for kind in ("mean", "replace", "add"):
        with pytest.raises(RequestError, match="other values than it needs"):
            HeadEdit("0:1", kind)
    for kind in ("zero", "scale"):
        with pytest.raises(RequestError, match="expected: none"):
            HeadEdit("0:1", kind, torch.ones(1, 8))
    kind = "double"
    with pytest.raises(RequestError, match='edit "double" does not exist'):
        HeadEdit("0:1", kind)
