"""A name, a folder or a live model becomes a model whose identity, place and BOS are settled and recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from headscope.errors import ModelError, RequestError
from headscope.models.batches import Batch
from headscope.models.head_model import HeadModel
from headscope.models.loading import choose_device, fingerprint, load_model
from headscope.models.running import logits_at
from tests.laws.families import make, word_tokenizer
from tests.tolerances import close


def test_a_folder_gives_the_weights_that_were_saved(folder: Path) -> None:
    model = load_model(folder)
    twin = make("llama")
    assert (model.source, model.name) == ("folder", str(folder))
    assert model.laws.passed
    batch = Batch.of_chains([[3, 4, 5]])
    expected = twin(input_ids=batch.ids).logits[0, 2].detach()
    assert close(logits_at(model, batch, torch.tensor([0]), torch.tensor([2]))[0], expected, model)


@pytest.mark.parametrize("form", ["sharded", "pickled"])
def test_shards_and_pickled_weights_give_the_same_model(folder: Path, tmp_path: Path, form: str) -> None:
    other = tmp_path / form
    twin = make("llama")
    if form == "sharded":
        twin.save_pretrained(other, max_shard_size="20KB")
        assert len(list(other.glob("*.safetensors"))) > 1
    else:
        twin.config.save_pretrained(other)
        torch.save(twin.state_dict(), other / "pytorch_model.bin")
    word_tokenizer().save_pretrained(other)
    assert load_model(other).fingerprint == load_model(folder).fingerprint


def test_a_checkpoint_stored_in_half_precision_runs_in_float32_on_cpu(folder: Path) -> None:
    make("llama").half().save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"
    assert load_model(folder, device="cpu").dtype == torch.float32
    assert load_model(folder, device="cpu", dtype="float16").dtype == torch.float16


def test_the_fingerprint_follows_every_weight_and_the_configuration(gpt2: HeadModel) -> None:
    first, again, other = make("gpt2"), make("gpt2"), make("gpt2", n_positions=63)
    assert fingerprint(first) == fingerprint(again) == gpt2.fingerprint
    assert fingerprint(other) != fingerprint(first)
    with torch.no_grad():
        again.transformer.h[2].mlp.c_fc.bias[5] += 1e-6  # type: ignore[union-attr]
    assert fingerprint(again) != fingerprint(first)


def test_weights_read_from_disk_and_made_live_have_one_fingerprint(folder: Path) -> None:
    assert load_model(folder).fingerprint == fingerprint(make("llama"))


def test_a_live_model_is_put_into_eval_mode_and_needs_its_tokenizer() -> None:
    hf = make("gpt2", attn_pdrop=0.5).train()
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    assert model.hf is hf
    assert not hf.training
    assert model.source == "live"
    with pytest.raises(ModelError, match="needs its tokenizer"):
        load_model(hf)


@pytest.mark.parametrize(
    ("bos", "has_bos", "resolved"),
    [
        ("auto", True, ("always", 1)),
        ("auto", False, ("never", None)),
        ("always", True, ("always", 1)),
        ("never", True, ("never", None)),
        ("never", False, ("never", None)),
    ],
)
def test_bos_is_resolved_and_recorded(bos: str, has_bos: bool, resolved: tuple[str, int | None]) -> None:
    model = load_model(make("gpt2"), tokenizer=word_tokenizer(bos=has_bos), bos=bos, unchecked=True, device="cpu")
    assert (model.bos, model.bos_token_id) == resolved
    assert (model.describe()["bos"], model.describe()["bos_token_id"]) == resolved


def test_a_bos_that_the_tokenizer_does_not_have_is_an_error() -> None:
    with pytest.raises(RequestError, match="the tokenizer has none"):
        load_model(make("gpt2"), tokenizer=word_tokenizer(bos=False), bos="always")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"bos": "sometimes"}, "bos"),
        ({"dtype": "int4"}, "dtype"),
        ({"device": "tpu9"}, "device"),
        ({"device": "cuda:99"}, "not on this machine"),
    ],
)
def test_options_that_do_not_exist_are_errors_before_anything_is_loaded(options: dict[str, str], names: str) -> None:
    with pytest.raises(RequestError, match=names):
        load_model("no such folder", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("device_map", ["auto", "sequential", "cpu", {"": "cpu"}], ids=str)
def test_a_device_map_places_the_same_model(folder: Path, device_map: object) -> None:
    make("llama").half().save_pretrained(folder)
    model = load_model(folder, device_map=device_map)
    assert model.fingerprint == load_model(folder, device=str(model.device)).fingerprint
    assert model.laws.passed
    if model.device.type == "cpu":
        assert model.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"device_map": "moon"}, '"moon" does not exist'),
        ({"device_map": "cuda:99"}, '"cuda:99" does not exist'),
        ({"device_map": "auto", "device": "cpu"}, "both say where"),
    ],
)
def test_a_device_map_that_cannot_be_followed_is_an_error(options: dict[str, str], names: str) -> None:
    with pytest.raises(RequestError, match=names):
        load_model("no such folder", **options)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="stays on the devices"):
        load_model(make("gpt2"), tokenizer=word_tokenizer(), device_map="auto")


def test_auto_chooses_the_best_device_here() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device("auto").type == expected


def test_a_model_loaded_unchecked_says_so_and_packs_nothing() -> None:
    model = load_model(make("gpt2"), tokenizer=word_tokenizer(), unchecked=True, device="cpu")
    assert not model.laws.checked
    assert not model.laws.passed
    assert model.tree_row_limit is None
    assert model.describe()["load_check"] == {"checked": False, "passed": False, "laws": []}
    assert "unchecked" in str(model.laws)


def test_the_description_is_json(llama: HeadModel) -> None:
    described = json.loads(json.dumps(llama.describe(), allow_nan=False))
    assert described["family"] == "llama"
    assert described["heads_per_layer"] == [4, 4, 4]
    assert described["kv_heads_per_layer"] == [2, 2, 2]
    assert described["head_size_per_layer"] == [8, 8, 8]
    assert described["projections"][1] == "model.layers.1.self_attn"
    assert described["attention"] == "sdpa"
    assert described["context_length"] == 64
    assert described["load_check"]["passed"]


def test_alibi_without_a_table_has_no_context_length() -> None:
    assert load_model(make("bloom"), tokenizer=word_tokenizer(), unchecked=True).context_length is None


def test_a_model_of_some_other_library_is_refused() -> None:
    with pytest.raises(ModelError, match="no transformers model"):
        load_model(torch.nn.Linear(2, 2), tokenizer=word_tokenizer())


def test_a_model_without_language_model_head_is_refused() -> None:
    with pytest.raises(ModelError, match="no language-model head"):
        load_model(make("gpt2").transformer, tokenizer=word_tokenizer())


class Adapter(torch.nn.Module):
    """What PEFT makes of a Linear: the layer itself, and a low-rank path beside it."""

    def __init__(self, base: torch.nn.Linear) -> None:
        super().__init__()
        self.base_layer = base
        self.lora_a = torch.nn.Linear(base.in_features, 2, bias=False)
        self.lora_b = torch.nn.Linear(2, base.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base_layer(x) + self.lora_b(self.lora_a(x))


class Wrapper(torch.nn.Module):
    """What PEFT makes of a model."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.base_model = model

    def get_base_model(self) -> torch.nn.Module:
        return self.base_model


