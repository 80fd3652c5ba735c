"""An adapter is in the model that is measured, and in its record; where it cannot be, a sentence says so."""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from headscope.errors import ModelError
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from tests.laws.families import make, word_tokenizer
from tests.tolerances import TINY, close

IDS = torch.tensor([[3, 4, 5, 6]])
RANK, ALPHA = 4, 8
TARGETS = ("q_proj", "v_proj", "o_proj")


def logits(hf: Any) -> Tensor:
    with torch.inference_mode():
        return hf(input_ids=IDS).logits


def write_adapter(folder: Path, base: str, *, seed: int = 1, **changes: object) -> dict[str, Tensor]:
    """A LoRA adapter of the tiny Llama in the form peft writes, made without peft; its weights."""
    hf = make("llama")
    draws = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}
    for name, module in hf.named_modules():
        if name.endswith(TARGETS):
            sizes = {"lora_A": (RANK, module.in_features), "lora_B": (module.out_features, RANK)}
            for part, (rows, columns) in sizes.items():
                drawn = torch.randn(rows, columns, generator=draws) * 0.3
                weights[f"base_model.model.{name}.{part}.weight"] = drawn
    settings = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": RANK, "lora_alpha": ALPHA,
        "target_modules": list(TARGETS), "lora_dropout": 0.1, "bias": "none", "fan_in_fan_out": False,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(settings | changes))
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return weights


def adapted_by_hand(weights: dict[str, Tensor]) -> Tensor:
    """Logits of the tiny Llama with W + (alpha / r) B A in place of each adapted W."""
    hf = make("llama")
    matrices = dict(hf.named_parameters())
    with torch.no_grad():
        for name, down in weights.items():
            if "lora_A" in name:
                up = weights[name.replace("lora_A", "lora_B")]
                matrices[name.removeprefix("base_model.model.").replace(".lora_A", "")].add_(ALPHA / RANK * up @ down)
    return logits(hf)


