"""A model that one thread edits or reads gives another thread a refusal, never changed numbers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from headscope.errors import RequestError
from headscope.models.batches import Batch
from headscope.models.blocks import keeping_inputs, starting_at
from headscope.models.editing import LayerEdit, editing, watching_z, zero
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.models.reading import watching_attention
from headscope.models.running import output_at, run_hidden
from tests.laws.families import make, word_tokenizer

IDS = torch.tensor([[3, 4, 5, 6]])


@pytest.fixture(scope="module", params=["gpt2", "gptj"])
def model(request: pytest.FixtureRequest) -> HeadModel:
    return load_model(make(request.param), tokenizer=word_tokenizer(), device="cpu", unchecked=True)


def logits(model: HeadModel) -> Tensor:
    with torch.inference_mode():
        return model.hf(input_ids=IDS).logits


def in_another_thread(work: Callable[[], Any]) -> Future[Any]:
    """The work, done in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work)


def nothing(*_: object) -> None:
    """Watches and keeps nothing."""


BLOCKS: dict[str, Callable[[HeadModel], contextlib.AbstractContextManager[Any]]] = {
    "edit": lambda model: model.edit(zero("1:2")),
    "z": lambda model: watching_z(model, nothing),
    "attention": lambda model: watching_attention(model, nothing, (1, 4)),
    "logits": lambda model: output_at(model, lambda hidden: hidden[:, -1:]),
    "kept streams": lambda model: keeping_inputs(model, [1]),
    "blocks left out": lambda model: starting_at(model, 1, torch.zeros(1, 4, 32)),
}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_pass_of_another_thread_is_refused_and_the_owners_is_not_touched(model: HeadModel, block: str) -> None:
    before = logits(model)
    with BLOCKS[block](model):
        others = in_another_thread(lambda: logits(model)).exception()
    assert isinstance(others, Exception)
    assert "thread" in str(others)
    assert torch.equal(in_another_thread(lambda: logits(model)).result(), before)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_another_thread_is_refused_until_the_first_is_left(model: HeadModel, block: str) -> None:
    def enter() -> None:
        with BLOCKS[block](model):
            pass

    with model.edit(zero("0:0")):
        with pytest.raises(RequestError, match="two threads"):
            in_another_thread(enter).result()
        enter()  # the owner's own blocks nest
        with pytest.raises(RequestError, match="two threads"):
            in_another_thread(enter).result()
    in_another_thread(enter).result()


def test_a_pass_under_way_when_another_thread_edits_is_refused(model: HeadModel) -> None:
    """The other thread's pass has run its first layer; the edit of the last one must not reach it."""
    reached, edited = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            reached.set()
            edited.wait()

    hook = model.anatomy.layers[0].projection.register_forward_pre_hook(wait)
    try:
        with ThreadPoolExecutor(1) as pool:
            others = pool.submit(logits, model)
            reached.wait()
            with model.edit(zero("2:0")):
                edited.set()
                assert isinstance(others.exception(), RequestError)
    finally:
        edited.set()
        hook.remove()


def test_two_models_around_one_transformers_model_are_one(model: HeadModel) -> None:
    twin = load_model(model.hf, tokenizer=model.tokenizer, device="cpu", unchecked=True)
    with model.edit(zero("0:0")):
        error = in_another_thread(lambda: run_hidden(twin, Batch.of_chains([[3, 4]]))).exception()
        assert isinstance(error, RequestError)
        with twin.edit(zero("0:1")):  # one thread
            logits(twin)


def test_a_thread_may_edit_where_another_did_and_left_by_an_error(model: HeadModel) -> None:
    with pytest.raises(ZeroDivisionError), model.edit(zero("0:0")):
        _ = 1 / 0
    before = logits(model)

    def edited() -> Tensor:
        with model.edit(zero("0:0")):
            return logits(model)

    assert not torch.equal(in_another_thread(edited).result(), before)
    assert torch.equal(logits(model), before)


def test_what_autograd_computes_again_in_its_own_thread_is_the_owners(model: HeadModel) -> None:
    """Gradient checkpointing runs the edited pass again inside backward, which another thread does on a GPU."""

    def loss(embedded: Tensor) -> Tensor:
        return model.hf.base_model(inputs_embeds=embedded).last_hidden_state.square().mean()

    embedded, plain = (model.hf.get_input_embeddings()(IDS).detach().requires_grad_() for _ in range(2))
    with editing(model, {0: LayerEdit(torch.tensor([[[1.0, 0.0, 1.0, 1.0]]]))}):
        kept_short = checkpoint(loss, embedded, use_reentrant=False)
        in_another_thread(kept_short.backward).result()
        loss(plain).backward()
    assert torch.equal(embedded.grad, plain.grad)
