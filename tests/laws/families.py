"""Tiny randomly initialized models of every family headscope promises to support, and a tokenizer for them.

Each stands for a mechanism: grouped-query heads, sliding windows shorter than a prompt, soft caps, sinks, parallel
residuals, an explicit head size, ALiBi, latent attention. Weights are drawn wide, so that attention is far from
uniform and a wrong head would show.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from tests.laws.newer_families import NEWER

VOCABULARY = 67
_COMMON: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_LLAMA_LIKE: dict[str, Any] = _COMMON | {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_GROUPED: dict[str, Any] = _LLAMA_LIKE | {"num_key_value_heads": 2}

# family -> (configuration class, its arguments, what it stands for)
FAMILIES: dict[str, tuple[str, dict[str, Any], str]] = {
    "gpt2": ("GPT2Config", _COMMON | {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}, "learned positions"),
    "gpt_neo": (
        "GPTNeoConfig",
        _COMMON
        | {
            "hidden_size": 32,
            "num_layers": 4,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 2]],
            "max_position_embeddings": 64,
            "window_size": 5,
        },
        "local layers, window 5",
    ),
    "gptj": (
        "GPTJConfig",
        _COMMON | {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "rotary_dim": 4},
        "parallel residual",
    ),
    "gpt_neox": ("GPTNeoXConfig", _LLAMA_LIKE | {"use_parallel_residual": True}, "parallel residual"),
    "opt": (
        "OPTConfig",
        _COMMON
        | {
            "hidden_size": 32,
            "ffn_dim": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "max_position_embeddings": 64,
            "word_embed_proj_dim": 32,
        },
        "learned positions with an offset",
    ),
    "bloom": ("BloomConfig", _COMMON | {"hidden_size": 32, "n_layer": 3, "n_head": 4}, "ALiBi"),
    "falcon": (
        "FalconConfig",
        _COMMON
        | {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "multi_query": True,
            "parallel_attn": True,
            "alibi": False,
            "max_position_embeddings": 64,
        },
        "7B style: one key/value head",
    ),
    "falcon_40b": (
        "FalconConfig",
        _COMMON
        | {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_kv_heads": 2,
            "new_decoder_architecture": True,
            "alibi": False,
            "max_position_embeddings": 64,
        },
        "40B style: grouped-query",
    ),
    "falcon_rw": (
        "FalconConfig",
        _COMMON
        | {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "multi_query": False,
            "parallel_attn": False,
            "alibi": True,
        },
        "RW style: ALiBi",
    ),
    "mpt": ("MptConfig", _COMMON | {"d_model": 32, "n_layers": 3, "n_heads": 4, "max_seq_len": 64}, "ALiBi"),
    "llama": ("LlamaConfig", _GROUPED, "grouped-query"),
    "mistral": ("MistralConfig", _GROUPED | {"sliding_window": 5}, "window 5, shorter than the prompt"),
    "mixtral": (
        "MixtralConfig",
        _GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
        "mixture of experts",
    ),
    "qwen2": ("Qwen2Config", _GROUPED, "query, key and value biases"),
    "qwen3": ("Qwen3Config", _GROUPED | {"head_dim": 12}, "explicit head size, query and key norms"),
    "qwen3_moe": (
        "Qwen3MoeConfig",
        _GROUPED
        | {
            "head_dim": 12,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "norm_topk_prob": True,
        },
        "explicit head size, mixture of experts",
    ),
    "gemma": ("GemmaConfig", _LLAMA_LIKE | {"num_key_value_heads": 1, "head_dim": 12}, "one key/value head"),
    "gemma2": (
        "Gemma2Config",
        _GROUPED | {"head_dim": 12, "sliding_window": 5, "attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0},
        "soft caps, window 5 in every other layer",
    ),
    "gemma3": (
        "Gemma3TextConfig",
        _GROUPED
        | {"head_dim": 12, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"] * 2}
        | {"num_hidden_layers": 4},
        "query and key norms, window 5",
    ),
    "phi": ("PhiConfig", _LLAMA_LIKE | {"partial_rotary_factor": 0.5}, "parallel residual"),
    "phi3": ("Phi3Config", _GROUPED | {"sliding_window": 5}, "fused projections, window 5"),
    "olmo": ("OlmoConfig", _GROUPED | {"clip_qkv": 2.0}, "clipped queries, keys and values"),
    "olmo2": ("Olmo2Config", _GROUPED, "norms after the block"),
    "granite": (
        "GraniteConfig",
        _GROUPED | {"attention_multiplier": 0.3, "residual_multiplier": 0.7, "logits_scaling": 2.0},
        "its own scales",
    ),
    "cohere": ("CohereConfig", _GROUPED | {"logit_scale": 0.5, "use_qk_norm": True}, "parallel residual, logit scale"),
    "stablelm": ("StableLmConfig", _GROUPED | {"use_qkv_bias": True, "partial_rotary_factor": 0.5}, "partial rotary"),
    "starcoder2": ("Starcoder2Config", _GROUPED | {"sliding_window": 5}, "biases, window 5"),
    "codegen": (
        "CodeGenConfig",
        _COMMON | {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "rotary_dim": 4},
        "values and keys interleaved by shard",
    ),
    "gpt_oss": (
        "GptOssConfig",
        _GROUPED
        | {
            "head_dim": 12,
            "sliding_window": 5,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 2.0,
                "original_max_position_embeddings": 32,
            },
        },
        "sinks: rows do not sum to 1",
    ),
    "deepseek_v3": (
        "DeepseekV3Config",
        _LLAMA_LIKE
        | {
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 2,
            "topk_group": 1,
            "n_shared_experts": 1,
            "moe_intermediate_size": 16,
            "first_k_dense_replace": 1,
            "kv_lora_rank": 16,
            "q_lora_rank": 12,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 8,
            "v_head_dim": 6,
        },
        "latent attention: values narrower than queries",
    ),
}

FAMILIES.update((family, (name, _GROUPED | changes, what)) for family, (name, changes, what) in NEWER.items())


def make(family: str, *, seed: int = 0, attention: str | None = None, **changes: Any) -> PreTrainedModel:
    """A tiny model of the family with wide random weights, in eval mode."""
    name, arguments, _ = FAMILIES[family]
    config = getattr(transformers, name)(**(arguments | changes))
    options = {} if attention is None else {"attn_implementation": attention}
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, **options)
    widen(model)
    return model.eval()


@functools.cache
def loaded(family: str) -> HeadModel:
    """The family's tiny model with headscope's check passed, loaded once; not to be changed."""
    return load_model(make(family), tokenizer=word_tokenizer(), device="cpu")


def widen(model: PreTrainedModel) -> None:
    """Draw every weight anew, wide enough that attention is far from uniform and every bias counts."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() >= 2:
                weight.normal_(std=1.0 if "embed" in name or "wte" in name else 2.0 * weight.shape[-1] ** -0.5)
            elif "bias" in name or "sinks" in name:
                weight.normal_(std=0.5)
            else:
                weight.add_(0.1 * torch.randn_like(weight))


def word_tokenizer(*, bos: bool = True) -> PreTrainedTokenizerFast:
    """A word-level tokenizer of 67 ids, for models that never see real text."""
    words = {"<pad>": 0, "<s>": 1, "</s>": 2} | {f"w{index}": index for index in range(3, VOCABULARY)}
    inner = Tokenizer(models.WordLevel(words, unk_token="</s>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "</s>"} | ({"bos_token": "<s>"} if bos else {})
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special)


Sequences = list[list[int]]


def sequences(longest: int = 11) -> Sequences:
    """Rows of different length; the second shares a prefix with the first."""
    generator = torch.Generator().manual_seed(5)
    draws = torch.randint(3, VOCABULARY, (4, longest), generator=generator).tolist()
    return [draws[0], draws[0][:4] + draws[1][4 : longest - 2], draws[2][: longest - 5], draws[3][: longest - 7]]


Forward = Callable[..., Any]
