"""A model with an edit folded into its weights, as an ordinary Hugging Face checkpoint that proves itself.

1. Fold (``folding.py``). Every weight is written in the type of the checkpoint it came from, where that type holds it
   exactly, as it does all weights that came from it; an edited one is folded in float32 and rounded once.
2. Write to a temporary folder beside the asked one: weights in the names of the family's own checkpoints, the
   checkpoint's config.json but for the settings that make room for a bias, generation config, tokenizer with its chat
   template, a model card, and the record of the edit.
3. Load that folder with plain transformers. Every weight must be as it was meant, and logits must equal those of the
   model under the edit within the load check's tolerance; otherwise nothing is kept.
4. Rename the folder: it is whole or not there.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from headscope.errors import LawError, ModelError, RequestError, WorkError
from headscope.models.editing import HeadEdit
from headscope.models.folding import OTHER_WAY, Folded, fold, shell_of
from headscope.models.head_model import HeadModel
from headscope.models.interface import quiet_transformers
from headscope.models.law_report import Law
from headscope.models.law_rows import compare, made_up_sequences, rows_alone, tolerance_of
from headscope.models.model_card import card
from headscope.models.others_errors import OTHERS_ERRORS, refusal
from headscope.models.windows import smallest_window
from headscope.runs.atomic import TEMPORARY_PREFIX, check_folder_writable, write_json_atomic, write_text_atomic
from headscope.runs.paths import make_folders, unmake_folders

RECORD = "headscope_edit.json"
_HALF = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Exported:
    """A checkpoint that was written.

    Attributes:
        path: its folder.
        facts: JSON-able: what was folded, in which type, and how far its logits lie from those under the edit.
    """

    path: Path
    facts: Mapping[str, Any]


def export(model: HeadModel, edit: HeadEdit, out: str | Path) -> Exported:
    """Write the model with ``edit`` folded into its weights to the folder ``out``; the model itself stays as it is.

    Raises:
        RequestError: the folder is not empty or cannot be written to, or the edit does not fit the model.
        ModelError: the edit cannot be folded exactly; the message says why, and which way works.
        LawError: the checkpoint, loaded anew, is not the edited model; nothing is kept.
        WorkError: the disk is full or fails; nothing is kept.
    """
    out = Path(out)
    check_empty(out)
    if type(model.hf).__module__.startswith("transformers_modules"):
        raise ModelError(f'"{model.name}" brings its own code, without which its weights are no model', fix=OTHER_WAY)
    folded = fold(model, edit)
    kind = _written_type(model)
    weights, exact = _weights(model.hf, folded, kind)
    parents = make_folders(out.absolute().parent)
    temporary = out.absolute().parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        temporary.mkdir()
        _write(model, folded, weights, kind, temporary)
        law = _prove(model, edit, temporary, weights, model.dtype if exact else kind)
        facts = _facts(model, edit, folded, kind, law)
        write_json_atomic(temporary / RECORD, facts)
        written = write_text_atomic(temporary / "README.md", card(model, edit, out.name, facts))
        for file in temporary.iterdir():  # safetensors leaves its files to their owner alone
            file.chmod(written.stat().st_mode)
        if out.is_dir():
            out.rmdir()
        temporary.rename(out)
    except OSError as error:
        raise WorkError("the checkpoint could not be written", got=error.strerror, where=str(out)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        unmake_folders(parents, None)  # those that are empty
    return Exported(out, facts)


def check_empty(out: Path) -> None:
    """RequestError, before any work, where a checkpoint cannot be written to ``out``: it must be new, or empty."""
    if out.is_dir() and (files := sorted(path.name for path in out.iterdir())):
        raise RequestError(
            "the folder is not empty", expected="a new folder, or an empty one", got=", ".join(files[:3]),
            where=str(out), fix="choose another, or empty it",
        )  # fmt: skip
    check_folder_writable(out)


def _written_type(model: HeadModel) -> torch.dtype:
    """The checkpoint's own where it was only widened to float32 to be computed with, else that of the weights."""
    if model.checkpoint is None or model.dtype != torch.float32:
        return model.dtype
    stored = _own_config(model.checkpoint)
    return _HALF.get(str(stored.get("dtype", stored.get("torch_dtype"))), torch.float32)


