"""What the tests of the bundled model share: its folder, its tokenizer and the record of its training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

DEMO = Path(__file__).parents[3] / "headscope" / "models" / "demo"


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    return DEMO


@pytest.fixture(scope="session")
def training_record() -> Mapping[str, Any]:
    return json.loads((DEMO / "training_record.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def demo_tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(DEMO)
