"""An edit comes back from its file bit for bit, on its own model; whatever else lies there is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from headscope.errors import RequestError
from headscope.models.edit_files import load_edit
from headscope.models.edit_format import read_record
from headscope.models.edit_values import read_values
from headscope.models.editing import HeadEdit, add, mean, replace, scale, zero
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from tests.laws import oracles
from tests.laws.families import make, sequences, word_tokenizer

SPEC = "2:0,0:1-2"  # sorted: 0:1, 0:2, 2:0
VALUES = torch.randn(3, 8, generator=torch.Generator().manual_seed(3))
EDITS = {
    "zero": zero(SPEC),
    "keep": zero(SPEC, value_bias="keep"),
    "scale": scale(SPEC, 1 / 3),
    "mean": mean(SPEC, VALUES),
    "replace": replace(SPEC, VALUES.double() / 3),
    "add": add(SPEC, {"L2H0": VALUES[0].half(), (0, 1): VALUES[1].bfloat16(), "0:2": VALUES[2].tolist()}),
}


def edited_logits(model: HeadModel, edit: HeadEdit) -> torch.Tensor:
    with model.edit(edit) as hf:
        return oracles.logits(hf, sequences()[0])


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_comes_back_bit_for_bit(name: str, gpt2: HeadModel, tmp_path: Path) -> None:
    edit = EDITS[name]
    path = gpt2.save_edit(tmp_path / "e.safetensors", edit)
    back = load_edit(path)
    assert (back.kind, back.factor, back.value_bias) == (edit.kind, edit.factor, edit.value_bias)
    given, got = edit.values_on(gpt2), back.values_on(gpt2)
    assert list(got) == list(given)
    for head, value in given.items():
        assert got[head].dtype == value.dtype
        assert torch.equal(got[head], value)
    assert torch.equal(edited_logits(gpt2, back), edited_logits(gpt2, edit))
    again = gpt2.save_edit(tmp_path / "again.safetensors", back)
    assert again.read_bytes() == path.read_bytes()


def test_the_file_says_what_the_numbers_mean(gpt2: HeadModel, tmp_path: Path) -> None:
    about = {"vector": {"kind": "probe", "concept": "awe", "dose": 2.0}, "note": "ein Kopf – 頭"}
    edit = HeadEdit("1:2", "add", torch.ones(1, 8), about=about)
    path = gpt2.save_edit(tmp_path / "e.safetensors", edit)
    with safe_open(path, framework="np") as opened:
        facts = json.loads(opened.metadata()["headscope_edit"])
        assert list(opened.keys()) == ["1:2"]
    assert facts["heads"] == ["1:2"]
    assert facts["scope"] == "all"
    assert facts["about"] == about
    assert facts["model"] == {"name": gpt2.name, "family": "gpt2", "fingerprint": gpt2.fingerprint}
    assert load_edit(path).about == about


def test_an_edit_of_another_model_is_refused_unless_told_and_must_fit_anyway(gpt2: HeadModel, tmp_path: Path) -> None:
    path = gpt2.save_edit(tmp_path / "e.safetensors", EDITS["mean"])
    other = load_model(make("gpt2", seed=1), tokenizer=word_tokenizer(), device="cpu", unchecked=True)
    with pytest.raises(RequestError, match="made on another model"), other.edit(load_edit(path)):
        pass
    told = load_edit(path, any_model=True)
    assert torch.equal(edited_logits(other, told), edited_logits(other, EDITS["mean"]))
    wider = load_model(make("qwen3"), tokenizer=word_tokenizer(), device="cpu", unchecked=True)  # heads of 12 numbers
    with pytest.raises(RequestError, match="wrong shape"), wider.edit(told):
        pass
    shallow = load_model(make("gpt2", n_layer=2), tokenizer=word_tokenizer(), device="cpu", unchecked=True)
    with pytest.raises(RequestError, match="2:0 does not exist"), shallow.edit(told):
        pass


def test_what_cannot_be_kept_is_refused_and_nothing_is_written(gpt2: HeadModel, tmp_path: Path) -> None:
    wrong: list[tuple[str, HeadEdit, str]] = [
        ("e.safetensors", mean("0:1", torch.ones(1, 7)), "wrong shape"),
        ("e.safetensors", zero("9:0"), "9:0 does not exist"),
        ("e.safetensors", HeadEdit("0:1", "zero", about={"run": object()}), "no place in JSON"),
        ("e.json", zero("0:1"), "kept in a safetensors file"),
    ]
    for name, edit, words in wrong:
        with pytest.raises(RequestError, match=words):
            gpt2.save_edit(tmp_path / name, edit)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_an_edit_or_a_clear_refusal_never_another_error(gpt2: HeadModel, tmp_path: Path) -> None:
    """Every cut, and a thousand changes of single bytes: a change in the numbers alone cannot be told."""
    path = gpt2.save_edit(tmp_path / "e.safetensors", EDITS["mean"])
    whole, n_refused = path.read_bytes(), 0
    damaged = [whole[:n] for n in range(0, len(whole), 7)]
    draws = np.random.default_rng(5)
    for place, bit in zip(draws.integers(0, len(whole), 1000), draws.integers(0, 8, 1000), strict=True):
        changed = bytearray(whole)
        changed[place] ^= 1 << bit
        damaged.append(bytes(changed))
    for content in damaged:
        path.write_bytes(content)
        try:
            record = read_record(path)
        except RequestError:
            n_refused += 1
        else:
            assert set(record.values) == set(record.heads)
    assert n_refused > len(whole) / 7


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int64])
def test_values_of_a_numpy_file_are_those_of_the_array(kind: Any, tmp_path: Path) -> None:
    array = np.arange(6).reshape(2, 3).astype(kind) / kind(1)
    np.save(tmp_path / "v.npy", array)
    read = read_values(tmp_path / "v.npy")
    assert isinstance(read, torch.Tensor)
    assert np.array_equal(read.numpy(), array)
