"""GGUF files of a tiny Llama, written as llama.cpp's converter writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tests.laws.families import VOCABULARY, make

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}</s>{% endfor %}[assistant]"
MERGES = ("t h", "th e", "Ġ the", "a n", "an d", "Ġ and", "i n", "in g", "o n", "e r", "r e")
_LETTERS = [chr(ord("a") + index) for index in range(26)]
TOKENS = [
    "<pad>",
    "<s>",
    "</s>",
    *_LETTERS,
    *map(str.upper, _LETTERS),
    "Ġ",
    *(pair.replace(" ", "") for pair in MERGES),
]
_CONTROL, _NORMAL = 3, 1

_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def source_model(**changes: Any) -> PreTrainedModel:
    """The model that the files are made from; widths are multiples of 32, the block of the small quantizations."""
    return make("llama", intermediate_size=64, **changes)


def gguf_name(name: str) -> str:
    """What llama.cpp calls a weight of a Llama."""
    stem, _, suffix = name.rpartition(".")
    layer, block = "", stem
    if stem.startswith("model.layers."):
        _, _, number, block = stem.split(".", 3)
        layer = f"blk.{number}."
    return f"{layer}{_NAMES[block]}.{suffix}"


def in_llama_cpps_order(name: str, weight: Tensor, config: Any) -> np.ndarray:
    """A weight as it lies in the file: the halves that rotary positions turn are interleaved in queries and keys."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None:
        return weight.numpy()
    return weight.reshape(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape).numpy()


def settings_of(config: Any) -> dict[str, Any]:
    """The settings of a Llama by key: ints, floats, texts."""
    return {
        "llama.block_count": config.num_hidden_layers,
        "llama.context_length": config.max_position_embeddings,
        "llama.embedding_length": config.hidden_size,
        "llama.feed_forward_length": config.intermediate_size,
        "llama.attention.head_count": config.num_attention_heads,
        "llama.attention.head_count_kv": config.num_key_value_heads,
        "llama.rope.dimension_count": config.hidden_size // config.num_attention_heads,
        "llama.rope.freq_base": float(config.rope_parameters["rope_theta"]),
        "llama.attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "llama.vocab_size": config.vocab_size,
    }


def _add_settings(writer: Any, settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif value is not None:
            writer.add_uint32(key, value)


def _add_tokenizer(writer: Any, cut: str) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut)
    writer.add_token_list(TOKENS)
    writer.add_token_types([_CONTROL] * 3 + [_NORMAL] * (VOCABULARY - 3))
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template(TEMPLATE)


def quantized(weight: np.ndarray, kind: str) -> np.ndarray:
    """The blocks of a weight, as bytes; norms and other vectors stay float32."""
    return gguf.quantize(weight, gguf.GGMLQuantizationType[kind])


def write_gguf(
    path: Path,
    model: PreTrainedModel | None = None,
    *,
    kind: str = "F32",
    architecture: str = "llama",
    tokenizer: bool = True,
    cut: str = "gpt-2",
    settings: Mapping[str, Any] | None = None,
    tensors: Callable[[dict[str, np.ndarray]], object] = len,
) -> PreTrainedModel:
    """Write the model, with ``settings`` changed (None takes one out) and ``tensors`` changed in place; returns it."""
    assert len(TOKENS) == VOCABULARY
    model = source_model() if model is None else model
    config: Any = model.config
    weights = {
        gguf_name(name): in_llama_cpps_order(name, weight.detach(), config) for name, weight in model.named_parameters()
    }
    tensors(weights)
    path.parent.mkdir(exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("model")
    _add_settings(writer, settings_of(config) | dict(settings or {}))
    if tokenizer:
        _add_tokenizer(writer, cut)
    for name, weight in weights.items():
        if kind == "F32" or weight.ndim < 2:
            writer.add_tensor(name, np.ascontiguousarray(weight, dtype=np.float32))
        else:
            dtype = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(name, quantized(weight, kind), raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def write_family(path: Path, family: str, settings: Mapping[str, Any] | None = None, **changes: Any) -> PreTrainedModel:
    """Write the family's tiny model by gguf's own table of names, with ``settings`` changed; returns it."""
    model = make(family, **changes)
    config: Any = model.config
    sizes = config.hidden_size, config.num_hidden_layers, config.num_attention_heads
    kind = next(kind for kind, name in gguf.MODEL_ARCH_NAMES.items() if name == family)
    names = gguf.get_tensor_name_map(kind, sizes[1])
    own = {
        "embedding_length": sizes[0],
        "block_count": sizes[1],
        "attention.head_count": sizes[2],
        "attention.head_count_kv": getattr(config, "num_key_value_heads", None) or 1,
        "context_length": config.max_position_embeddings,
        "feed_forward_length": getattr(config, "intermediate_size", None) or config.ffn_hidden_size,
        "attention.key_length": getattr(config, "head_dim", None),
        "attention.sliding_window": getattr(config, "sliding_window", None),
        "attn_logit_softcapping": getattr(config, "attn_logit_softcapping", None),
        "final_logit_softcapping": getattr(config, "final_logit_softcapping", None),
        "rope.freq_base": float(config.rope_parameters["rope_theta"]),
        "vocab_size": config.vocab_size,
    }
    for key in ("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"):
        epsilon = [getattr(config, name, None) for name in ("rms_norm_eps", "norm_epsilon", "layer_norm_epsilon")]
        own[key] = next(value for value in epsilon if value is not None)
    writer = gguf.GGUFWriter(path, family)
    _add_settings(writer, {f"{family}.{key}": value for key, value in {**own, **(settings or {})}.items()})
    _add_tokenizer(writer, "gpt-2")
    for name, weight in model.named_parameters():
        offset = 1.0 if family == "gemma2" and "norm" in name else 0.0  # llama.cpp's norms do not add it
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), (weight.detach() + offset).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def unpacked(model: PreTrainedModel, kind: str) -> dict[str, Tensor]:
    """The model's weights as a file of that kind gives them back, in the model's own order."""
    back = {}
    for name, weight in model.state_dict().items():
        if weight.dim() < 2:
            back[name] = weight
            continue
        dtype = gguf.GGMLQuantizationType[kind]
        values = gguf.dequantize(quantized(in_llama_cpps_order(name, weight, model.config), kind), dtype)
        heads = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}
        n = heads.get(name.split(".")[-2])
        if n is not None:
            values = values.reshape(n, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        back[name] = torch.from_numpy(np.ascontiguousarray(values))
    return back
