"""From a GGUF file to a plain model: what transformers is asked for, and what it is not trusted with.

transformers reads configuration, weights and tokenizer from the file and gives back each weight as the quantization
stored it, in the asked floating type. It passes over tensors that its model has no place for, without a word; here
every number of the file must be in the model. What is left of the quantization in the result is a record of the file's
path; it is taken out, since the model is a plain one, with the same fingerprint wherever the file lies.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoConfig, PreTrainedModel

from headscope.errors import ModelError
from headscope.models.gguf_file import GgufFile, require_gguf
from headscope.models.gguf_settings import FREQUENCIES, OF_THE_FILE, settled
from headscope.models.others_errors import OTHERS_ERRORS, refusal

_FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NO_DECODERS = ("general", "tokenizer", "t5", "t5encoder", "umt5")
GGUF_FIX = (
    'a newer transformers may read it (pip install -U "transformers<6"); else take the checkpoint it was made from'
)
_SAME_AS_GPT2 = (None, "default", "gpt-2")
_PROVED_BY_SHAPES = ("attention.key_length", "attention.value_length", "rope.dimension_count", "vocab_size")
_READING = threading.RLock()


def refuse_unknown_architecture(name: str, header: GgufFile) -> None:
    """ModelError where transformers reads no GGUF of this family; it spells some names in two ways."""
    legacy = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    known = {*legacy.GGUF_SUPPORTED_ARCHITECTURES, *_newer_architectures()} - set(_NO_DECODERS)
    plain = {_plain(family) for family in known}
    if _plain(header.architecture) not in plain:
        raise ModelError(
            f'"{name}" is a GGUF file of a family that transformers cannot read from such a file',
            expected=", ".join(sorted(known)), got=header.architecture, where=str(header.path), fix=GGUF_FIX,
        )  # fmt: skip


def gguf_config(name: str, header: GgufFile) -> Any:
    """The configuration in the file.

    Raises:
        ModelError: transformers does not take the settings, or would read another model from this file.
    """
    heads = "attention.head_count_kv"
    if header.architecture == "llama" and header.setting(heads) is None:
        raise ModelError(  # transformers would leave the rows of queries and keys in llama.cpp's order
            f'"{name}" does not say how many key/value heads it has',
            expected=f"the setting llama.{heads}", where=str(header.path),
            fix="convert the model anew with a current llama.cpp",
        )  # fmt: skip
    try:
        with read_once():
            config: Any = AutoConfig.from_pretrained(header.path.parent, gguf_file=str(header.path.absolute()))
    except OTHERS_ERRORS as error:
        problem = f'"{name}" cannot be loaded: its settings are none that transformers takes'
        raise refusal(problem, error, where=str(header.path), fix=GGUF_FIX) from error
    embedding = header.tensor("token_embd.weight")
    if embedding is not None:  # the file need not say it, where it has no tokenizer
        config.vocab_size = embedding.shape[0]
    return settled(name, header, config)


def gguf_options(header: GgufFile) -> dict[str, Any]:
    """How transformers is asked for the model: every weight as a plain float, and none left packed."""
    kind = getattr(transformers, "GgufConfig", None)  # earlier ones unpack every weight unasked
    unpacked = {} if kind is None else {"quantization_config": kind(dequantize=True)}
    return {"gguf_file": str(header.path.absolute()), **unpacked}


def own_dtype(header: GgufFile) -> torch.dtype:
    """The floating type that most weights are stored in; float32 where they are quantized."""
    return _FLOATS.get(next(iter(header.weights_by_type())), torch.float32)


def as_plain(name: str, header: GgufFile, hf: PreTrainedModel) -> list[str]:
    """Take the mark of the quantization out of a model that was unpacked; notes on what was left over.

    Raises:
        ModelError: weights of the file are not in the model.
    """
    plain: Any = hf
    for mark in ("hf_quantizer", "quantization_method"):
        if hasattr(plain, mark):
            delattr(plain, mark)
    plain.is_quantized = False
    if hasattr(plain.config, "quantization_config"):
        del plain.config.quantization_config
    notes = _refuse_unread(name, header, hf)
    return [*_unread_settings(header, hf.config), *notes]


def gguf_record(header: GgufFile, dtype: torch.dtype) -> dict[str, Any]:
    """The file's name, how many weights it stores in each type, and the type they were unpacked to."""
    return {
        "file": header.path.name,
        "stored": header.weights_by_type(),
        "dequantized_to": str(dtype).removeprefix("torch."),
    }


def note_on_gguf(record: dict[str, Any] | None) -> list[str]:
    """A sentence on the types in a GGUF file; none where the model is from no such file."""
    if record is None:
        return []
    total = sum(record["stored"].values())
    shares = ", ".join(
        f"{kind} {count / total:.0%}" if 100 * count >= total else f"{kind} <1%"
        for kind, count in record["stored"].items()
    )
    return [f"the weights are those of a GGUF file ({shares}), dequantized to {record['dequantized_to']}"]


def refuse_without_tokenizer(name: str, header: GgufFile) -> None:
    """ModelError where the file holds no tokenizer."""
    kind, n_tokens = (header.settings.get(f"tokenizer.ggml.{key}") for key in ("model", "tokens"))
    if kind in (None, "none", "no_vocab") or not n_tokens:
        raise ModelError(
            f'the GGUF file "{name}" holds no tokenizer',
            expected="the settings tokenizer.ggml.model and tokenizer.ggml.tokens",
            got=f"model {kind}, {n_tokens or 0} tokens", where=str(header.path),
            fix="name the model's tokenizer: --tokenizer NAME_OR_FOLDER",
        )  # fmt: skip


