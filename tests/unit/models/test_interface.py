"""The attention interface is borrowed for the length of a block and given back as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.models.gemma2 import modeling_gemma2
from transformers.models.gpt_oss import modeling_gpt_oss

from headscope.errors import ModelError, WorkError
from headscope.models.attention import Attention
from headscope.models.batches import Batch
from headscope.models.head_model import HeadModel
from headscope.models.interface import INTERFACE_NAME, interface_watch
from headscope.models.loading import load_model
from headscope.models.reading import RowQueries, read_attention
from tests.laws import oracles
from tests.laws.families import make, sequences, word_tokenizer
from tests.tolerances import close


def saw_nothing(module: nn.Module, attention: Attention, output: torch.Tensor) -> None:
    raise AssertionError("nothing should run")


def test_the_name_means_nothing_to_transformers() -> None:
    assert not any(part in INTERFACE_NAME for part in ("sdpa", "flash", "flex", "eager", "paged", "/"))


def test_the_model_is_switched_inside_the_block_only(gpt2: HeadModel) -> None:
    with interface_watch(gpt2.hf, saw_nothing) as switched:
        assert switched
        assert gpt2.own_attention == INTERFACE_NAME
    assert gpt2.own_attention == "sdpa"


def test_an_exception_switches_it_back(gpt2: HeadModel) -> None:
    with pytest.raises(KeyError), interface_watch(gpt2.hf, saw_nothing):
        raise KeyError
    assert gpt2.own_attention == "sdpa"


def test_outputs_under_a_watch_are_bit_identical(gpt2: HeadModel) -> None:
    ids = torch.tensor(sequences()[:1])
    with torch.inference_mode():
        before = gpt2.hf(input_ids=ids).logits
        with interface_watch(gpt2.hf, lambda *_: None):
            inside = gpt2.hf(input_ids=ids).logits
    assert torch.equal(before, inside)


def test_a_family_that_does_not_route_is_not_switched() -> None:
    hf = make("gptj")
    with interface_watch(hf, saw_nothing) as switched:
        assert not switched
    assert hf.config._attn_implementation == "eager"


def test_a_model_left_switched_by_hand_says_how_to_undo_it(gpt2: HeadModel) -> None:
    hf = copy.deepcopy(gpt2.hf)
    hf.config._attn_implementation = INTERFACE_NAME
    with pytest.raises(WorkError, match="set_attn_implementation"):
        hf(input_ids=torch.tensor([[3, 4]]))


def test_an_unknown_argument_of_the_attention_is_refused(gpt2: HeadModel) -> None:
    ids = torch.tensor([[3, 4, 5]])
    with interface_watch(gpt2.hf, lambda *_: None), torch.inference_mode():
        gpt2.hf(input_ids=ids, indices=None)
        with pytest.raises(ModelError, match="indices"):
            gpt2.hf(input_ids=ids, indices=torch.tensor([0]))


@pytest.mark.parametrize(("family", "home"), [("gemma2", modeling_gemma2), ("gpt_oss", modeling_gpt_oss)])
def test_soft_caps_sinks_and_windows_are_honored_under_a_users_own_attention(family: str, home: Any) -> None:
    """These families default to eager; under a routed implementation their rows are computed from query and key."""
    name = f"borrowed_from_{family}"
    AttentionInterface.register(name, home.eager_attention_forward)
    AttentionMaskInterface.register(name, eager_mask)
    model = load_model(make(family, attention=name), tokenizer=word_tokenizer(), device="cpu")
    assert model.own_attention == name
    batch = Batch.of_chains(sequences(), padding="left")
    rows, width = batch.ids.shape
    everything = torch.eye(width).expand(rows, width, width, width)
    reading = read_attention(
        model, batch, RowQueries(torch.arange(width).expand(rows, width), batch.attention_mask.bool(), everything)
    )
    eager = make(family, attention="eager")
    for row, ids in enumerate(sequences()):
        real = batch.attention_mask[row].bool()
        mass = reading.mass[:, row][:, real][..., real].transpose(1, 2)
        assert close(mass, oracles.attentions(eager, ids), model)
