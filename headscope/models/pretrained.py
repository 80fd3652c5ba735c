"""From a folder, or a GGUF file, to a model whose every weight came from it.

Weights come from safetensors, or from pickles read as weights only. Where a checkpoint lacks a weight, transformers
fills it with noise and says so in its log; where it is quantized in an unknown way, transformers takes packed numbers
for weights. Here these are errors, and so is whatever else a folder may hold that is not what it seems.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.activations import FastGELUActivation, NewGELUActivation
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

from headscope.errors import ModelError, RequestError
from headscope.models.checkpoints import Checkpoint, begins, read_object, refuse_pointers, some
from headscope.models.gguf_loading import GGUF_FIX, as_plain, gguf_config, gguf_options, own_dtype, read_once
from headscope.models.hub import WEIGHT_FILES, shards_of
from headscope.models.interface import quiet_transformers
from headscope.models.others_errors import OTHERS_ERRORS, VALUE_FIX, refusal

_OTHER_FORMATS = (
    *("*.ggml", "*.h5", "*.msgpack", "*.onnx"),
    *("*.pth", "*.pt", "*.ckpt", "consolidated.*", "*.npz"),
)
_PICKLES = (b"PK", b"\x80")  # a zip archive, or a bare pickle of old
_NO_ADAPTER = "no adapter is looked for here"  # transformers would load one by itself, unmerged and without a word


def load_weights(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype | Literal["auto"],
    device: torch.device | None,
    device_map: Any,
    trust_remote_code: bool,
) -> tuple[PreTrainedModel, list[str]]:
    """The model with all its weights from the folder or file, and notes on what was left over.

    Raises:
        ModelError: a file is missing, broken or of another kind, or weights and configuration do not fit.
        RequestError: the device's memory does not hold it.
    """
    if checkpoint.gguf is None:
        config, options, parts = _of_folder(checkpoint, trust_remote_code=trust_remote_code)
        options["dtype"] = dtype
    else:
        config, options, parts = gguf_config(checkpoint.name, checkpoint.gguf), gguf_options(checkpoint.gguf), []
        _refuse_other_kinds(checkpoint, config)
        options["dtype"] = own_dtype(checkpoint.gguf) if dtype == "auto" else dtype
    if device_map is not None:
        options["device_map"] = device_map
    hf, info = _from_transformers(checkpoint, config, options)
    notes = [*checkpoint.notes, *_refuse_incomplete(checkpoint, hf, info)]
    if checkpoint.gguf is None:
        _refuse_packed(checkpoint, hf, parts)
    else:
        notes += as_plain(checkpoint.name, checkpoint.gguf, hf)
    if device is not None:
        try:
            hf.to(device)
        except torch.OutOfMemoryError as error:
            raise _out_of_memory(checkpoint, error) from error
    return hf, notes


def _of_folder(checkpoint: Checkpoint, *, trust_remote_code: bool) -> tuple[Any, dict[str, Any], list[Path]]:
    """Of a folder its configuration, the options for its weights, and the files that hold them."""
    config = _load_config(checkpoint, trust_remote_code=trust_remote_code)
    files = [file for file in WEIGHT_FILES if (checkpoint.path / file).is_file()]
    if not files:
        raise _no_weights(checkpoint)
    parts = _parts(checkpoint, files[0])
    options = {"use_safetensors": "safetensors" in files[0], "trust_remote_code": trust_remote_code}
    return config, options, parts


def _from_transformers(checkpoint: Checkpoint, config: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model, and what transformers says of its weights."""
    problem, where = f'"{checkpoint.name}" cannot be loaded: ', str(checkpoint.where)
    try:
        with quiet_transformers(), nullcontext() if checkpoint.gguf is None else read_once():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                checkpoint.path,
                config=config,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refused by name, in _refuse_incomplete
                weights_only=True,
                local_files_only=True,
                adapter_kwargs={"subfolder": _NO_ADAPTER},
                **options,
            )
    except torch.OutOfMemoryError as error:
        raise _out_of_memory(checkpoint, error) from error
    except (SafetensorError, pickle.UnpicklingError, EOFError) as error:
        raise refusal(f"{problem}its weight file is truncated or corrupt", error, where=where) from error
    except OTHERS_ERRORS as error:
        if "can't allocate memory" in str(error):
            raise _out_of_memory(checkpoint, error) from error
        apart = f"{problem}its weights and configuration cannot be loaded together"
        fix = (
            "see that config.json and weights are of one checkpoint, and copied whole; a newer transformers may know "
            "what this one does not"
        )
        raise refusal(apart, error, where=where, fix=fix if checkpoint.gguf is None else GGUF_FIX) from error
    return loaded


