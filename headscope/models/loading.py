"""A name, a folder, a file, or a live model becomes a ``HeadModel``: weights complete, heads found, laws proved.

1. Find the checkpoint: the bundled model, a folder, a GGUF file, the local hub cache, the hub (``checkpoints.py``).
2. Load it, safetensors or pickles read as weights only, and refuse what is incomplete: a missing weight would
   otherwise be filled with noise (``pretrained.py``). Put its adapter on top, where it has one (``adapters.py``).
3. Find the heads by a dry run, hash the weights, settle the BOS, and prove the laws.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from headscope.errors import ModelError, RequestError, one_of
from headscope.models.adapters import live_adapter, note_on_adapter, require_peft, with_adapter
from headscope.models.anatomy import context_length, find_anatomy, vocabulary_size
from headscope.models.checkpoints import find_checkpoint
from headscope.models.gguf_loading import (
    gguf_record,
    note_on_gguf,
    notes_on_tokenizer,
    read_once,
    refuse_unknown_architecture,
)
from headscope.models.head_model import HeadModel
from headscope.models.law_report import LawReport
from headscope.models.laws import check_laws
from headscope.models.lengths import mixed_row_limit
from headscope.models.memory_budget import parse_budget
from headscope.models.pretrained import join_activations, load_weights, refuse_encoder_decoder
from headscope.models.tokenizer_loading import named_tokenizer, note_on, tokenizer_of, tokens_beyond
from headscope.settings import Loading

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


def load_model(
    model: str | Path | PreTrainedModel | Any,
    *,
    tokenizer: Any = None,
    device: str = "auto",
    dtype: str = "auto",
    bos: str = "auto",
    unchecked: bool = False,
    trust_remote_code: bool = False,
    device_map: Any = None,
    memory_budget: str | int | None = None,
) -> HeadModel:
    """Load a causal language model and prove that its heads are where headscope believes them to be.

    Args:
        model: ``"demo"`` (bundled), a checkpoint folder, an adapter's folder, a GGUF file, a hub id (``"gpt2"``,
            ``"gpt2@607a30d"``), or a live transformers model (PEFT adapters and quantized layers included).
        tokenizer: needed with a live model; otherwise the checkpoint's own. A tokenizer, or a folder, GGUF file or
            hub id.
        device: ``auto`` (cuda, else mps, else cpu), ``cpu``, ``cuda``, ``cuda:1``, ``mps``. A live model stays where
            it is under ``auto``.
        dtype: ``auto`` (float32 on cpu and mps, the checkpoint's own on cuda), ``float32``, ``bfloat16``, ``float16``.
        bos: ``always``, ``never``, or ``auto``: always where the tokenizer has a BOS token.
        unchecked: skip the load check; every artifact then says so, and prompts are not packed.
        trust_remote_code: allow code that comes with a checkpoint to run.
        device_map: spread a checkpoint over several devices (accelerate): one of ``DEVICE_MAPS``, one device, or a
            mapping from module to device. It takes the place of ``device``.
        memory_budget: what a batch may hold beside the model, such as ``"4GiB"``, ``"25%"`` of the device's total
            (what is said here where nothing is) or a number of bytes; see ``memory_budget.py``.

    Raises:
        ModelError: there is no such model, it is incomplete, or it is no causal language model with attention heads.
        RequestError: device, dtype, bos or memory budget do not exist here.
        LawError: the model breaks a law.
    """
    loading = _Loading(device, device_map, dtype, bos, unchecked, tokenizer, trust_remote_code, memory_budget)
    return _loaded(model, loading)


class _Loading(Loading):
    """The options of ``load_model``, and what follows from them."""

    def place(self, *, live: bool) -> torch.device:
        """The device that decides on the type of weights and on the memory; RequestError where an option cannot be."""
        if self.bos not in ("auto", "always", "never"):
            raise RequestError(f'bos "{self.bos}" does not exist', expected="auto, always or never")
        one_of("dtype", self.dtype, ("auto", *DTYPES))
        if self.device_map is None:
            return choose_device(self.device)
        return _mapped_device(self.device_map, self.device, live=live)

    def dtype_on(self, device: torch.device) -> torch.dtype | Literal["auto"]:
        """The type of a checkpoint's weights."""
        if self.dtype != "auto":
            return DTYPES[self.dtype]
        # A checkpoint stored in float16 would be loaded as such, which a CPU computes an order of magnitude slower.
        return "auto" if device.type == "cuda" else torch.float32


@dataclass(frozen=True)
class _Source:
    """A model with all its weights, and where it came from: as in ``HeadModel``."""

    hf: PreTrainedModel
    tokenizer: Any
    name: str
    source: Literal["bundled", "folder", "file", "hub", "live"]
    notes: list[str]
    adapter: dict[str, Any] | None
    commit: str | None = None
    gguf: dict[str, Any] | None = None
    checkpoint: Path | None = None


def _loaded(model: Any, loading: _Loading) -> HeadModel:
    named = isinstance(model, str | Path)
    place = loading.place(live=not named)
    budget_bytes = None if loading.memory_budget is None else parse_budget(loading.memory_budget, place)
    tokenizer_name = str(loading.tokenizer) if isinstance(loading.tokenizer, str | Path) else None
    if tokenizer_name is not None:
        tokenizer = named_tokenizer(tokenizer_name, trust_remote_code=loading.trust_remote_code)
        loading = replace(loading, tokenizer=tokenizer)
    source = _from_checkpoint(str(model), loading, place) if named else _from_live(model, loading)
    hf, name = source.hf, source.name
    _refuse_other_kinds(hf)
    hf.eval()
    bos, bos_token_id = _resolve_bos(loading.bos, source.tokenizer)
    beyond = tokens_beyond(name, source.tokenizer, vocabulary_size(hf), bos_token_id)
    loaded = HeadModel(
        hf=hf,
        tokenizer=source.tokenizer,
        name=name,
        source=source.source,
        fingerprint=fingerprint(hf),
        bos=bos,
        bos_token_id=bos_token_id,
        anatomy=find_anatomy(hf),
        context_length=context_length(hf),
        mixed_row_limit=mixed_row_limit(hf),
        laws=LawReport(),
        notes=(
            *source.notes,
            *note_on_gguf(source.gguf),
            *note_on_adapter(source.adapter),
            *note_on(beyond, vocabulary_size(hf)),
        ),
        commit=source.commit,
        adapter=source.adapter,
        gguf=source.gguf,
        tokenizer_name=tokenizer_name,
        checkpoint=source.checkpoint,
        tokens_beyond=beyond,
        memory_budget_bytes=budget_bytes,
    )
    if not loading.unchecked:
        check_laws(loaded)
        loaded.laws.require(name)
    return loaded


def _from_checkpoint(name: str, loading: _Loading, place: torch.device) -> _Source:
    checkpoint = find_checkpoint(name)
    require_peft(checkpoint)
    file, tokenizer = checkpoint.gguf, loading.tokenizer
    if file is not None:
        refuse_unknown_architecture(checkpoint.name, file)
    with nullcontext() if file is None else read_once():
        if tokenizer is None and file is not None:  # in seconds, before the weights take minutes
            tokenizer = tokenizer_of(checkpoint, trust_remote_code=loading.trust_remote_code)
        hf, notes = load_weights(
            checkpoint,
            dtype=loading.dtype_on(place),
            device=place if loading.device_map is None else None,
            device_map=loading.device_map,
            trust_remote_code=loading.trust_remote_code,
        )
    hf, adapter = with_adapter(checkpoint, hf)
    join_activations(hf)
    if tokenizer is None:
        tokenizer = tokenizer_of(checkpoint, trust_remote_code=loading.trust_remote_code)
    gguf = None if file is None else gguf_record(file, hf.dtype)
    if file is not None and loading.tokenizer is None:
        notes += notes_on_tokenizer(file)
    folder = checkpoint.path.absolute() if file is None and adapter is None else None
    return _Source(hf, tokenizer, checkpoint.name, checkpoint.source, notes, adapter, checkpoint.commit, gguf, folder)


def _from_live(model: Any, loading: _Loading) -> _Source:
    hf = _live(model, loading.device, loading.dtype)
    if loading.tokenizer is None:
        raise ModelError("a live model needs its tokenizer", fix="load_model(model, tokenizer=tokenizer)")
    name = str(hf.config.name_or_path or type(hf).__name__)
    return _Source(hf, loading.tokenizer, name, "live", [], live_adapter(model))


def choose_device(device: str) -> torch.device:
    """The device of that name; RequestError where this machine has none."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise RequestError(
            f'device "{device}" does not exist', expected="auto, cpu, cuda, cuda:1 or mps", got=device
        ) from None
    here = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (chosen.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not here.get(chosen.type, False):
        raise RequestError(
            f'device "{device}" is not on this machine',
            expected="cpu" + "".join(f", cuda:{index}" for index in range(torch.cuda.device_count())),
            got=device,
            fix="use --device auto",
        )
    return chosen


def _mapped_device(device_map: Any, device: str, *, live: bool) -> torch.device:
    """The device that a map stands for where ``dtype`` is ``auto``; RequestError for a map that cannot be followed."""
    if live:
        raise RequestError("a live model stays on the devices it is on", fix="leave device_map out")
    if device != "auto":
        raise RequestError(
            "device and device_map both say where the model goes", expected="one of them", got=f"{device}, {device_map}"
        )
    if not isinstance(device_map, str) or device_map in DEVICE_MAPS:
        return choose_device("auto")
    try:
        return choose_device(device_map)
    except RequestError as error:
        raise RequestError(
            f'device map "{device_map}" does not exist',
            expected=", ".join(DEVICE_MAPS) + ", or a device of this machine",
            got=device_map,
        ) from error


def _live(model: Any, device: str, dtype: str) -> PreTrainedModel:
    inner = model
    if not isinstance(model, PreTrainedModel) and hasattr(model, "get_base_model"):  # a PEFT wrapper
        if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
            raise ModelError(
                "a model with learned prompt vectors computes more than its layers show",
                fix="use adapters that live in the layers (LoRA and the like), or merge them",
            )
        inner = model.get_base_model()
    if not isinstance(inner, PreTrainedModel):
        raise ModelError(
            "this is no transformers model", expected="a PreTrainedModel or a name", got=type(model).__name__
        )
    if device != "auto":
        inner.to(choose_device(device))  # type: ignore[arg-type]
    if dtype != "auto":
        inner.to(DTYPES[dtype])  # type: ignore[arg-type]
    return inner


def _refuse_other_kinds(hf: PreTrainedModel) -> None:
    refuse_encoder_decoder(type(hf).__name__, hf.config)
    if hf.get_output_embeddings() is None:
        raise ModelError(
            f"{type(hf).__name__} has no language-model head",
            expected="a causal language model, e.g. one loaded by AutoModelForCausalLM",
            got=f"model type {hf.config.model_type}",
        )


def _resolve_bos(bos: str, tokenizer: Any) -> tuple[Literal["always", "never"], int | None]:
    token: int | None = tokenizer.bos_token_id
    if bos == "never" or (bos == "auto" and token is None):
        return "never", None
    if token is None:
        raise RequestError(
            "a BOS token is asked for, but the tokenizer has none", expected="bos auto or never", got="bos always"
        )
    return "always", int(token)


def fingerprint(hf: PreTrainedModel) -> str:
    """SHA-256 over every weight (name, dtype, shape, bytes) in order of name, and over the configuration."""
    digest = hashlib.sha256()
    for name, tensor in sorted(hf.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):
            continue
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        if tensor.device.type != "meta":
            digest.update(memoryview(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data))
    config = hf.config.to_dict()
    for volatile in ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "architectures"):
        config.pop(volatile, None)
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    return digest.hexdigest()
