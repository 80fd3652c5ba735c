"""Small models for the tests of the models room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from tests.laws.families import make, word_tokenizer


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Models of three tiny layers are slower on two threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="package")
def gpt2() -> HeadModel:
    """Three layers of four heads with every bias set; routed, SDPA. Not to be changed by a test."""
    return load_model(make("gpt2"), tokenizer=word_tokenizer(), device="cpu")


@pytest.fixture(scope="package")
def llama() -> HeadModel:
    """Three layers of four heads on two key/value heads; routed, SDPA. Not to be changed by a test."""
    return load_model(make("llama"), tokenizer=word_tokenizer(), device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete checkpoint folder of a tiny Llama with its tokenizer."""
    path = tmp_path / "checkpoint"
    make("llama").save_pretrained(path)
    word_tokenizer().save_pretrained(path)
    return path