def _load_config(checkpoint: Checkpoint, *, trust_remote_code: bool) -> Any:
    file = checkpoint.path / "config.json"
    if not file.is_file():
        raise ModelError(
            f'"{checkpoint.name}" is no checkpoint',
            expected="config.json beside the weights",
            got=some(sorted(path.name for path in checkpoint.path.glob("*"))),
            where=str(checkpoint.path),
        )
    raw = read_object(checkpoint.name, file)
    if (generation := checkpoint.path / "generation_config.json").is_file():
        read_object(checkpoint.name, generation)  # transformers would pass over it, and over the ends of text it names
    if "auto_map" in raw and not trust_remote_code:
        raise ModelError(
            f'"{checkpoint.name}" brings its own code, which is not run unasked',
            where=str(file),
            fix="read the code; then allow it with --trust-remote-code",
        )
    _refuse_unknown_quantization(checkpoint, raw.get("quantization_config"), file)
    try:
        config: Any = AutoConfig.from_pretrained(
            checkpoint.path, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except OTHERS_ERRORS as error:
        unknown = f'"{checkpoint.name}" cannot be loaded: its configuration is none that transformers takes'
        raise refusal(unknown, error, where=str(file), fix=VALUE_FIX) from error
    _refuse_other_kinds(checkpoint, config, own_code="auto_map" in raw)
    return config


def _refuse_other_kinds(checkpoint: Checkpoint, config: Any, *, own_code: bool = False) -> None:
    """ModelError where a model of this configuration is no causal language model."""
    refuse_encoder_decoder(f'"{checkpoint.name}"', config)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and not own_code:
        raise ModelError(
            f'"{checkpoint.name}" is no causal language model',
            expected="a model that predicts the next token",
            got=f"model type {config.model_type}",
        )


def refuse_encoder_decoder(name: str, config: Any) -> None:
    """ModelError where a model of this configuration is no decoder alone."""
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"{name} is an encoder-decoder model",
            expected="a causal language model (decoder only)",
            got=f"model type {config.model_type}",
        )


def _refuse_unknown_quantization(checkpoint: Checkpoint, settings: Any, file: Path) -> None:
    """ModelError where weights are quantized in a way that transformers would pass over."""
    if settings is None:
        return
    method: Any = settings
    if isinstance(settings, dict):
        old = settings.get("load_in_4bit") or settings.get("load_in_8bit")  # bitsandbytes, which once named no method
        method = settings.get("quant_method", "bitsandbytes" if old else None)
    known = {
        name.split("_")[0] if name.startswith("bitsandbytes") else name for name in AUTO_QUANTIZATION_CONFIG_MAPPING
    }
    if method not in known:
        raise ModelError(
            f'"{checkpoint.name}" is quantized in a way this transformers does not know',
            expected=", ".join(sorted(known)), got=str(method), where=str(file),
            fix='update it (pip install -U "transformers<6"), or take the checkpoint that is not quantized',
        )  # fmt: skip


def _no_weights(checkpoint: Checkpoint) -> ModelError:
    others = sorted({path.name for pattern in _OTHER_FORMATS for path in checkpoint.path.glob(pattern)})
    return ModelError(
        f'"{checkpoint.name}" holds no weights',
        expected=" or ".join(WEIGHT_FILES),
        got=f"weights of another format: {some(others)}" if others else "none",
        where=str(checkpoint.path),
        fix="take the checkpoint in transformers' format" if others else "download or copy its weight files too",
    )