def notes_on_tokenizer(header: GgufFile) -> list[str]:
    """A sentence where the file names a way to cut text that transformers takes for another."""
    cut = header.settings.get("tokenizer.ggml.pre")
    if header.settings.get("tokenizer.ggml.model") != "gpt2" or cut in _SAME_AS_GPT2:
        return []
    known: Any = ()
    if importlib.util.find_spec("transformers.integrations.gguf") is not None:
        mapping = importlib.import_module("transformers.integrations.gguf.gguf_tokenizer_mapping")
        known = getattr(mapping, "GGUF_PRE_TOKENIZER_SPLITS", ())
    if cut in known:
        return []
    return [
        f'the file\'s way to cut text before merging ("{cut}") is not known to transformers, which cuts as GPT-2 does: '
        "numbers and signs may become other tokens than in the original (--tokenizer names that one's)"
    ]


@contextmanager
def read_once() -> Generator[None]:
    """Inside the block transformers parses a GGUF file once, and asks once for the names of its tensors.

    It would parse the file three times, string by string, and build the table of all names anew for every module of
    the model: of half a minute for a small model with 49,000 tokens, twenty seconds. One thread at a time.
    """
    gguf = require_gguf("gguf is not installed")
    legacy = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    with _READING, ExitStack() as stack:
        if isinstance(gguf.GGUFReader, type):  # else an outer block has done it
            reader = functools.lru_cache(_on_plain_memory(gguf.GGUFReader))
            stack.enter_context(_in_place_of(gguf, "GGUFReader", reader))
            names = functools.lru_cache(gguf.get_tensor_name_map)
            stack.enter_context(_in_place_of(gguf, "get_tensor_name_map", names))
            silent = functools.partial(legacy.tqdm, disable=True)
            stack.enter_context(_in_place_of(legacy, "tqdm", silent))
        yield


@contextmanager
def _in_place_of(module: Any, name: str, value: Any) -> Generator[None]:
    """Let ``value`` stand for what the module calls so, inside the block."""
    own = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, own)


def _on_plain_memory(reader: Any) -> Any:
    """The reader on an array in place of a memory map, whose slices take five times as long; it takes a million."""

    class Reader(reader):
        @property
        def data(self) -> Any:
            return self._plain

        @data.setter
        def data(self, mapped: Any) -> None:
            self._plain = mapped.view(np.ndarray)

    return Reader


def _newer_architectures() -> tuple[str, ...]:
    if importlib.util.find_spec("transformers.integrations.gguf") is None:
        return ()
    return tuple(importlib.import_module("transformers.integrations.gguf").GGUF_CONFIG_ARCHS)


def _plain(family: str) -> str:
    return family.replace("_", "").replace("-", "")


def _refuse_unread(name: str, header: GgufFile, hf: PreTrainedModel) -> list[str]:
    """ModelError where the file holds more numbers than the model; a note where the rest is known to be idle."""
    idle = [tensor for tensor in header.tensors if tensor.name == FREQUENCIES or _beyond(header, tensor.name)]
    output = header.tensor("output.weight")
    if output is not None and _is_tied(hf):
        idle.append(output)
    in_model = _numbers_in(hf)
    in_file = sum(tensor.n_weights for tensor in header.tensors) - sum(tensor.n_weights for tensor in idle)
    if in_file != in_model:
        raise ModelError(
            f'"{name}" holds weights that transformers has no place for in {type(hf).__name__}',
            expected=f"{in_model:,} numbers, as the model has", got=f"{in_file:,} numbers",
            where=str(header.path), fix=GGUF_FIX,
        )  # fmt: skip
    unused = [tensor.name for tensor in idle if tensor.name != FREQUENCIES]
    return [f"{len(unused)} tensors of the file were not used, such as {unused[0]}"] if unused else []


def _is_tied(hf: PreTrainedModel) -> bool:
    return bool(getattr(hf.config.get_text_config(), "tie_word_embeddings", False))


def _numbers_in(hf: PreTrainedModel) -> int:
    """How many numbers the model is made of; the head counts once where it is the embedding."""
    weights = {id(weight): weight for weight in hf.parameters()}
    if _is_tied(hf):  # spread over devices, the two may be two
        head: Any = hf.get_output_embeddings()
        embedding: Any = hf.get_input_embeddings()
        weights.pop(id(head.weight), None)
        weights[id(embedding.weight)] = embedding.weight
    kept = hf.state_dict()
    buffers = [buffer for name, buffer in hf.named_buffers() if name in kept]
    return sum(part.numel() for part in (*weights.values(), *buffers))


def _beyond(header: GgufFile, tensor: str) -> bool:
    """Whether a tensor is of a block that predicts further tokens, which causal language models leave out."""
    extra, n_blocks = header.setting("nextn_predict_layers"), header.setting("block_count")
    part = tensor.split(".")
    if not extra or part[0] != "blk" or not part[1].isdigit():
        return False
    return int(part[1]) >= int(n_blocks) - int(extra)


def _unread_settings(header: GgufFile, config: Any) -> list[str]:
    """A note on settings of the file for which transformers takes the family's default."""
    mapping = importlib.import_module("transformers.integrations").GGUF_CONFIG_MAPPING
    family = next((key for key in mapping if _plain(key) == _plain(header.architecture)), None)
    if family is None or header.architecture in _newer_architectures():
        return []
    start = f"{header.architecture}."
    own = [key.removeprefix(start) for key in header.settings if key.startswith(start)]
    unread = sorted(key for key in own if mapping[family].get(key) is None and key not in _PROVED_BY_SHAPES)
    unread = [key for key in unread if not key.startswith("rope.") and not hasattr(config, OF_THE_FILE.get(key, "-"))]
    if not unread:
        return []
    return [f"settings of the file that transformers leaves at the family's default: {', '.join(unread)}"]
