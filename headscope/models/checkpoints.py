"""From a name to a folder of weights, and from the folder to a model whose every weight came from it.

``demo`` is bundled; a path is a folder; anything else is a hub id, looked up in the local cache first. Only where it is
not cached is the hub asked, once and briefly, because left alone its client retries for half a minute before it says
that there is no network. Weights come from safetensors, or from pickles read as weights only. Where a checkpoint lacks
a weight, transformers fills it with noise and says so in its log; here that is an error.
"""

from __future__ import annotations

import json
import pickle
import re
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import huggingface_hub
import torch
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from headscope.errors import ModelError, RequestError
from headscope.models.interface import quiet_transformers

DEMO = Path(__file__).parent / "demo"
_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_PROBE_SECONDS = 4.0
_WAYS_OUT = (
    "use the bundled model (--model demo), or give a checkpoint folder, or set HF_HOME to a cache that holds the model"
)


@dataclass(frozen=True)
class Checkpoint:
    """A folder of weights: the name it was asked by, the folder, and where it came from."""

    name: str
    path: Path
    source: Literal["bundled", "folder", "hub"]


def find_checkpoint(name: str) -> Checkpoint:
    """The folder that ``name`` stands for, downloaded if it must be and can be.

    Raises:
        ModelError: there is no such model, or it is not cached and the hub cannot be reached.
    """
    if name == "demo":
        return Checkpoint(name, DEMO, "bundled")
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Checkpoint(name, folder, "folder")
    if folder.exists():
        raise ModelError(f'"{name}" is a file', expected="a checkpoint folder with config.json and weights", got=name)
    if not _HUB_ID.match(name) or name.startswith((".", "~", "/")):
        raise ModelError(
            f'there is no folder "{name}"', expected="a folder, demo, or a hub id", got=name, fix=_WAYS_OUT
        )
    cached = _cached(name)
    return Checkpoint(name, cached if cached is not None else _download(name), "hub")


def _cached(name: str) -> Path | None:
    """The cached snapshot of a hub model, None where it is not there with weights and configuration."""
    config = huggingface_hub.try_to_load_from_cache(name, "config.json")
    if not isinstance(config, str):
        return None
    snapshot = Path(config).parent
    return snapshot if any((snapshot / file).exists() for file in _WEIGHT_FILES) else None


def _download(name: str) -> Path:
    endpoint = huggingface_hub.constants.ENDPOINT
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        reason = "the hub is switched off (HF_HUB_OFFLINE)"
    else:
        reason = _unreachable(f"{endpoint}/api/models/{name}")
    if reason is not None:
        raise ModelError(
            f'model "{name}" is neither bundled, nor a folder, nor in the local cache, and {reason}', fix=_WAYS_OUT
        )
    try:
        files = huggingface_hub.list_repo_files(name)
        safe = any(file.endswith(".safetensors") for file in files)
        patterns = ["*.json", "*.model", "*.txt", "*.jinja", "*.py", "*.safetensors" if safe else "*.bin"]
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=patterns, ignore_patterns=["*/*"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelError(
            f'the hub has no model "{name}" for you', got=str(error).splitlines()[0][:200], fix=_WAYS_OUT
        ) from error


def _unreachable(url: str) -> str | None:
    """Why the hub cannot be reached, None where it answers. In a thread, because a name look-up has no time limit."""
    answer: list[str | None] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=_PROBE_SECONDS):  # noqa: S310 - the hub's https  # nosec B310
                answer.append(None)
        except urllib.error.HTTPError:
            answer.append(None)  # it answered; whether it has the model is for its client to say
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            answer.append(f"the hub cannot be reached ({reason})")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return answer[0] if answer else f"the hub does not answer within {_PROBE_SECONDS:.0f} s"