def _parts(checkpoint: Checkpoint, file: str) -> list[Path]:
    """The files that hold the weights; ModelError where one is missing or a pointer."""
    index = checkpoint.path / file
    if not file.endswith(".index.json"):
        refuse_pointers(checkpoint.name, [index])
        if index.suffix == ".bin" and not any(begins(index, start) for start in _PICKLES):
            raise ModelError(
                f'"{checkpoint.name}" cannot be loaded: its {file} holds no weights',
                expected="a file that torch.save wrote",
                where=str(index),
                fix="download or copy it again",
            )
        return [index]
    read_object(checkpoint.name, index)
    parts = [checkpoint.path / part for part in shards_of(index)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing or not parts:
        raise ModelError(
            f'"{checkpoint.name}" cannot be loaded: weight files are missing',
            expected=f"the {len(parts)} files that {file} lists" if parts else "an index with a weight_map",
            got=f"{len(missing)} are not there: {some(missing)}" if missing else "an index that lists none",
            where=str(checkpoint.path),
            fix="the download or copy was not finished: fetch the missing files",
        )
    refuse_pointers(checkpoint.name, parts)
    return parts


def _refuse_packed(checkpoint: Checkpoint, hf: PreTrainedModel, parts: list[Path]) -> None:
    """ModelError where weights of a model that is not quantized are stored as integers: their scales are elsewhere."""
    if getattr(hf, "is_quantized", False):
        return
    real = {name for name, weight in hf.named_parameters() if weight.is_floating_point()}
    packed: list[str] = []
    for part in parts:
        if part.suffix == ".safetensors":
            with safe_open(part, framework="pt") as opened:
                stored: Iterable[str] = opened.keys()
                packed += [name for name in stored if name in real and opened.get_slice(name).get_dtype()[0] in "IU"]
    if packed:
        raise ModelError(
            f'"{checkpoint.name}" holds quantized weights, and its config.json does not say how they were quantized',
            expected='weights stored as floats, or a "quantization_config"',
            got=f"{len(packed)} stored as integers: {some(packed)}",
            where=str(checkpoint.path),
            fix="take the config.json that came with these weights",
        )


def _refuse_incomplete(checkpoint: Checkpoint, hf: PreTrainedModel, info: dict[str, Any]) -> list[str]:
    of_gguf, where = checkpoint.gguf is not None, str(checkpoint.where)
    missing = sorted(map(str, info.get("missing_keys", ())))
    mismatched = sorted(str(key[0] if isinstance(key, tuple) else key) for key in info.get("mismatched_keys", ()))
    if missing or mismatched:
        raise ModelError(
            f'the weights of "{checkpoint.name}" do not fit its configuration',
            expected=f"every weight of {type(hf).__name__}",
            got=f"{len(missing)} missing ({some(missing)}), {len(mismatched)} of another shape ({some(mismatched)})",
            where=where,
            fix=GGUF_FIX if of_gguf else "the config.json belongs to another checkpoint, or weight files are missing",
        )
    unexpected = sorted(map(str, info.get("unexpected_keys", ())))
    layers = re.compile(r"\.(?:h|layers|blocks)\.(\d+)\.")
    present = {int(match[1]) for name in hf.state_dict() if (match := layers.search(f".{name}"))}
    beyond = [name for name in unexpected if (m := layers.search(f".{name}")) and int(m[1]) not in present]
    if beyond and present:
        raise ModelError(
            f'"{checkpoint.name}" has weights for more layers than its configuration',
            expected=f"layers up to {max(present)}",
            got=some(beyond),
            where=where,
            fix=GGUF_FIX if of_gguf else "the config.json belongs to another checkpoint",
        )
    return [f"{len(unexpected)} weights of the checkpoint were not used: {some(unexpected)}"] if unexpected else []


def join_activations(hf: PreTrainedModel) -> int:
    """Replace every written-out tanh GELU of ``hf`` by torch's own; returns how many there were.

    GPT-2 and its kin write 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))) as eight elementwise operations, each a walk over
    the widest tensor of the model: a tenth of a pass on a processor. torch has the same function as one operation,
    equal to rounding. Only models that headscope itself loads are changed; a live model stays as it is.
    """
    found = [
        (parent, name)
        for parent in hf.modules()
        for name, child in parent.named_children()
        if type(child) in (NewGELUActivation, FastGELUActivation)
    ]
    for parent, name in found:
        setattr(parent, name, nn.GELU(approximate="tanh"))
    return len(found)


def _out_of_memory(checkpoint: Checkpoint, error: Exception) -> RequestError:
    return RequestError(
        f'"{checkpoint.name}" does not fit into the device\'s memory',
        got=str(error).splitlines()[0][:200],
        fix="use --dtype bfloat16, a smaller model, or --device-map auto to spread it over several devices",
    )
