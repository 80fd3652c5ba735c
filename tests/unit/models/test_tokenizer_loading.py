"""A tokenizer that cannot be had, or gives ids the model has no embedding for, is named before the first pass."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from headscope.errors import ModelError, RequestError
from headscope.models.batches import Batch
from headscope.models.loading import load_model
from headscope.models.running import logits_at
from tests.laws.families import make, word_tokenizer

ROWS = 67  # of the tiny models' embedding


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def renumber(token: str, index: int) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["model"]["vocab"][token] = index
        for added in content["added_tokens"]:
            if added["content"] == token:
                added["id"] = index

    return change


def test_a_beginning_of_text_without_an_embedding_is_named(folder: Path) -> None:
    edit(folder / "tokenizer.json", renumber("<s>", ROWS))
    with pytest.raises(ModelError, match="begins every text") as caught:
        load_model(folder, device="cpu")
    assert f"<s> = {ROWS}" in str(caught.value)
    assert "--bos never" in str(caught.value)
    assert load_model(folder, device="cpu", bos="never").laws.passed  # what the message says to do


def test_a_tokenizer_with_more_words_than_the_model_is_another_models(folder: Path) -> None:
    edit(folder / "tokenizer.json", renumber("w9", ROWS + 3))
    with pytest.raises(ModelError, match="more words than the model has embeddings") as caught:
        load_model(folder, device="cpu")
    assert "'w9'" in str(caught.value)


def test_an_added_token_without_an_embedding_is_noted_and_a_text_that_holds_it_refused(folder: Path) -> None:
    """A padding token put on top of the vocabulary, as many Llama checkpoints have it."""
    edit(folder / "tokenizer.json", renumber("<pad>", ROWS))
    model = load_model(folder, device="cpu")
    assert model.laws.passed
    assert f"<pad> = {ROWS}" in model.describe()["notes"][0]
    place = torch.tensor([0]), torch.tensor([1])
    assert logits_at(model, Batch.of_chains([[1, 5]]), *place).shape == (1, ROWS)
    with pytest.raises(RequestError, match="has no embedding") as caught:
        logits_at(model, Batch.of_chains([[1, ROWS]]), *place)
    assert "<pad>" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{"),
        ("tokenizer.json", b""),
        ("tokenizer.json", b"[]"),
        ("tokenizer.json", b'{"version": "1.0", "model": {"type": "Zork", "vocab": {}}}'),
        ("tokenizer_config.json", b"{"),
        ("tokenizer_config.json", b"[]"),
        ("tokenizer_config.json", b'{"a": "\xff"}'),
        ("special_tokens_map.json", b"{"),
        ("added_tokens.json", b"{"),
    ],
)
def test_a_broken_tokenizer_file_is_a_sentence(name: str, content: bytes, folder: Path) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match="no tokenizer can be loaded") as caught:
        load_model(folder)
    assert "--tokenizer" in str(caught.value)


@pytest.mark.parametrize(
    ("package", "settings", "files"),
    [
        (
            "fugashi",
            {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"},
            {"vocab.txt": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n"},
        ),
        ("tiktoken", {"tokenizer_class": "LlamaTokenizer"}, {"tokenizer.model": b"IQ== 0\nIg== 1\n"}),
    ],
)
def test_a_tokenizer_that_needs_a_package_names_it(
    package: str, settings: dict[str, Any], files: dict[str, bytes], folder: Path
) -> None:
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed here")
    (folder / "tokenizer.json").unlink()
    edit(folder / "tokenizer_config.json", lambda content: content.update(settings))
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match="no tokenizer can be loaded") as caught:
        load_model(folder)
    assert f'pip install "{package}' in str(caught.value)
    assert "beside the weights" not in str(caught.value)


def test_a_tokenizer_of_its_own_code_is_not_run_unasked(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    own = {"auto_map": {"AutoTokenizer": ["own.Own", None]}, "tokenizer_class": "Own"}
    edit(folder / "tokenizer_config.json", lambda content: content.update(own))
    (folder / "own.py").write_text("raise SystemExit('it ran')\n")
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    assert "--trust-remote-code" in str(caught.value)


def test_another_tokenizer_is_taken_by_name_and_recorded(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    word_tokenizer(bos=False).save_pretrained(other)
    model = load_model(folder, tokenizer=other, device="cpu", unchecked=True)
    assert (model.bos, model.describe()["tokenizer"]) == ("never", str(other))
    assert load_model(folder, device="cpu", unchecked=True).describe()["tokenizer"] is None
    live = load_model(make("llama"), tokenizer=str(other), device="cpu", unchecked=True)
    assert live.describe()["tokenizer"] == str(other)
    with pytest.raises(ModelError, match="there is no folder"):
        load_model(folder, tokenizer="./gone")
    with pytest.raises(ModelError, match="more words than the model has embeddings"):
        load_model(folder, tokenizer="demo", device="cpu")
