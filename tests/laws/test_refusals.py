"""What headscope cannot measure is refused with a sentence that says why."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from headscope.errors import LawError, ModelError
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


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_heads_that_are_differences_of_attentions_are_refused(attention: str) -> None:
    config = transformers.DiffLlamaConfig(**SMALL, intermediate_size=32, num_attention_heads=4, num_key_value_heads=2)
    config._attn_implementation = attention
    with pytest.raises(ModelError, match="a difference, as in DiffLlama"):
        load_model(built(config), tokenizer=word_tokenizer(), device="cpu")


def test_a_recurrence_that_sees_padding_is_refused_with_its_layers() -> None:
    """RecurrentGemma gives its recurrent layers no mask: a text padded on the left is another text to them."""
    shape = {"intermediate_size": 48, "num_attention_heads": 4, "lru_width": 32, "attention_window_size": 16}
    config = transformers.RecurrentGemmaConfig(**(SMALL | shape | {"num_hidden_layers": 3}))
    with pytest.raises(LawError, match="padded left") as caught:
        load_model(built(config), tokenizer=word_tokenizer(), device="cpu")
    assert "padding before a text enters the state of its layers without heads: 0, 1" in str(caught.value)


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
