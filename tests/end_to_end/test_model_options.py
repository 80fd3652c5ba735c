"""Models on the command line: every option that says how one is loaded, and what each broken one gets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from safetensors.torch import load_file, save_file

from headscope.models.checkpoints import find_checkpoint
from headscope.runs.folder import Run
from tests.end_to_end.conftest import SMALL, Outcome

Headscope = Callable[..., Outcome]
TEMPLATE = "{% for m in messages %}### Question: {{ m.content }}\n{% endfor %}### Answer: I am so"
HOW = ("--device", "cpu", "--dtype", "float32", "--bos", "never", "--chat-template")


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """The bundled checkpoint as a folder whose tokenizer has a chat template; the bundled one has none."""
    folder = tmp_path / "chat"
    shutil.copytree(find_checkpoint("demo").path, folder)
    change(folder / "tokenizer_config.json", chat_template=TEMPLATE)
    return folder


def change(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    "command",
    [
        ("screen",),
        ("ablate", "--heads", "1:2", "--max-tokens", "3"),
        ("sweep", "--heads", "1:2"),
        pytest.param(("run", *SMALL), marks=pytest.mark.slow),
    ],
    ids=lambda command: command[0],
)
def test_every_verb_takes_every_option_of_the_model_and_records_it(
    command: tuple[str, ...], chat: Path, small_profile: Path, headscope: Headscope, tmp_path: Path
) -> None:
    where = ("--model", "demo", "--tokenizer", chat, "--profile", small_profile, "--out", tmp_path / "run")
    ended = headscope(*command, *where, *HOW, "--json")
    assert ended.code == 0, ended.err
    run = Run.open(tmp_path / "run")
    facts: dict[str, Any] = run.manifest.model
    assert (facts["bos"], facts["bos_token_id"], facts["dtype"], facts["device"]) == ("never", None, "float32", "cpu")
    assert (facts["name"], facts["tokenizer"]) == ("demo", str(chat))
    assert facts["load_check"]["passed"]
    record = run.manifest.record[command[0] if command[0] != "run" else "screen"]
    assert record["chat_template"] is True
    if command[0] in ("screen", "run"):  # spans moved along with the text
        coverage = run.table("coverage")
        assert (coverage["n_spans"] == coverage["n_prompts"]).all()


def test_a_device_map_gives_the_same_numbers(small_profile: Path, headscope: Headscope, tmp_path: Path) -> None:
    command = ("screen", "--model", "demo", "--profile", small_profile, "--dtype", "float32")
    for name, where in (("a", ("--device", "cpu")), ("b", ("--device-map", "cpu"))):
        ended = headscope(*command, *where, "--out", tmp_path / name, "--quiet")
        assert ended.code == 0, ended.err
    one, other = (tmp_path / name / "tables" / "screen.csv" for name in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()


def test_check_takes_the_options_too(chat: Path, headscope: Headscope) -> None:
    ended = headscope("check", chat, "--device-map", "cpu", "--bos", "never", "--dtype", "float32", "--json")
    assert ended.code == 0, ended.err
    assert (ended.json["bos"], ended.json["dtype"]) == ("never", "float32")
    assert all(law["passed"] is not False for law in ended.json["load_check"]["laws"])


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["stories260K", "chat-gpt2-3M"])
def test_check_prints_every_law_of_a_real_checkpoint_with_its_difference(
    name: str, shared: Path, headscope: Headscope
) -> None:
    ended = headscope("check", shared / "models" / name)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("law "))
    laws = [line for line in lines[first + 1 : -1] if not line.startswith("a sweep of every head")]
    assert len(laws) >= 11
    assert all(" passed" in law for law in laws)
    assert lines[-1] == "load check passed"


def _without(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def _truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def _nan(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights["transformer.h.1.mlp.c_fc.weight"][0, 0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})


def _configured(config: transformers.PreTrainedConfig) -> Callable[[Path], None]:
    return config.save_pretrained


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


BROKEN: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "no weights": (_without("model.safetensors"), ("holds no weights", "model.safetensors")),
    "no tokenizer": (
        _without("tokenizer.json", "tokenizer_config.json"),
        ("no tokenizer", "--tokenizer NAME_OR_FOLDER"),
    ),
    "no configuration": (_without("config.json"), ("no checkpoint", "config.json")),
    "truncated weights": (_truncated, ("truncated or corrupt", "copy the checkpoint again")),
    "a pickle that is none": (_pickled, ("cannot be loaded",)),
    "more layers than weights": (lambda f: change(f / "config.json", n_layer=5), ("do not fit", "missing")),
    "fewer layers than weights": (lambda f: change(f / "config.json", n_layer=3), ("more layers",)),
    "another width": (lambda f: change(f / "config.json", n_embd=64), ("do not fit",)),
    "an unknown type": (lambda f: change(f / "config.json", model_type="nonesuch"), ("a newer transformers may know",)),
    "an encoder and a decoder": (
        _configured(transformers.T5Config(d_model=16, d_ff=16, num_layers=1, num_heads=2)),
        ("encoder-decoder", "decoder only"),
    ),
    "a picture model": (_configured(transformers.ViTConfig(hidden_size=16)), ("no causal language model",)),
    "a padding token beyond the vocabulary": (
        lambda f: change(f / "config.json", model_type="llama", vocab_size=9, pad_token_id=9),
        ("pad_token_id", "set it to null"),
    ),
    "a quantization that needs a package": (
        lambda f: change(f / "config.json", quantization_config={"quant_method": "gptq", "bits": 4}),
        ("a package is missing here", "pip install"),
    ),
    "an adapter without weights": (
        lambda f: (f / "adapter_config.json").write_text('{"peft_type": "LORA"}'),
        ("adapter",),
    ),
    "weights that are not numbers": (_nan, ("NaN",)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_that_cannot_be_measured_is_refused_and_nothing_is_written(
    name: str, headscope: Headscope, tmp_path: Path
) -> None:
    break_it, words = BROKEN[name]
    shutil.copytree(find_checkpoint("demo").path, tmp_path / "model")
    break_it(tmp_path / "model")
    ended = headscope("screen", "--model", "./model")
    assert ended.code in (1, 2)
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err, ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--device", "cuda:99"), ("cuda:99", "not on this machine", "--device auto")),
        (("--device-map", "moon"), ("moon", "balanced", "sequential")),
        (("--device-map", "auto", "--device", "cpu"), ("both say where the model goes",)),
        (("--dtype", "int3"), ("int3", "bfloat16")),
        (("--bos", "maybe"), ("maybe", "auto, always or never")),
        (("--chat-template",), ("no chat template", "run without --chat-template")),
    ],
    ids=lambda value: " ".join(value),
)
@pytest.mark.parametrize("verb", [("screen",), ("sweep",), ("run",), ("ablate", "--heads", "0:0")], ids=lambda v: v[0])
def test_an_option_that_cannot_be_met_is_refused_and_nothing_is_written(
    verb: tuple[str, ...], options: tuple[str, ...], words: tuple[str, ...], headscope: Headscope, tmp_path: Path
) -> None:
    ended = headscope(*verb, "--model", "demo", *options)
    assert ended.code == 2, ended.err
    assert all(word in ended.err for word in words), ended.err
    assert list(tmp_path.rglob("*.csv")) == []
    assert not (tmp_path / "runs").exists()
