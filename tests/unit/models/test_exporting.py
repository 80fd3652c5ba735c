"""A checkpoint keeps what the edit does not touch, is whole or not there, and what cannot be folded is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from headscope.errors import LawError, ModelError, RequestError, WorkError
from headscope.models import exporting
from headscope.models.editing import HeadEdit, mean, scale, zero
from headscope.models.exporting import export
from headscope.models.folding import Folded
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from tests.laws.families import make, word_tokenizer

EDIT = zero("0:1,2:3")
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


def live(family: str = "llama") -> HeadModel:
    return load_model(make(family), tokenizer=word_tokenizer(), device="cpu", unchecked=True)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A tiny Llama in bfloat16, with a chat template and ends of text of its own."""
    folder = tmp_path / "base"
    hf: Any = make("llama")
    hf.to(torch.bfloat16)
    hf.generation_config.eos_token_id = [2, 7]
    hf.save_pretrained(folder)
    tokenizer = word_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def test_all_but_the_folded_weights_are_the_checkpoints_own_bytes(checkpoint: Path, tmp_path: Path) -> None:
    model = load_model(str(checkpoint), device="cpu")
    assert model.dtype == torch.float32  # as headscope computes on a CPU
    out = export(model, EDIT, tmp_path / "out").path
    before, after = load_file(checkpoint / "model.safetensors"), load_file(out / "model.safetensors")
    touched = {f"model.layers.{layer}.self_attn.o_proj.weight" for layer in (0, 2)}
    assert list(after) == list(before)
    assert {name for name in before if not torch.equal(before[name], after[name])} == touched
    assert {weight.dtype for weight in after.values()} == {torch.bfloat16}
    assert json.loads((out / "config.json").read_text()) == json.loads((checkpoint / "config.json").read_text())
    assert (out / "generation_config.json").read_bytes() == (checkpoint / "generation_config.json").read_bytes()
    assert AutoTokenizer.from_pretrained(out).chat_template == TEMPLATE
    assert len({path.stat().st_mode for path in out.iterdir()}) == 1


def test_what_is_folded_is_rounded_once_to_the_checkpoints_type(checkpoint: Path, tmp_path: Path) -> None:
    model = load_model(str(checkpoint), device="cpu")
    factor, name = 1.3, "model.layers.0.self_attn.o_proj.weight"
    out = export(model, scale("0:1", factor), tmp_path / "out").path
    expected = load_file(checkpoint / "model.safetensors")[name].float()
    expected[:, 8:16] *= torch.tensor(factor)
    assert torch.equal(load_file(out / "model.safetensors")[name], expected.to(torch.bfloat16))


def test_room_for_a_bias_is_the_only_change_of_the_configuration(checkpoint: Path, tmp_path: Path) -> None:
    model = load_model(str(checkpoint), device="cpu")
    written = export(model, mean("0:1", torch.ones(1, 8)), tmp_path / "out")
    before, after = (json.loads((path / "config.json").read_text()) for path in (checkpoint, written.path))
    assert after == before | {"attention_bias": True}
    assert written.facts["settings_turned_on"] == ["attention_bias"]
    weights = load_file(written.path / "model.safetensors")
    biases = {name for name, weight in weights.items() if name.endswith("bias") and bool(weight.any())}
    assert biases == {"model.layers.0.self_attn.o_proj.bias"}


def test_the_card_says_what_was_done_and_claims_no_effect(tmp_path: Path) -> None:
    edit = HeadEdit("1:2", "scale", factor=2.5, about={"note": "by hand"})
    out = export(live(), edit, tmp_path / "louder").path
    card = (out / "README.md").read_text()
    for words in (
        "1:2",
        "`scale`",
        "multiplied by 2.5",
        "note: by hand",
        "claims no effect",
        'from_pretrained("louder")',
    ):
        assert words in card
    record = json.loads((out / "headscope_edit.json").read_text())
    assert record["factor"] == 2.5
    assert 0.0 <= record["largest_difference"] <= record["tolerance"]


def test_an_empty_folder_is_taken_and_one_with_a_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years")
    export(live(), EDIT, tmp_path / "empty")
    AutoModelForCausalLM.from_pretrained(tmp_path / "empty")
    with pytest.raises(RequestError, match="not empty"):
        export(live(), EDIT, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]


def test_a_checkpoint_that_is_not_the_edited_model_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = live()
    monkeypatch.setattr(exporting, "fold", lambda model, edit: Folded({}, {}))
    with pytest.raises(LawError, match="logits differ"):
        export(model, EDIT, tmp_path / "new" / "out")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "write_json_atomic", full)
    with pytest.raises(WorkError, match="No space left"):
        export(live(), EDIT, tmp_path / "new" / "out")
    assert not list(tmp_path.iterdir())


class Wrapped(nn.Module):
    """A projection with an adapter beside it, as peft wraps one."""

    def __init__(self, base_layer: nn.Linear) -> None:
        super().__init__()
        self.base_layer, self.in_features = base_layer, base_layer.in_features

    def forward(self, z: Tensor) -> Tensor:
        return self.base_layer(z)


def wrapped(hf: Any) -> None:
    hf.model.layers[0].self_attn.o_proj = Wrapped(hf.model.layers[0].self_attn.o_proj)


def wrapped_elsewhere(hf: Any) -> None:
    hf.model.layers[1].mlp.up_proj = Wrapped(hf.model.layers[1].mlp.up_proj)


def shared(hf: Any) -> None:
    hf.model.layers[1].self_attn.o_proj.weight = hf.model.layers[0].self_attn.o_proj.weight


def quantized(hf: Any) -> None:
    hf.is_quantized = True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (wrapped, "an adapter beside it"),
        (wrapped_elsewhere, "not the LlamaForCausalLM of its configuration"),
        (shared, "shares its matrix"),
        (quantized, "no plain matrix"),
    ],
)
def test_a_model_that_cannot_be_folded_is_refused_with_the_way_that_works(
    change: Callable[[Any], None], words: str, tmp_path: Path
) -> None:
    hf = make("llama")
    change(hf)
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu", unchecked=True)
    with pytest.raises(ModelError, match=words) as refused:
        export(model, EDIT, tmp_path / "out")
    assert "hs.load_edit" in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_an_edit_at_some_places_only_is_refused(tmp_path: Path) -> None:
    class AtOnePlace:
        def on(self, model: HeadModel) -> Any: ...

    edit: Any = AtOnePlace()
    with pytest.raises(RequestError, match="holds everywhere"):
        export(live(), edit, tmp_path / "out")
    bound = changed(EDIT, only_for="another")
    with pytest.raises(RequestError, match="made on another model"):
        export(live(), bound, tmp_path / "out")
    assert not list(tmp_path.iterdir())
