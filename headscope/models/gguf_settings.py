"""Whether the configuration that transformers makes of a GGUF file has the file's positions, windows and caps.

transformers fills in a family's default where it does not read a setting, and says nothing; a model with other rotary
frequencies or another window would be measured in place of the one in the file. What can be put into the configuration
is put there. Llama 3.1 and its kin keep the scaling of their frequencies as a tensor, ``rope_freqs.weight``: by what
each frequency is divided. From it the scaling's settings follow, and are taken where they give back the tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from headscope.errors import ModelError
from headscope.models.gguf_file import GgufFile

FREQUENCIES = "rope_freqs.weight"
OF_THE_FILE = {
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}
"""Settings that are put into the configuration, by llama.cpp's name and transformers'."""
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
_ROUNDING = 1e-5  # of a factor in float32: a power, a quotient and a sum, with room
_FIX = "take the checkpoint that the file was made from"


def settled(name: str, header: GgufFile, config: Any) -> Any:
    """The configuration with the file's own windows, caps and rotary frequencies.

    Raises:
        ModelError: transformers would compute other positions than the file asks for.
    """
    told = {own: header.setting(key) for key, own in OF_THE_FILE.items() if hasattr(config, own)}
    changes = {own: value for own, value in told.items() if value is not None and getattr(config, own) != value}
    if changes:
        config = type(config)(**{**config.to_dict(), **changes})
    rotary: dict[str, Any] | None = getattr(config, "rope_parameters", None)
    if rotary:
        _settle_frequencies(name, header, config, rotary)
    return config


def _settle_frequencies(name: str, header: GgufFile, config: Any, rotary: dict[str, Any]) -> None:
    by_layer = [value for value in rotary.values() if isinstance(value, dict)]
    kinds = by_layer or [rotary]
    base = header.setting("rope.freq_base")
    if base is not None and not any(np.isclose(kind["rope_theta"], base, rtol=_ROUNDING) for kind in kinds):
        if by_layer:
            raise _other(name, header, f"a rotary base of {base:g}", ", ".join(f"{k['rope_theta']:g}" for k in kinds))
        rotary["rope_theta"] = float(base)
    size, turned = header.setting("rope.dimension_count"), _turned(config, rotary)
    if size is not None and not by_layer and size != turned:
        raise _other(name, header, f"positions on {size} dimensions of a head", f"on {turned}")
    if header.tensor(FREQUENCIES) is not None:
        _scale_as_llama3(name, header, config)
        return
    scaling, factor = header.setting("rope.scaling.type"), header.setting("rope.scaling.factor")
    if factor is None and (factor := header.setting("rope.scale_linear")) is not None:
        scaling = scaling or "linear"
    kept = {kind.get("rope_type") for kind in kinds}
    if scaling not in (None, "none", *kept) and factor != 1.0:
        raise _other(name, header, f"rotary frequencies scaled by {scaling}", "none")


def _turned(config: Any, rotary: dict[str, Any]) -> int:
    """How many dimensions of a head positions turn."""
    if (own := getattr(config, "rotary_dim", None)) is not None:
        return int(own)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(size * (rotary.get("partial_rotary_factor") or getattr(config, "partial_rotary_factor", 1.0)))


def _scale_as_llama3(name: str, header: GgufFile, config: Any) -> None:
    stored = header.tensor(FREQUENCIES)
    if stored is None or stored.kind != "F32":
        raise _other(name, header, "rotary frequencies scaled in a way of its own", "none")
    with header.path.open("rb") as opened:
        opened.seek(stored.start)
        factors = np.frombuffer(opened.read(stored.n_bytes), dtype="<f4")
    if (factors == 1.0).all():
        return
    plain = dict(config.rope_parameters)
    theta = float(plain["rope_theta"])
    config.rope_parameters = plain | _LLAMA3 | {"rope_type": "llama3", "factor": float(factors.max())}
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    unscaled = theta ** -(np.arange(len(scaled)) / len(scaled))
    if len(scaled) != len(factors) or not np.allclose(unscaled / scaled.numpy(), factors, rtol=_ROUNDING, atol=0):
        raise _other(name, header, "rotary frequencies scaled in a way of its own", "scaled as in Llama 3.1")


def _other(name: str, header: GgufFile, asked: str, got: str) -> ModelError:
    return ModelError(
        f'"{name}" cannot be loaded: transformers does not read its positions',
        expected=asked, got=got, where=str(header.path), fix=_FIX,
    )  # fmt: skip