def _own_config(checkpoint: Path) -> dict[str, Any]:
    try:
        return json.loads((checkpoint / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError("the model's own config.json is gone or broken", where=str(checkpoint)) from error


def _weights(hf: PreTrainedModel, folded: Folded, kind: torch.dtype) -> tuple[dict[str, Tensor], bool]:
    """The state dict to write, on the CPU, and whether no folded number had to be rounded.

    Tied weights stay one tensor, by which transformers knows that they are.
    """
    seen: dict[tuple[int, tuple[int, ...], tuple[int, ...]], Tensor] = {}
    weights: dict[str, Tensor] = {}
    for name, weight in hf.state_dict().items():
        key = weight.data_ptr(), tuple(weight.shape), weight.stride()
        if key not in seen:
            narrow = weight.detach().to(kind) if weight.is_floating_point() else weight.detach()
            seen[key] = (narrow if torch.equal(narrow.to(weight), weight) else weight.detach()).cpu()
        weights[name] = seen[key]
    exact = True
    for name, weight in folded.changed.items():
        rounded = weight.to(kind).cpu()
        exact = exact and torch.equal(rounded.to(weight), weight)
        weights[name] = rounded.contiguous()
    return weights, exact


def _write(model: HeadModel, folded: Folded, weights: dict[str, Tensor], kind: torch.dtype, folder: Path) -> None:
    """Weights, configuration, generation config and tokenizer, as transformers writes and reads them."""
    hf: Any = model.hf
    shell: Any = shell_of(hf, folded.settings)
    shell = shell.to(kind)
    if strange := sorted(set(weights) ^ set(shell.state_dict())):
        raise ModelError(
            f"the model is not the {type(hf).__name__} of its configuration, so no checkpoint can be written of it",
            expected="an adapter that is merged, and no parts of one's own",
            got=f"{len(strange)} weights, such as {strange[0]}", fix=OTHER_WAY,
        )  # fmt: skip
    if model.gguf is None and hasattr(hf, "_weight_conversions"):  # by which names of a checkpoint became the model's
        shell._weight_conversions = hf._weight_conversions
    own_generation = None if model.checkpoint is None else model.checkpoint / "generation_config.json"
    copied = own_generation is not None and own_generation.is_file()
    if not copied:
        shell.generation_config = hf.generation_config
    try:
        with quiet_transformers():
            shell.save_pretrained(folder, state_dict=dict(weights))
            model.tokenizer.save_pretrained(folder)
    except (*OTHERS_ERRORS, SafetensorError) as error:
        if isinstance(error, OSError):
            raise
        raise refusal("the model cannot be saved by transformers", error, where=type(hf).__name__) from error
    if copied:
        shutil.copyfile(str(own_generation), folder / "generation_config.json")
    if model.checkpoint is not None:
        config = {**_own_config(model.checkpoint), **folded.settings}
        name = "torch_dtype" if "torch_dtype" in config and "dtype" not in config else "dtype"
        config[name] = str(kind).removeprefix("torch.")
        write_json_atomic(folder / "config.json", config)


@torch.inference_mode()
def _prove(model: HeadModel, edit: HeadEdit, folder: Path, weights: Mapping[str, Tensor], kind: torch.dtype) -> Law:
    """The law that the folder, loaded by plain transformers, is the model under the edit.

    Raises:
        LawError: it is not.
    """
    try:
        with quiet_transformers():
            anew: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=model.dtype, attn_implementation=model.own_attention, local_files_only=True
            )
        anew = anew.eval().to(model.device)
    except torch.OutOfMemoryError as error:
        raise WorkError(
            "the checkpoint cannot be compared with the edited model: memory does not hold both",
            got=str(error).splitlines()[0][:200], fix="export with --device cpu",
        ) from error  # fmt: skip
    except OTHERS_ERRORS as error:
        raise _not_the_model(f"it cannot be loaded: {type(error).__name__}: {error}") from error
    for name, weight in anew.state_dict().items():
        if name not in weights or not torch.equal(weight.cpu(), weights[name].to(weight.dtype)):
            raise _not_the_model(f"{name} came back otherwise")
    sequences = made_up_sequences(model, smallest_window(model))
    with model.edit(edit):
        expected, condition = rows_alone(model, sequences)
    got = [anew(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0] for ids in sequences]
    law = compare("exported = edited", got, expected, condition * tolerance_of(model, kind))
    if not law.passed:
        raise _not_the_model(f"logits differ by {law.difference:.1e} of the largest, {law.tolerance:.1e} is allowed")
    return law


def _not_the_model(why: str) -> LawError:
    return LawError("the exported checkpoint is not the edited model, so it was not kept", got=why[:300], fix=OTHER_WAY)


def _facts(model: HeadModel, edit: HeadEdit, folded: Folded, kind: torch.dtype, law: Law) -> dict[str, Any]:
    return {
        **edit.record(model).facts(),
        "base_model": {"name": model.name, "source": model.source, "commit": model.commit},
        "dtype": str(kind).removeprefix("torch."),
        "settings_turned_on": sorted(folded.settings),
        "weights_changed": sorted(name for name, weight in folded.changed.items() if bool(weight.any())),
        "largest_difference": law.difference,
        "tolerance": law.tolerance,
    }
