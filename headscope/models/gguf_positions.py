"""Whether the configuration that transformers makes of a GGUF file has the file's positions.

transformers fills in a family's default where it does not read a setting, and says nothing; a model with other rotary
frequencies would be measured in place of the one in the file. Llama 3.1 and its kin keep the scaling of their
frequencies as a tensor, ``rope_freqs.weight``: by what each frequency is divided. From it the scaling's settings
follow, and are put into the configuration where they give back the tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from headscope.errors import ModelError
from headscope.models.gguf_file import GgufFile

FREQUENCIES = "rope_freqs.weight"
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
_ROUNDING = 1e-5  # of a factor in float32: a power, a quotient and a sum, with room
_FIX = "take the checkpoint that the file was made from"


def settle_positions(name: str, header: GgufFile, config: Any) -> None:
    """Put the file's scaling of frequencies into the configuration.

    Raises:
        ModelError: transformers would compute other positions than the file asks for.
    """
    rotary: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    kinds = [rotary, *(value for value in rotary.values() if isinstance(value, dict))]
    thetas = [kind["rope_theta"] for kind in kinds if kind.get("rope_theta") is not None]
    base = header.setting("rope.freq_base")
    if base is not None and thetas and not np.isclose(thetas, float(base), rtol=_ROUNDING).any():
        raise _other(name, header, f"a rotary base of {base:g}", f"{thetas[0]:g}")
    if header.tensor(FREQUENCIES) is not None:
        _scale_as_llama3(name, header, config)
        return
    scaling, factor = header.setting("rope.scaling.type"), header.setting("rope.scaling.factor")
    if factor is None and (factor := header.setting("rope.scale_linear")) is not None:
        scaling = scaling or "linear"
    kept = {kind.get("rope_type") for kind in kinds}
    if scaling not in (None, "none", *kept) and factor != 1.0:
        raise _other(name, header, f"rotary frequencies scaled by {scaling}", "none")


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
