"""A worker on another machine, in another folder, loads what the driver loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headscope.engines.ray import RayRunner, runner_of
from headscope.models.loading import load_model
from tests.laws.families import make, word_tokenizer


def asked_of_workers(runner: RayRunner) -> tuple[tuple[Any, ...], dict[str, Any]]:
    load: Any = runner.load
    return load.args, load.keywords


def test_folders_are_named_as_every_working_directory_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("checkpoint", "words"):
        word_tokenizer().save_pretrained(tmp_path / name)
    make("llama").save_pretrained(tmp_path / "checkpoint")
    monkeypatch.chdir(tmp_path)
    options = {"tokenizer": "words", "bos": "never", "device": "auto", "memory_budget": "1GiB"}
    model = load_model("./checkpoint", tokenizer="words", device="cpu", unchecked=True)
    (name,), keywords = asked_of_workers(runner_of(model, options, None))
    assert name == str(tmp_path / "checkpoint")
    assert keywords == {
        "tokenizer": str(tmp_path / "words"), "bos": "never", "device": "cpu", "memory_budget": None,
    }  # fmt: skip
    _, keywords = asked_of_workers(runner_of(model, options | {"tokenizer": "some/model@v1"}, None))
    assert keywords["tokenizer"] == "some/model@v1"
