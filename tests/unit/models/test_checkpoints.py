"""A checkpoint that is missing, broken, of another kind or not of one piece is named as such, and never half loaded."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch
import transformers

from headscope.errors import ModelError
from headscope.models import checkpoints
from headscope.models.checkpoints import find_checkpoint
from headscope.models.loading import load_model
from tests.laws.families import make, word_tokenizer


def edit_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize("name", ["./not/here", "/not/here", "~/not-here-at-all", "a b", "a/b/c"])
def test_a_folder_that_is_not_there_is_never_looked_up_on_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "hub_folder", lambda _: pytest.fail("the hub was asked"))
    with pytest.raises(ModelError, match="there is no folder"):
        load_model(name)


def test_a_name_that_no_folder_can_have_is_refused() -> None:
    with pytest.raises(ModelError, match="no folder can have this name"):
        load_model("x" * 5000)


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(ModelError, match="is a file") as caught:
        load_model(folder / "config.json")
    assert f"give the folder it lies in: {folder}" in str(caught.value)


def cached(folder: Path, *commits: str, main: str | None = None) -> Path:
    """A folder of the hub's cache with the checkpoint under each commit."""
    repository = folder.parent / "models--some--model"
    for commit in commits:
        shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "blobs").mkdir()
    if main is not None:
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(main)
    return repository


@pytest.mark.parametrize("inside", ["", "snapshots", "blobs"])
@pytest.mark.parametrize(("commits", "main"), [(("a1",), None), (("a1", "b2"), "a1")], ids=["one snapshot", "main"])
def test_a_folder_of_the_hubs_cache_gives_its_snapshot_and_says_which(
    inside: str, commits: tuple[str, ...], main: str | None, folder: Path
) -> None:
    repository = cached(folder, *commits, main=main)
    found = find_checkpoint(str(repository / inside))
    assert found.path == repository / "snapshots" / "a1"
    assert "snapshot a1 was taken" in found.notes[0]


@pytest.mark.parametrize("name", ["models--some--model", "."])
def test_a_folder_of_several_checkpoints_names_them(name: str, folder: Path) -> None:
    repository = cached(folder, "a1", "b2")
    with pytest.raises(ModelError, match="a folder of several") as caught:
        find_checkpoint(str(folder.parent / name))
    assert str(repository / "snapshots" / "a1" if name != "." else folder) in str(caught.value)


def test_a_folder_that_bears_a_hub_models_name_is_taken_and_noted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = load_model("checkpoint", device="cpu", unchecked=True)
    assert 'the folder "checkpoint" was taken, not a hub model of that name' in model.describe()["notes"][0]
    assert load_model("./checkpoint", device="cpu", unchecked=True).notes == ()
    folder.rename("demo")
    assert "bundled model was taken" in find_checkpoint("demo").notes[0]
    Path("gpt2").mkdir()
    monkeypatch.setattr(checkpoints, "is_cached", lambda _: True)
    with pytest.raises(ModelError, match='the folder "gpt2" was taken for the model, and it holds none'):
        find_checkpoint("gpt2")


@pytest.mark.parametrize(
    ("missing", "names"),
    [
        (("config.json",), "no checkpoint"),
        (("model.safetensors",), "no weights"),
        (("tokenizer.json", "tokenizer_config.json"), "no tokenizer"),
    ],
)
def test_a_folder_without_a_part_names_the_part(folder: Path, missing: tuple[str, ...], names: str) -> None:
    for file in missing:
        (folder / file).unlink()
    with pytest.raises(ModelError, match=names) as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "qwen2", "gemma", "llama"])
def test_a_tokenizer_that_knows_no_word_is_none(family: str, tmp_path: Path) -> None:
    """transformers makes an empty tokenizer for some families where its files are missing."""
    make(family).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no tokenizer"):
        load_model(tmp_path)


def test_weights_of_another_shape_are_named(folder: Path) -> None:
    edit_config(folder, intermediate_size=40)
    with pytest.raises(ModelError, match="do not fit its configuration") as caught:
        load_model(folder)
    assert "mlp.down_proj.weight" in str(caught.value)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_safetensors_file_is_named_as_broken(folder: Path, kept: int) -> None:
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:kept] if kept >= 0 else whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(folder)


