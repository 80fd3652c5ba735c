"""A checkpoint that is missing, broken, of another kind or not of one piece is named as such, and never half loaded."""

from __future__ import annotations

import json
import os
import pickle
import time
from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers

from headscope.errors import ModelError
from headscope.models import checkpoints
from headscope.models.checkpoints import find_checkpoint
from headscope.models.loading import load_model
from tests.laws.families import make, word_tokenizer

WAYS_OUT = ("--model demo", "folder", "HF_HOME")


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def edit_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_a_hub_that_cannot_be_reached_gives_one_sentence_and_three_ways_out(
    no_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    start = time.monotonic()
    with pytest.raises(ModelError) as caught:
        load_model("gpt2")
    assert time.monotonic() - start < 10
    assert 'model "gpt2" is neither bundled, nor a folder, nor in the local cache' in str(caught.value)
    assert all(way in str(caught.value) for way in WAYS_OUT)


def test_a_hub_that_does_not_answer_is_not_waited_for(no_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_PROBE_SECONDS", 0.2)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)

    def silent(*_: object, **__: object) -> None:
        time.sleep(1)
        raise TimeoutError

    monkeypatch.setattr(checkpoints.urllib.request, "urlopen", silent)
    with pytest.raises(ModelError, match="does not answer"):
        find_checkpoint("some/model")


def test_a_hub_switched_off_is_not_asked(no_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(checkpoints, "_unreachable", lambda _: pytest.fail("the hub was asked"))
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        find_checkpoint("gpt2")


def test_a_hub_that_answers_but_has_no_such_model_says_so(no_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(checkpoints, "_unreachable", lambda _: None)

    def refused(name: str) -> list[str]:
        raise OSError(f"404: {name}")

    monkeypatch.setattr(huggingface_hub, "list_repo_files", refused)
    with pytest.raises(ModelError, match='no model "some/model"'):
        find_checkpoint("some/model")


def test_a_cached_model_is_loaded_without_asking_the_hub(
    folder: Path, no_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = no_cache / "models--some--model"
    snapshot = repo / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("0" * 40)
    folder.rename(snapshot)
    monkeypatch.setattr(checkpoints, "_download", lambda _: pytest.fail("the hub was asked"))
    model = load_model("some/model", device="cpu", unchecked=True)
    assert (model.name, model.source) == ("some/model", "hub")


@pytest.mark.parametrize("name", ["./not/here", "/not/here", "~/not-here-at-all", "a b", "a/b/c"])
def test_a_folder_that_is_not_there_is_never_looked_up_on_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_download", lambda _: pytest.fail("the hub was asked"))
    with pytest.raises(ModelError, match="there is no folder"):
        load_model(name)


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(ModelError, match="is a file"):
        load_model(folder / "config.json")


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
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(tmp_path)


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
