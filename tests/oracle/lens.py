"""What tests against TransformerLens share: its Python, the checkpoint both read, and how it is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

LENS_PYTHON = "HEADSCOPE_TRANSFORMER_LENS_PYTHON"
CHECKPOINT = "chat-gpt2-3M"


def answers_of_transformer_lens(request: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:
    """What ``transformer_lens_side.py`` answers; skips where there is no Python that can."""
    python = os.environ.get(LENS_PYTHON)
    if not python:
        pytest.skip(f"{LENS_PYTHON} names no Python that has transformer_lens (2.x)")
    asked, answered = folder / "request.json", folder / "answers.npz"
    asked.write_text(json.dumps(request))
    script = Path(__file__).with_name("transformer_lens_side.py")
    subprocess.run([python, str(script), str(asked), str(answered)], check=True)
    with np.load(answered) as found:
        return dict(found)


def with_value_biases(source: Path, target: Path) -> Path:
    """A copy whose query, key and value biases, all 0 in the original, are drawn, so that the conventions differ."""
    hf = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for block in hf.transformer.h:
            block.attn.c_attn.bias.normal_(std=0.3, generator=generator)
    hf.save_pretrained(target)
    for file in source.glob("tokenizer*"):
        shutil.copy(file, target)
    return target
