"""A pass that begins at the edited block equals a whole one, and leaves the model as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from headscope.models.batches import Batch
from headscope.models.blocks import blocks_of, keeping_inputs, repeated_rows, starting_at
from headscope.models.editing import LayerEdit, editing
from headscope.models.head_model import HeadModel
from headscope.models.law_rows import all_logits
from headscope.models.laws import check_laws
from headscope.models.loading import load_model
from headscope.models.running import run_hidden
from tests.laws.families import make, sequences, word_tokenizer
from tests.tolerances import close


def fresh(family: str) -> HeadModel:
    return load_model(make(family), tokenizer=word_tokenizer(), device="cpu", unchecked=True)


def test_blocks_are_the_modules_the_loop_runs(gpt2: HeadModel, llama: HeadModel) -> None:
    assert blocks_of(gpt2) == list(gpt2.hf.transformer.h)
    assert blocks_of(llama) == list(llama.hf.model.layers)


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("family", ["gpt2", "gptj", "bloom", "gemma3", "gpt_oss"])
def test_every_row_of_a_block_of_edits_equals_its_whole_pass(family: str, layer: int) -> None:
    """gptj and bloom give attention weights beside the stream; gemma3 and gpt_oss a mask for each kind of layer."""
    model = fresh(family)
    n_heads, rows = model.heads_per_layer[layer], sequences()
    once = Batch.of_chains(rows)
    times = Batch.of_chains(rows * n_heads)
    gain = torch.ones(n_heads, 1, n_heads)
    gain[range(n_heads), :, range(n_heads)] = 0.0
    with keeping_inputs(model, [layer]) as kept:
        run_hidden(model, once)
    edit = LayerEdit(gain.repeat_interleave(len(rows), 0))
    with editing(model, {layer: edit}), starting_at(model, layer, repeated_rows(kept[layer], n_heads)):
        begun = all_logits(model, times)
    for index in range(n_heads):
        with editing(model, {layer: LayerEdit(gain[index : index + 1])}):
            whole = all_logits(model, once)
        for row, logits in enumerate(whole):
            assert close(begun[index * len(rows) + row], logits, model)


def test_the_blocks_below_do_not_run(llama: HeadModel) -> None:
    batch, ran = Batch.of_chains(sequences()), []
    with keeping_inputs(llama, [2]) as kept:
        run_hidden(llama, batch)
    blocks = blocks_of(llama)
    handles = [
        block.self_attn.register_forward_hook(lambda *_, at=index: ran.append(at)) for index, block in enumerate(blocks)
    ]
    with starting_at(llama, 2, kept[2]):
        run_hidden(llama, batch)
    for handle in handles:
        handle.remove()
    assert ran == [2]


def test_the_model_is_as_before_also_after_an_error_and_with_a_forward_of_its_own() -> None:
    model, batch = fresh("llama"), Batch.of_chains(sequences())
    blocks = blocks_of(model)
    inner = blocks[0].forward

    def wrapped(*args: Any, **kwargs: Any) -> Any:  # as accelerate puts one on the object
        return inner(*args, **kwargs)

    blocks[0].forward = wrapped  # type: ignore[method-assign]
    before = all_logits(model, batch)
    with keeping_inputs(model, [1, 2]) as kept:
        run_hidden(model, batch)
    with pytest.raises(ZeroDivisionError), starting_at(model, 2, kept[2]):
        raise ZeroDivisionError
    assert vars(blocks[0])["forward"] is wrapped
    assert "forward" not in vars(blocks[1])
    assert not any(module._forward_hooks for module in model.hf.modules())
    assert all(torch.equal(one, other) for one, other in zip(all_logits(model, batch), before, strict=True))


def test_a_model_whose_later_block_needs_what_an_earlier_one_did_runs_every_block() -> None:
    """As where values of the first layer are added in later ones: the stream is not all there is."""
    model = fresh("llama")
    first: list[torch.Tensor] = []
    blocks = blocks_of(model)
    blocks[0].register_forward_hook(lambda _, args, output: first.__setitem__(slice(None), [output]))
    blocks[2].register_forward_pre_hook(lambda _, args: (args[0] + first[0], *args[1:]))
    report = check_laws(model)
    law = next(law for law in report.laws if law.name.startswith("begun"))
    assert report.passed
    assert law.passed is None
    assert not model.skips_lower_blocks


def test_a_model_with_an_unchecked_loop_runs_every_block() -> None:
    assert not fresh("llama").skips_lower_blocks


def test_a_head_that_cannot_be_taken_apart_gives_all_logits():
    """Something in the place of its pass would be passed over, so all logits are computed and nothing is changed."""
    hf = make("llama")
    hf.lm_head.forward = hf.lm_head.forward  # as hooks of other libraries do
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    assert not model.gives_some_tokens
    assert "forward" in vars(hf.lm_head)
    assert load_model(make("llama"), tokenizer=word_tokenizer(), device="cpu").gives_some_tokens