@pytest.fixture
def peft() -> Any:
    """The package; the test skips where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("peft", reason="peft is not installed: pip install headscope[adapters]")


def near(one: Tensor, other: Tensor) -> bool:
    """Equal up to float32 roundings."""
    return close(one, other, TINY)


def assert_adapted(model: HeadModel, weights: dict[str, Tensor]) -> None:
    assert near(logits(model.hf), adapted_by_hand(weights))
    assert not near(logits(model.hf), logits(make("llama")))
    assert model.describe()["adapter"] == model.adapter
    assert model.adapter is not None
    assert (model.adapter["kind"], model.adapter["merged"]) == ("LORA", True)


def test_an_adapter_beside_a_checkpoint_is_in_the_model(peft: Any, folder: Path) -> None:
    plain = load_model(folder, device="cpu", unchecked=True)
    weights = write_adapter(folder, "some/base")
    model = load_model(folder, device="cpu")
    assert_adapted(model, weights)
    assert model.laws.passed
    assert (plain.adapter, plain.fingerprint != model.fingerprint) == (None, True)


@pytest.mark.parametrize("written", ["absolute", "beside the adapter", "in the working directory"])
def test_an_adapter_alone_finds_its_base(
    written: str, peft: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = tmp_path / "adapter"
    names = {"absolute": str(folder), "beside the adapter": "../checkpoint", "in the working directory": "checkpoint"}
    weights = write_adapter(adapter, names[written])
    if written == "in the working directory":
        monkeypatch.chdir(tmp_path)
    model = load_model(adapter, device="cpu", unchecked=True)
    assert_adapted(model, weights)
    assert (model.name, model.source) == (str(adapter), "folder")


@pytest.mark.parametrize("named", ["the file", "its folder"])
def test_an_adapter_goes_on_top_of_a_gguf_file(named: str, peft: Any, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="gguf is not installed: pip install headscope[gguf]")
    from tests.unit.models.gguf_files import TEMPLATE, write_gguf

    file = tmp_path / "base" / "tiny.gguf"
    write_gguf(file, make("llama"))
    weights = write_adapter(tmp_path / "adapter", str(file if named == "the file" else file.parent))
    model = load_model(tmp_path / "adapter", device="cpu", unchecked=True)
    assert_adapted(model, weights)
    assert model.gguf is not None
    assert model.tokenizer.chat_template == TEMPLATE


def test_an_adapters_own_tokenizer_goes_before_its_bases(peft: Any, folder: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "adapter", str(folder))
    assert load_model(tmp_path / "adapter", device="cpu", unchecked=True).bos == "always"
    word_tokenizer(bos=False).save_pretrained(tmp_path / "adapter")
    assert load_model(tmp_path / "adapter", device="cpu", unchecked=True).bos == "never"


def test_a_live_adapted_model_and_a_merged_one_give_the_same_numbers(peft: Any, folder: Path, tmp_path: Path) -> None:
    weights = write_adapter(tmp_path / "adapter", str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        live = peft.PeftModel.from_pretrained(make("llama"), str(tmp_path / "adapter"))
    model = load_model(live, tokenizer=word_tokenizer(), device="cpu")
    assert model.laws.passed
    assert near(logits(model.hf), adapted_by_hand(weights))


def broken(folder: Path, what: str) -> None:
    file, settings = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    weights, name = load_file(file), "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    if what == "no weights":
        file.unlink()
    elif what == "a pointer":
        file.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    elif what == "truncated":
        file.write_bytes(file.read_bytes()[:500])
    elif what == "a weight missing":
        save_file({key: value for key, value in weights.items() if key != name}, file)
    elif what == "a weight too many":
        save_file(weights | {name.replace("layers.0", "layers.9"): weights[name].clone()}, file)
    elif what == "another size":
        save_file(weights | {name: torch.ones(RANK, 7)}, file)
    elif what == "another kind":
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"peft_type": "ZORK"}))
    elif what == "no such module":
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"target_modules": ["zork"]}))
    elif what == "prompt vectors":
        settings.write_text(
            json.dumps({"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 3})
        )
    else:
        settings.write_text("{")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no weights", "holds no weights"),
        ("a pointer", "git lfs pull"),
        ("truncated", "cannot be put onto its base"),
        ("a weight missing", "1 missing"),
        ("a weight too many", "1 without a place"),
        ("another size", "cannot be put onto its base"),
        ("another kind", "cannot be put onto its base"),
        ("no such module", "cannot be put onto its base"),
        ("prompt vectors", "learned prompt vectors"),
        ("no JSON", "no JSON"),
    ],
)
def test_an_adapter_that_does_not_fit_is_an_error_and_never_left_out(
    what: str, words: str, peft: Any, folder: Path
) -> None:
    write_adapter(folder, "some/base")
    broken(folder, what)
    with pytest.raises(ModelError, match=words):
        load_model(folder, device="cpu", unchecked=True)


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("./gone", 'no folder "./gone"'),
        (None, "got: None"),
        ("", "the folder or hub id it was trained on"),
        (3, "got: 3"),
        (".", "is an adapter itself"),
        ("../other", "is an adapter itself"),
    ],
)
def test_a_base_that_is_not_there_or_is_an_adapter_is_named(base: Any, words: str, tmp_path: Path) -> None:
    write_adapter(tmp_path / "adapter", base)
    write_adapter(tmp_path / "other", "../adapter")
    with pytest.raises(ModelError, match="the base of the adapter") as caught:
        load_model(tmp_path / "adapter")
    assert words in str(caught.value)


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside its base"])
def test_without_peft_a_sentence_says_what_to_do(
    alone: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = tmp_path / "adapter" if alone else folder
    write_adapter(where, str(folder))
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError):
        importlib.import_module("peft")
    with pytest.raises(ModelError, match=r"headscope\[adapters\]"):
        load_model(where)