def test_projections_with_adapters_obey_every_law() -> None:
    hf = make("llama")
    for layer in hf.model.layers:
        layer.self_attn.o_proj = Adapter(layer.self_attn.o_proj)
        layer.self_attn.v_proj = Adapter(layer.self_attn.v_proj)
    model = load_model(Wrapper(hf), tokenizer=word_tokenizer(), device="cpu")
    assert isinstance(model.anatomy.layers[0].projection, Adapter)
    assert model.laws.passed


def test_dynamically_quantized_projections_obey_every_law() -> None:
    """A quantized layer holds no weight matrix one could read: it is asked what it does instead."""

    class Quantized(torch.nn.Module):
        def __init__(self, linear: torch.nn.Linear) -> None:
            super().__init__()
            self.in_features, self.out_features = linear.in_features, linear.out_features
            self.scale = linear.weight.detach().abs().max() / 127
            self.packed = (linear.weight.detach() / self.scale).round().to(torch.int8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ (self.packed.to(x.dtype) * self.scale).T

    hf = make("llama")
    for layer in hf.model.layers:
        layer.self_attn.o_proj = Quantized(layer.self_attn.o_proj)
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    assert isinstance(model.anatomy.layers[2].projection, Quantized)
    assert model.laws.passed


def test_a_model_with_learned_prompt_vectors_is_refused() -> None:
    wrapped = Wrapper(make("llama"))
    wrapped.active_peft_config = type("Config", (), {"is_prompt_learning": True})()
    with pytest.raises(ModelError, match="learned prompt vectors"):
        load_model(wrapped, tokenizer=word_tokenizer())


def test_a_tokenizer_may_be_given_as_a_folder(folder: Path) -> None:
    model = load_model(make("llama"), tokenizer=folder, device="cpu", unchecked=True)
    assert model.tokenizer.bos_token_id == 1
