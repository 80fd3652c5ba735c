"""The tanh form of GELU in one operation says what it says written out, and a model of the user's own keeps its own."""

import pytest
import torch
from torch import nn
from transformers.activations import FastGELUActivation, NewGELUActivation

from headscope.models.batches import batch_of
from headscope.models.loading import load_model
from headscope.models.pretrained import join_activations
from headscope.models.running import logits_at
from headscope.tokens import tree_row
from tests.laws.families import make, word_tokenizer
from tests.tolerances import FLOAT64, close


@pytest.mark.parametrize("written_out", [NewGELUActivation, FastGELUActivation])
def test_it_is_the_same_function(written_out: type[nn.Module]) -> None:
    model = make("gpt2")
    for block in model.transformer.h:
        block.mlp.act = written_out()
    assert join_activations(model) == 3
    x = torch.linspace(-30, 30, 100_001, dtype=torch.float64)
    for block in model.transformer.h:
        assert close(block.mlp.act(x), written_out()(x), FLOAT64)
    assert join_activations(model) == 0


def test_a_checkpoint_has_it_joined_and_gives_the_logits_it_gives_written_out(tmp_path) -> None:
    live = make("gpt2")
    live.config.activation_function = "gelu_new"
    live.save_pretrained(tmp_path)
    own = load_model(live, tokenizer=word_tokenizer(), device="cpu")
    loaded = load_model(tmp_path, tokenizer=word_tokenizer(), device="cpu")
    assert all(isinstance(block.mlp.act, NewGELUActivation) for block in own.hf.transformer.h)
    assert all(isinstance(block.mlp.act, nn.GELU) for block in loaded.hf.transformer.h)
    assert own.fingerprint == loaded.fingerprint
    batch = batch_of([tree_row([[1, 5, 9, 4]])], torch.device("cpu"))
    at = torch.zeros(4, dtype=torch.long), torch.arange(4)
    assert close(logits_at(own, batch, *at), logits_at(loaded, batch, *at), own)