def test_a_shard_that_is_missing_is_an_error(tmp_path: Path) -> None:
    make("llama").save_pretrained(tmp_path, max_shard_size="20KB")
    word_tokenizer().save_pretrained(tmp_path)
    sorted(tmp_path.glob("*.safetensors"))[1].unlink()
    with pytest.raises(ModelError, match="weight files are missing") as caught:
        load_model(tmp_path)
    assert "model-00002-of" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 4},  # transformers would fill the fourth layer with noise
        {"num_hidden_layers": 2},  # transformers would leave the third layer out
        {"hidden_size": 16},
        {"num_key_value_heads": 4},
        {"vocab_size": 70},
        {"attention_bias": True},
    ],
    ids=str,
)
def test_a_configuration_that_does_not_fit_the_weights_is_an_error(folder: Path, changes: dict[str, int]) -> None:
    edit_config(folder, **changes)
    with pytest.raises(ModelError, match=r"do not fit|cannot be loaded|more layers"):
        load_model(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model_type": "no-such-type"}', "\xff"])
def test_a_configuration_that_is_none_is_an_error(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(folder)


def test_weights_of_leftover_parts_are_noted_and_not_hidden(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    save_file(load_file(file) | {"extra.scale": torch.ones(2)}, file, metadata={"format": "pt"})
    model = load_model(folder, unchecked=True)
    assert model.notes == ("1 weights of the checkpoint were not used: extra.scale",)
    assert model.describe()["notes"] == list(model.notes)


class Payload:
    """What a malicious pickle holds: unpickling it runs a command."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.witness),)


def test_a_pickle_is_read_as_weights_only(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    witness = tmp_path / "it ran"
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump(Payload(witness), file, protocol=2)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(folder)
    assert not witness.exists()


def test_code_that_comes_with_a_checkpoint_is_not_run_unasked(folder: Path, tmp_path: Path) -> None:
    witness = tmp_path / "it ran"
    (folder / "modeling_own.py").write_text(f"import os\nos.mkdir({str(witness)!r})\n")
    edit_config(folder, auto_map={"AutoConfig": "modeling_own.C", "AutoModelForCausalLM": "modeling_own.M"})
    with pytest.raises(ModelError, match="trust-remote-code"):
        load_model(folder)
    assert not witness.exists()


@pytest.mark.parametrize("code", ["class C(:\n", "import no_such_package\n", "undefined_name\n", "1 / 0\n"])
def test_code_of_a_checkpoint_that_fails_is_a_sentence(
    code: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", list(sys.path))
    (folder / "modeling_own.py").write_text(code)
    edit_config(folder, auto_map={"AutoConfig": "modeling_own.C", "AutoModelForCausalLM": "modeling_own.M"})
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(folder, trust_remote_code=True)


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (transformers.T5Config(d_model=16, d_ff=16, num_layers=1, num_heads=2, vocab_size=67), "encoder-decoder"),
        (transformers.BartConfig(d_model=16, vocab_size=67), "encoder-decoder"),
        (transformers.ViTConfig(hidden_size=16), "no causal language model"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.model_type,
)
def test_another_kind_of_model_is_refused_by_its_configuration(
    folder: Path, config: transformers.PreTrainedConfig, names: str
) -> None:
    config.save_pretrained(folder)
    with pytest.raises(ModelError, match=names):
        load_model(folder)


def test_the_bundled_model_is_named_demo() -> None:
    assert find_checkpoint("demo").source == "bundled"


POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "pytorch_model.bin"])
def test_a_pointer_in_the_place_of_a_large_file_is_recognised(name: str, folder: Path) -> None:
    if name.endswith(".bin"):
        (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(POINTER)
    with pytest.raises(ModelError, match="git lfs pull") as caught:
        load_model(folder)
    assert name in str(caught.value)
    assert "download or copy" not in str(caught.value)


def test_a_pointer_that_is_not_needed_is_none_of_our_business(folder: Path) -> None:
    for name in ("pytorch_model.bin", "README.md", "logo.png"):
        (folder / name).write_bytes(POINTER)
    assert load_model(folder, device="cpu", unchecked=True).notes == ()


@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 'pip install "bitsandbytes'),
        ({"load_in_8bit": True}, 'pip install "bitsandbytes'),
        ({"quant_method": "gptq", "bits": 4}, 'pip install "optimum"'),
        ({"quant_method": "awq", "bits": 4}, 'pip install "gptqmodel"'),
        ({"quant_method": "compressed-tensors"}, 'pip install "compressed-tensors'),
        ({"quant_method": "zork"}, "the checkpoint that is not quantized"),
        ({}, "the checkpoint that is not quantized"),
        ("4bit", "the checkpoint that is not quantized"),
    ],
    ids=str,
)
def test_a_quantized_checkpoint_names_the_package_it_needs(settings: object, cure: str, folder: Path) -> None:
    edit_config(folder, quantization_config=settings)
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    assert cure in str(caught.value)
    assert "download or copy" not in str(caught.value)


def test_packed_numbers_are_not_taken_for_weights(folder: Path) -> None:
    """Integers without a quantization_config would be read as if they were the weights themselves."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    weights = load_file(file)
    name = "model.layers.1.self_attn.q_proj.weight"
    save_file(weights | {name: (weights[name] * 20).to(torch.int8)}, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="holds quantized weights") as caught:
        load_model(folder)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"pad_token_id": 67}, '"pad_token_id" in its config.json is beyond its vocabulary'),
        ({"hidden_size": "32"}, "a value that this transformers does not take"),
        ({"num_attention_heads": 0}, "a value that this transformers does not take"),
        ({"num_attention_heads": 5}, "a value that this transformers does not take"),
        ({"dtype": "float33"}, "a value that this transformers does not take"),
        ({"hidden_act": "zork"}, "a newer transformers may know"),
        ({"model_type": "zork"}, "a newer transformers may know"),
        ({"attn_implementation": "flash_attention_2"}, 'take "attn_implementation" out of its config.json'),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_told_with_its_cure(changes: dict[str, object], cure: str, folder: Path) -> None:
    edit_config(folder, **changes)
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_model(folder)
    assert cure in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "null", '"x"', "{", "[" * 50_000], ids=lambda text: text[:5])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "model.safetensors.index.json"])
def test_a_json_file_that_holds_no_object_is_named(name: str, text: str, folder: Path) -> None:
    if name.endswith("index.json"):
        (folder / "model.safetensors").unlink()
    (folder / name).write_text(text)
    with pytest.raises(ModelError, match=f"its {name} is no JSON"):
        load_model(folder)


@pytest.mark.parametrize(
    "text", ["{}", '{"weight_map": "x"}', '{"weight_map": {"lm_head.weight": "gone.safetensors"}}']
)
def test_an_index_names_what_is_missing(text: str, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ModelError, match="weight files are missing"):
        load_model(folder)


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>"])
def test_a_pickle_that_is_none_is_named(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ModelError, match="holds no weights"):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.ggml", "consolidated.00.pth", "tf_model.h5"])
def test_weights_of_another_format_are_named(name: str, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(ModelError, match="weights of another format") as caught:
        load_model(folder)
    assert name in str(caught.value)
