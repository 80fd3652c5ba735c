"""Forward passes give the model's own logits, at the asked places only."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from jaxtyping import TypeCheckError

from headscope.errors import RequestError, WorkError
from headscope.models.batches import Batch
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.models.running import logits_at, prefill, run_hidden
from tests.laws.families import FAMILIES, make, sequences, word_tokenizer
from tests.tolerances import close


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "cohere", "granite", "gptj"])
def test_logits_at_chosen_places_equal_those_of_a_whole_pass(family: str) -> None:
    """Families that scale or cap their logits after the language-model head are among these."""
    assert family in FAMILIES
    model = load_model(make(family), tokenizer=word_tokenizer(), device="cpu")
    batch = Batch.of_chains(sequences())
    rows, tokens = torch.tensor([2, 0, 0]), torch.tensor([1, 10, 3])
    with torch.inference_mode():
        whole = model.hf(
            input_ids=batch.ids, attention_mask=batch.attention_mask, position_ids=batch.positions, use_cache=False
        ).logits
    assert close(logits_at(model, batch, rows, tokens), whole[rows, tokens], model)


def test_the_language_model_head_runs_at_the_asked_places_only(gpt2: HeadModel) -> None:
    shapes: list[tuple[int, ...]] = []
    head = gpt2.hf.get_output_embeddings()
    handle = head.register_forward_hook(lambda _, args, out: shapes.append(tuple(out.shape)))
    batch = Batch.of_chains(sequences())
    logits_at(gpt2, batch, torch.tensor([0, 1]), torch.tensor([2, 3]))
    run_hidden(gpt2, batch)
    handle.remove()
    assert shapes == [(1, 2, 67)]


def test_a_row_longer_than_the_context_is_an_error(gpt2: HeadModel) -> None:
    batch = Batch.of_chains([[3] * 65])
    with pytest.raises(RequestError, match="longer than the model's context"):
        run_hidden(gpt2, batch)


def test_trees_are_refused_where_the_load_check_did_not_find_them_equal(gpt2: HeadModel) -> None:
    plain = Batch.of_chains([[3, 4, 5]])
    tree = Batch(plain.ids, plain.positions, plain.attention_mask, torch.ones(1, 3, 3, dtype=torch.bool).tril())
    run_hidden(gpt2, tree)
    for limit in (None, 2):
        with pytest.raises(RequestError, match="unpacked"):
            run_hidden(replace(gpt2, tree_row_limit=limit), tree)


def test_a_padded_token_of_a_tree_that_sees_nothing_does_not_spread_nan(gpt2: HeadModel) -> None:
    plain = Batch.of_chains([[3, 4, 5], [6, 7]])
    allowed = torch.ones(2, 3, 3, dtype=torch.bool).tril() & plain.attention_mask.bool()[:, None]
    allowed[1, 2] = False
    tree = Batch(plain.ids, plain.positions, plain.attention_mask, allowed)
    places = torch.tensor([0, 1]), torch.tensor([2, 1])
    assert close(logits_at(gpt2, tree, *places), logits_at(gpt2, plain, *places), gpt2)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_logits_that_are_nan_name_the_dtype(dtype: str) -> None:
    model = load_model(make("llama"), tokenizer=word_tokenizer(), device="cpu", dtype=dtype, unchecked=True)
    with torch.no_grad():
        model.hf.model.norm.weight.fill_(float("inf"))
    with pytest.raises(WorkError, match=dtype) as caught:
        logits_at(model, Batch.of_chains([[3, 4]]), torch.tensor([0]), torch.tensor([1]))
    assert ("--dtype float32" in str(caught.value)) == (dtype == "float16")


def test_a_model_put_into_training_mode_is_refused(gpt2: HeadModel) -> None:
    training = replace(gpt2, hf=copy.deepcopy(gpt2.hf).train())
    with pytest.raises(RequestError, match="training mode"):
        run_hidden(training, Batch.of_chains([[3, 4]]))


def test_generation_asks_for_padding_on_the_left(gpt2: HeadModel) -> None:
    with pytest.raises(RequestError, match="left"):
        prefill(gpt2, Batch.of_chains([[3, 4, 5], [3]], padding="right"))


@pytest.mark.parametrize("field", ["positions", "attention_mask"])
def test_a_transposed_array_is_refused_where_it_is_made(field: str) -> None:
    whole = Batch.of_chains([[3, 4, 5], [3, 4]])
    with pytest.raises(TypeCheckError, match=field):
        replace(whole, **{field: getattr(whole, field).T})


def test_arrays_that_do_not_fit_each_other_are_refused(gpt2: HeadModel) -> None:
    rows = torch.zeros(2, dtype=torch.long)
    with pytest.raises(TypeCheckError, match="tokens"):
        logits_at(gpt2, Batch.of_chains([[3, 4, 5]]), rows, rows[:1])