def load_weights(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype | Literal["auto"],
    device: torch.device | None,
    device_map: Any,
    trust_remote_code: bool,
) -> tuple[PreTrainedModel, list[str]]:
    """The model with all its weights from the folder, and notes on what was left over.

    Raises:
        ModelError: a file is missing, broken or of another kind, or weights and configuration do not fit.
        RequestError: the device's memory does not hold it.
    """
    config = _load_config(checkpoint, trust_remote_code=trust_remote_code)
    files = [file for file in _WEIGHT_FILES if (checkpoint.path / file).is_file()]
    if not files:
        raise ModelError(
            f'"{checkpoint.name}" holds no weights', expected=" or ".join(_WEIGHT_FILES), where=str(checkpoint.path)
        )
    options: dict[str, Any] = {"device_map": device_map} if device_map is not None else {}
    try:
        with quiet_transformers():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                checkpoint.path,
                config=config,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refused below, by name
                weights_only=True,
                use_safetensors="safetensors" in files[0],
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                **options,
            )
    except torch.OutOfMemoryError as error:
        raise _out_of_memory(checkpoint, error) from error
    except (SafetensorError, pickle.UnpicklingError, EOFError, json.JSONDecodeError) as error:
        raise _broken(checkpoint, error, "its weight file is truncated or corrupt") from error
    except (RuntimeError, ValueError, OSError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise _broken(checkpoint, error, "its weights and configuration cannot be loaded together") from error
    hf, info = loaded
    notes = _refuse_incomplete(checkpoint, hf, info)
    if device is not None:
        try:
            hf.to(device)
        except torch.OutOfMemoryError as error:
            raise _out_of_memory(checkpoint, error) from error
    return hf, notes


def _load_config(checkpoint: Checkpoint, *, trust_remote_code: bool) -> Any:
    file = checkpoint.path / "config.json"
    if not file.is_file():
        raise ModelError(
            f'"{checkpoint.name}" is no checkpoint',
            expected="config.json beside the weights",
            where=str(checkpoint.path),
        )
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        if "auto_map" in raw and not trust_remote_code:
            raise ModelError(
                f'"{checkpoint.name}" brings its own code, which is not run unasked',
                where=str(file),
                fix="read the code; then allow it with --trust-remote-code",
            )
        config = AutoConfig.from_pretrained(checkpoint.path, trust_remote_code=trust_remote_code, local_files_only=True)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _broken(checkpoint, error, "its config.json is no JSON") from error
    except (ValueError, KeyError, OSError, TypeError) as error:
        raise _broken(checkpoint, error, "its configuration names no model transformers knows") from error
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f'"{checkpoint.name}" is an encoder-decoder model',
            expected="a causal language model (decoder only)",
            got=f"model type {config.model_type}",
        )
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and "auto_map" not in raw:
        raise ModelError(
            f'"{checkpoint.name}" is no causal language model',
            expected="a model that predicts the next token",
            got=f"model type {config.model_type}",
        )
    return config


def _refuse_incomplete(checkpoint: Checkpoint, hf: PreTrainedModel, info: dict[str, Any]) -> list[str]:
    missing = sorted(map(str, info.get("missing_keys", ())))
    mismatched = sorted(str(key[0] if isinstance(key, tuple) else key) for key in info.get("mismatched_keys", ()))
    if missing or mismatched:
        raise ModelError(
            f'the weights of "{checkpoint.name}" do not fit its configuration',
            expected=f"every weight of {type(hf).__name__}",
            got=f"{len(missing)} missing ({_some(missing)}), {len(mismatched)} of another shape ({_some(mismatched)})",
            where=str(checkpoint.path),
            fix="the config.json belongs to another checkpoint, or weight files are missing",
        )
    unexpected = sorted(map(str, info.get("unexpected_keys", ())))
    layers = re.compile(r"\.(?:h|layers|blocks)\.(\d+)\.")
    present = {int(match[1]) for name in hf.state_dict() if (match := layers.search(f".{name}"))}
    beyond = [name for name in unexpected if (m := layers.search(f".{name}")) and int(m[1]) not in present]
    if beyond and present:
        raise ModelError(
            f'"{checkpoint.name}" has weights for more layers than its configuration',
            expected=f"layers up to {max(present)}",
            got=_some(beyond),
            where=str(checkpoint.path),
            fix="the config.json belongs to another checkpoint",
        )
    return [f"{len(unexpected)} weights of the checkpoint were not used: {_some(unexpected)}"] if unexpected else []


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none"


def _broken(checkpoint: Checkpoint, error: Exception, what: str) -> ModelError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ModelError(
        f'"{checkpoint.name}" cannot be loaded: {what}',
        got=f"{type(error).__name__}: {lines[0][:300]}",
        where=str(checkpoint.path),
        fix="download or copy the checkpoint again, and see that all its files are of one piece",
    )


def _out_of_memory(checkpoint: Checkpoint, error: Exception) -> RequestError:
    return RequestError(
        f'"{checkpoint.name}" does not fit into the device\'s memory',
        got=str(error).splitlines()[0][:200],
        fix="use --dtype bfloat16, a smaller model, or --device-map auto to spread it over several devices",
    )
