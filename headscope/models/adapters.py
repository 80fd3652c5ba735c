"""An adapter (LoRA and the like) put onto the checkpoint it was trained on, by ``peft``.

It is merged into the weights, so the model that is measured is a plain one and its fingerprint is that of the merged
weights. Into quantized weights merging would round, so there the adapter stays in the layers. An adapter that does not
fit, or is not all there, is an error: peft says so in a warning and measures the base.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from transformers import PreTrainedModel

from headscope.errors import ModelError
from headscope.models.checkpoints import Checkpoint, read_object, refuse_pointers, some
from headscope.models.hub import ADAPTER_CONFIG, ADAPTER_FILES
from headscope.models.interface import quiet_transformers
from headscope.models.others_errors import OTHERS_ERRORS, refusal


def require_peft(checkpoint: Checkpoint) -> None:
    """ModelError where the checkpoint has an adapter and there is nothing to load it with."""
    if checkpoint.adapter is None:
        return
    try:
        importlib.import_module("peft")
    except ImportError as error:
        beside = checkpoint.adapter == checkpoint.path
        raise ModelError(
            f'"{checkpoint.name}" is a checkpoint with an adapter, and peft is not installed'
            if beside
            else f'"{checkpoint.name}" is an adapter, and peft is not installed',
            where=str(checkpoint.adapter / ADAPTER_CONFIG),
            fix='pip install "headscope[adapters]"'
            + (f"; or, to measure the model without it, take {ADAPTER_CONFIG} out of the folder" if beside else ""),
        ) from error


def with_adapter(checkpoint: Checkpoint, hf: PreTrainedModel) -> tuple[PreTrainedModel, dict[str, Any] | None]:
    """The model with the checkpoint's adapter in it, and the adapter's record; the model itself and None without one.

    Raises:
        ModelError: the adapter is broken, does not fit the model, or computes what layers do not show.
    """
    if checkpoint.adapter is None:
        return hf, None
    folder, name = checkpoint.adapter, checkpoint.name
    read_object(name, folder / ADAPTER_CONFIG)
    files = [folder / file for file in ADAPTER_FILES if (folder / file).is_file()]
    if not files:
        raise ModelError(
            f'the adapter "{name}" holds no weights', expected=" or ".join(ADAPTER_FILES), where=str(folder)
        )
    refuse_pointers(name, files)
    peft: Any = importlib.import_module("peft")
    problem = f'the adapter "{name}" cannot be put onto its base'
    merges = not getattr(hf, "is_quantized", False)
    try:
        with quiet_transformers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is missing is refused below, by name
            config = peft.PeftConfig.from_pretrained(str(folder))
            if config.is_prompt_learning:
                raise _prompt_vectors(name, str(config.peft_type))
            config.inference_mode = True
            wrapped = peft.PeftModel(hf, config)
            loaded = wrapped.load_adapter(str(folder), "default")
            _refuse_unfitting(name, loaded, where=str(folder))
            inner = wrapped.merge_and_unload(safe_merge=True) if merges else wrapped.get_base_model()
    except OTHERS_ERRORS as error:
        fix = "see that the adapter's files are whole, and that it was trained on this base"
        raise refusal(problem, error, where=str(folder), fix=fix) from error
    return inner, _record(config, merged=merges)


def live_adapter(model: Any) -> dict[str, Any] | None:
    """The record of the adapter in a live model; None where it is no model of peft's."""
    config = getattr(model, "active_peft_config", None)
    return None if config is None else _record(config, merged=False)


def note_on_adapter(adapter: dict[str, Any] | None) -> list[str]:
    """A sentence on the adapter in a model; none where there is none."""
    if adapter is None:
        return []
    how = "merged into" if adapter["merged"] else "in the layers of"
    return [f"an adapter ({adapter['kind']}) is {how} the model; it was trained on {adapter['base']}"]


def _record(config: Any, *, merged: bool) -> dict[str, Any]:
    kind = getattr(config.peft_type, "value", config.peft_type)
    return {"kind": str(kind), "base": str(config.base_model_name_or_path), "merged": merged}


def _prompt_vectors(name: str, kind: str) -> ModelError:
    return ModelError(
        f'the adapter "{name}" is learned prompt vectors ({kind}), which compute more than the layers show',
        fix="use adapters that live in the layers (LoRA and the like)",
    )


def _refuse_unfitting(name: str, loaded: Any, *, where: str) -> None:
    missing, unexpected = sorted(loaded.missing_keys), sorted(loaded.unexpected_keys)
    if missing or unexpected:
        raise ModelError(
            f'the weights of the adapter "{name}" do not fit its base and configuration',
            expected="every weight of the adapter, and no other",
            got=f"{len(missing)} missing ({some(missing)}), {len(unexpected)} without a place ({some(unexpected)})",
            where=where,
            fix=f"the {ADAPTER_CONFIG} belongs to another adapter, or its base is another model",
        )
