"""A GGUF file gives weights, configuration, tokenizer and chat template, and no number of it is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from headscope.engines.ray import runner_of
from headscope.models.checkpoints import find_checkpoint
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.models.pretrained import load_weights
from headscope.models.tokenizer_loading import named_tokenizer
from tests.laws.families import make, word_tokenizer
from tests.tolerances import TINY, close

pytest.importorskip("gguf", reason="gguf is not installed: pip install headscope[gguf]")
from tests.unit.models.gguf_files import TEMPLATE, TOKENS, source_model, unpacked, write_family, write_gguf

IDS = torch.tensor([[1, 5, 9, 30, 44, 60, 7, 5]])


def load(path: Path | str, **options: object) -> HeadModel:
    return load_model(path, device="cpu", unchecked=True, **options)


def logits(hf: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return hf(IDS).logits


def test_a_file_of_floats_gives_back_every_weight_bit_for_bit_and_passes_the_load_check(tmp_path: Path) -> None:
    written = write_gguf(tmp_path / "tiny.gguf")
    model = load_model(tmp_path / "tiny.gguf", device="cpu")
    assert model.laws.passed
    got, expected = model.hf.state_dict(), written.state_dict()
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in expected)
    assert close(logits(model.hf), logits(written), TINY)
    assert model.describe()["source"] == "file"


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "F16", "BF16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_stored_weights_are_those_that_gguf_unpacks_in_the_asked_type(kind: str, dtype: str, tmp_path: Path) -> None:
    written = write_gguf(tmp_path / "tiny.gguf", kind=kind)
    model = load(tmp_path / "tiny.gguf", dtype=dtype)
    expected = unpacked(written, kind)
    assert any(not torch.equal(expected[name], weight) for name, weight in written.state_dict().items())
    for name, weight in model.hf.state_dict().items():
        assert torch.equal(weight, expected[name].to(getattr(torch, dtype))), name
    same = LlamaForCausalLM(written.config).eval()
    same.load_state_dict(expected)
    if dtype == "float32":
        assert close(logits(model.hf), logits(same), TINY)


@pytest.mark.parametrize(("kind", "dtype"), [("Q8_0", "float32"), ("F16", "float16"), ("BF16", "bfloat16")])
def test_where_the_type_is_the_checkpoints_own_quantized_weights_are_float32(
    kind: str, dtype: str, tmp_path: Path
) -> None:
    write_gguf(tmp_path / "tiny.gguf", kind=kind)
    found = find_checkpoint(str(tmp_path / "tiny.gguf"))
    hf, _ = load_weights(found, dtype="auto", device=None, device_map="cpu", trust_remote_code=False)
    assert {weight.dtype for weight in hf.parameters()} == {getattr(torch, dtype)}


def test_the_record_says_how_the_file_stores_its_weights_and_the_model_counts_as_plain(tmp_path: Path) -> None:
    written = write_gguf(tmp_path / "tiny.gguf", kind="Q8_0")
    model = load(tmp_path / "tiny.gguf")
    vectors = sum(weight.numel() for weight in written.parameters() if weight.dim() < 2)
    stored = {"Q8_0": written.num_parameters() - vectors, "F32": vectors}
    assert model.describe()["gguf"] == {"file": "tiny.gguf", "stored": stored, "dequantized_to": "float32"}
    assert any("GGUF file (Q8_0" in note and "dequantized to float32" in note for note in model.notes)
    assert not model.hf.is_quantized
    assert not hasattr(model.hf.config, "quantization_config")
    assert load("demo").describe()["gguf"] is None


def test_the_fingerprint_is_of_what_is_in_the_file_and_not_of_where_it_lies(tmp_path: Path) -> None:
    write_gguf(tmp_path / "one.gguf")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "one.gguf", tmp_path / "elsewhere" / "two.gguf")
    write_gguf(tmp_path / "three.gguf", source_model(seed=1))
    one, two, three = (load(tmp_path / name) for name in ("one.gguf", "elsewhere/two.gguf", "three.gguf"))
    assert one.fingerprint == two.fingerprint != three.fingerprint


def test_tokenizer_template_and_ends_of_text_are_the_files_whatever_lies_beside_it(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    word_tokenizer().save_pretrained(tmp_path)
    model = load(tmp_path / "tiny.gguf")
    ids = model.tokenizer("the thing and the other", add_special_tokens=False)["input_ids"]
    assert [TOKENS[index] for index in ids[:3]] == ["the", "Ġ", "th"]
    assert model.tokenizer.decode(ids) == "the thing and the other"
    assert model.tokenizer.chat_template == TEMPLATE
    assert (model.bos, model.bos_token_id) == ("always", 1)
    assert model.hf.generation_config.eos_token_id == model.tokenizer.eos_token_id == 2
    assert named_tokenizer(str(tmp_path / "tiny.gguf"), trust_remote_code=False)("and")["input_ids"] == [
        TOKENS.index("and")
    ]


def test_another_tokenizer_can_take_the_place_of_the_files(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", tokenizer=False, settings={"llama.vocab_size": None})
    word_tokenizer().save_pretrained(tmp_path / "words")
    model = load(tmp_path / "tiny.gguf", tokenizer=str(tmp_path / "words"))
    assert model.tokenizer("w9 w8")["input_ids"] == [9, 8]
    assert model.hf.config.vocab_size == len(TOKENS)


def test_a_way_to_cut_text_that_transformers_does_not_know_is_noted(tmp_path: Path) -> None:
    write_gguf(tmp_path / "known.gguf", cut="gpt-2")
    write_gguf(tmp_path / "unknown.gguf", cut="zork")
    assert not any("cut text" in note for note in load(tmp_path / "known.gguf").notes)
    assert any('("zork")' in note for note in load(tmp_path / "unknown.gguf").notes)


def test_a_setting_that_transformers_leaves_at_its_default_is_noted(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", settings={"llama.logit_scale": 2.0})
    assert any("logit_scale" in note for note in load(tmp_path / "tiny.gguf").notes)


def test_a_folder_with_one_file_and_no_other_weights_is_that_file(tmp_path: Path) -> None:
    write_gguf(tmp_path / "only" / "tiny.gguf")
    model = load(tmp_path / "only")
    assert model.fingerprint == load(tmp_path / "only" / "tiny.gguf").fingerprint
    assert model.describe()["source"] == "folder"
    assert 'the file "tiny.gguf" was taken' in model.notes[0]


def test_transformers_own_weights_go_before_a_file_beside_them(folder: Path) -> None:
    write_gguf(folder / "tiny.gguf")
    assert find_checkpoint(str(folder)).gguf is None
    (folder / "model.safetensors").unlink()
    assert find_checkpoint(str(folder)).where == folder / "tiny.gguf"


def test_a_file_is_known_by_its_first_bytes_where_its_name_does_not_tell(tmp_path: Path) -> None:
    write_gguf(tmp_path / "sha256-4d7a21")
    assert load(tmp_path / "sha256-4d7a21").gguf is not None


def test_workers_load_the_file_from_every_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    monkeypatch.chdir(tmp_path)
    runner = runner_of(load("tiny.gguf"), {"unchecked": True}, None)
    monkeypatch.chdir(tmp_path.parent)
    assert runner.load().fingerprint == runner.fingerprint


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "phi3", "starcoder2", "falcon"])
def test_windows_caps_and_rotary_bases_are_the_files_also_where_transformers_would_take_its_own(
    family: str, tmp_path: Path
) -> None:
    rotary = {"rope_type": "default", "rope_theta": 70000.0}
    written = write_family(tmp_path / "tiny.gguf", family, rope_parameters=rotary)
    model = load(tmp_path / "tiny.gguf")
    for setting in ("sliding_window", "attn_logit_softcapping", "final_logit_softcapping", "rope_parameters"):
        assert getattr(model.hf.config, setting, None) == getattr(written.config, setting, None)
    assert close(logits(model.hf), logits(written), TINY)


def test_the_scaling_of_frequencies_that_a_file_keeps_as_a_tensor_is_computed(tmp_path: Path) -> None:
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rotary = {"rope_theta": 500000.0, "original_max_position_embeddings": 8192, **scaling}
    scaled, plain = make("llama", hidden_size=256, rope_parameters=rotary), make("llama", hidden_size=256)
    inner, outer = (model.model.rotary_emb.inv_freq for model in (scaled, plain))
    unscaled = 500000.0 ** -(torch.arange(len(outer)) / len(outer))
    factors = (unscaled / inner).numpy()
    assert factors.min() == pytest.approx(1.0)
    assert factors.max() == pytest.approx(8.0)
    write_gguf(tmp_path / "tiny.gguf", scaled, tensors=lambda weights: weights.update({"rope_freqs.weight": factors}))
    model = load(tmp_path / "tiny.gguf")
    assert torch.allclose(model.hf.model.rotary_emb.inv_freq, inner, rtol=1e-6)
    assert close(logits(model.hf), logits(scaled), TINY)
