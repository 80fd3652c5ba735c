"""What headscope cannot measure is refused with a sentence that says why."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from headscope.errors import ModelError
from headscope.models.loading import load_model
from tests.laws.families import make, widen, word_tokenizer

SMALL: dict[str, Any] = {"vocab_size": 67, "hidden_size": 32, "num_hidden_layers": 2}


def built(config: transformers.PreTrainedConfig) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    widen(model)
    return model.eval()


@pytest.mark.parametrize(
    "config",
    [
        transformers.BertConfig(**SMALL, num_attention_heads=4, intermediate_size=32),
        transformers.RobertaConfig(**SMALL, num_attention_heads=4, intermediate_size=32),
        transformers.ElectraConfig(**SMALL, num_attention_heads=4, intermediate_size=32, embedding_size=32),
    ],
    ids=lambda config: config.model_type,
)
def test_an_encoder_is_refused(config: transformers.PreTrainedConfig) -> None:
    with pytest.raises(ModelError, match="looks at later tokens"):
        load_model(built(config), tokenizer=word_tokenizer(), device="cpu")


def test_an_encoder_decoder_is_refused() -> None:
    config = transformers.BartConfig(
        vocab_size=67, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16, decoder_ffn_dim=16
    )
    with pytest.raises(ModelError, match="encoder-decoder"):
        load_model(transformers.BartForConditionalGeneration(config), tokenizer=word_tokenizer())


@pytest.mark.parametrize(
    "config",
    [
        transformers.MambaConfig(**SMALL, state_size=4),
        transformers.RwkvConfig(**SMALL, attention_hidden_size=32, context_length=64),
    ],
    ids=lambda config: config.model_type,
)
def test_a_model_without_attention_is_refused(config: transformers.PreTrainedConfig) -> None:
    with pytest.raises(ModelError, match="no attention headscope can see"):
        load_model(built(config), tokenizer=word_tokenizer(), device="cpu")


def test_attention_weights_shared_between_layers_are_refused() -> None:
    hf = make("llama")
    hf.model.layers[2].self_attn = hf.model.layers[0].self_attn
    with pytest.raises(ModelError, match="more than once in one pass") as caught:
        load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    assert "self_attn" in str(caught.value)


def test_a_projection_that_is_computed_without_its_module_is_refused() -> None:
    hf = make("bloom", pretraining_tp=2, slow_but_exact=True)
    with pytest.raises(ModelError, match="no output projection"):
        load_model(hf, tokenizer=word_tokenizer(), device="cpu")
