"""A GGUF file that is not whole, or from which another model would be read, is refused by name."""

from __future__ import annotations

import importlib
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headscope.errors import ModelError
from headscope.models.checkpoints import find_checkpoint
from headscope.models.gguf_file import read_gguf
from headscope.models.loading import load_model

pytest.importorskip("gguf", reason="gguf is not installed: pip install headscope[gguf]")
from tests.laws.families import make
from tests.unit.models.gguf_files import write_family, write_gguf


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A whole file."""
    write_gguf(tmp_path / "tiny.gguf")
    return tmp_path / "tiny.gguf"


def refused(path: Path | str, **options: Any) -> str:
    """What is said."""
    with pytest.raises(ModelError) as caught:
        load_model(path, device="cpu", unchecked=True, **options)
    assert caught.value.exit_code == 2
    return str(caught.value)


def add(**weights: np.ndarray) -> Callable[[dict[str, np.ndarray]], None]:
    """Adds tensors to a file; ``__`` in a name stands for a dot."""
    return lambda tensors: tensors.update({name.replace("__", "."): weight for name, weight in weights.items()})


def test_a_file_that_is_not_there_is_not_looked_up_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headscope.models.checkpoints.hub_folder", lambda _: pytest.fail("the hub was asked"))
    assert 'there is no file "model.gguf"' in refused("model.gguf")
    assert str(tmp_path) in refused(tmp_path / "model.gguf")


@pytest.mark.parametrize("content", [b"", b"GG", b"<html>not found</html>"])
def test_a_file_that_only_ends_so_is_named(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    said = refused(file)
    assert "no GGUF file, though it ends so" in said
    assert "b'GGUF'" in said


def test_a_pointer_in_place_of_the_file_is_named(file: Path) -> None:
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n")
    assert "git lfs pull" in refused(file)


def test_a_file_cut_anywhere_is_truncated(file: Path) -> None:
    whole = file.read_bytes()
    end = max(tensor.start + tensor.n_bytes for tensor in read_gguf("it", file).tensors)
    for length in (*range(4, 4000, 37), len(whole) // 2, end - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="is truncated") as caught:
            read_gguf("it", file)
        assert f"{length:,} bytes" in str(caught.value)
        assert str(file) in str(caught.value)


def test_a_header_with_any_byte_changed_is_read_or_refused(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    n_header = min(tensor.start for tensor in read_gguf("it", file).tensors)
    generator = np.random.default_rng(0)
    n_refused = 0
    for place in generator.choice(n_header, size=400, replace=False):
        changed = whole.copy()
        changed[place] ^= 1 << int(generator.integers(8))
        file.write_bytes(changed)
        try:
            read_gguf("it", file)
        except ModelError:
            n_refused += 1
    assert n_refused > 0


@pytest.mark.parametrize(("place", "value", "says"), [(4, 1, "version"), (4, 3 << 24, "little endian")])
def test_another_version_is_named(place: int, value: int, says: str, file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[place : place + 4] = struct.pack("<I", value)
    file.write_bytes(content)
    assert says in refused(file)


def test_a_type_of_weights_that_gguf_does_not_know_is_named(file: Path) -> None:
    content = bytearray(file.read_bytes())
    place = content.index(b"token_embd.weight") + len(b"token_embd.weight") + 4 + 2 * 8
    content[place : place + 4] = struct.pack("<I", 31)
    file.write_bytes(content)
    assert "type 31 of token_embd.weight" in refused(file)


def test_a_family_that_transformers_cannot_read_is_named_beside_those_that_it_can(file: Path) -> None:
    write_gguf(file, architecture="zork", settings={"zork.block_count": 3})
    said = refused(file)
    assert "got: zork" in said
    for family in ("llama", "qwen3", "gemma3", "gpt2"):
        assert re.search(rf"\b{family}\b", said)
    assert "t5" not in said


def test_a_file_without_a_model_is_named(file: Path) -> None:
    write_gguf(file, settings={"general.type": "mmproj"})
    assert "general.type mmproj" in refused(file)


def test_a_part_of_a_split_file_names_what_is_missing_and_how_to_merge(file: Path) -> None:
    parts = [file.with_name(f"big-{number:05d}-of-00003.gguf") for number in (1, 2, 3)]
    file.rename(parts[1])
    said = refused(parts[1])
    assert "2 of its parts are missing: big-00001-of-00003.gguf, big-00003-of-00003.gguf" in said
    assert f"llama-gguf-split --merge {parts[0].name} big.gguf" in said
    for part in (parts[0], parts[2]):
        part.write_bytes(parts[1].read_bytes())
    said = refused(parts[0])
    assert "split into 3 parts" in said
    assert "missing" not in said
    assert "split into 3 parts" in refused(file.parent)


def test_a_part_that_was_renamed_is_known_by_its_header(file: Path) -> None:
    write_gguf(file, settings={"split.count": 2})
    assert "split into 2 parts" in refused(file)


def test_a_folder_of_several_files_names_them(file: Path) -> None:
    write_gguf(file.with_name("other.gguf"))
    said = refused(file.parent)
    assert "other.gguf, tiny.gguf" in said
    assert f"--model {file.with_name('other.gguf')}" in said


def test_a_missing_package_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ImportError):
        importlib.import_module("gguf")
    assert 'pip install "headscope[gguf]"' in refused(file)


def test_a_file_without_a_tokenizer_asks_for_one_before_weights_are_read(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(file, tokenizer=False)
    monkeypatch.setattr("headscope.models.loading.load_weights", lambda *_, **__: pytest.fail("weights were read"))
    said = refused(file)
    assert "holds no tokenizer" in said
    assert "--tokenizer NAME_OR_FOLDER" in said


def test_a_tokenizer_of_a_kind_that_transformers_cannot_build_is_named(file: Path) -> None:
    content = file.read_bytes()
    place = content.index(b"gpt2", content.index(b"tokenizer.ggml.model"))
    file.write_bytes(content[:place] + b"zork" + content[place + 4 :])
    said = refused(file)
    assert "no tokenizer can be loaded from the GGUF file" in said
    assert "zork" in said


def test_a_missing_weight_is_named_and_not_filled_with_noise(file: Path) -> None:
    write_gguf(file, tensors=lambda weights: weights.pop("blk.1.attn_v.weight"))
    said = refused(file)
    assert "1 missing (model.layers.1.self_attn.v_proj.weight)" in said
    assert "config.json" not in said


def test_a_weight_of_another_shape_is_named(file: Path) -> None:
    write_gguf(file, settings={"llama.feed_forward_length": 96})
    assert "of another shape" in refused(file)


def test_a_weight_that_the_model_has_no_place_for_is_refused(file: Path) -> None:
    written = write_gguf(file, tensors=add(blk__0__attn_q__bias=np.ones(32, dtype=np.float32)))
    said = refused(file)
    assert "no place for in LlamaForCausalLM" in said
    assert f"{written.num_parameters():,} numbers" in said
    assert f"{written.num_parameters() + 32:,} numbers" in said


def test_a_layer_more_than_the_settings_say_is_refused(file: Path) -> None:
    write_gguf(file, settings={"llama.block_count": 2})
    assert "no place for" in refused(file)


def test_a_file_that_leaves_out_its_key_value_heads_is_refused(file: Path) -> None:
    write_gguf(
        file,
        make("llama", intermediate_size=64, num_key_value_heads=4),
        settings={"llama.attention.head_count_kv": None},
    )
    assert "llama.attention.head_count_kv" in refused(file)


@pytest.mark.parametrize(
    "settings",
    [
        {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0},
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.0},
        {"llama.rope.scale_linear": 2.0},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_scaling_of_positions_that_transformers_passes_over_is_refused(settings: dict[str, Any], file: Path) -> None:
    write_gguf(file, settings=settings)
    assert "does not read its positions" in refused(file)


@pytest.mark.parametrize("settings", [{"llama.rope.scaling.type": "none"}, {"llama.rope.scale_linear": 1.0}])
def test_a_scaling_that_changes_nothing_is_none(settings: dict[str, Any], file: Path) -> None:
    write_gguf(file, settings=settings)
    load_model(file, device="cpu", unchecked=True)


def test_frequencies_scaled_in_a_way_of_their_own_are_refused(file: Path) -> None:
    write_gguf(file, tensors=add(rope_freqs__weight=np.array([1.0, 2.0, 2.0, 8.0], dtype=np.float32)))
    assert "a way of its own" in refused(file)
    write_gguf(file, tensors=add(rope_freqs__weight=np.ones(4, dtype=np.float32)))
    load_model(file, device="cpu", unchecked=True)


def test_positions_on_a_part_of_each_head_that_transformers_does_not_read_are_refused(file: Path) -> None:
    write_family(file, "phi3", {"rope.dimension_count": 4})
    said = refused(file)
    assert "positions on 4 dimensions of a head" in said
    assert "got: on 8" in said


def test_a_file_that_is_refused_leaves_gguf_as_it_was(file: Path) -> None:
    gguf = importlib.import_module("gguf")
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    write_gguf(file, settings={"llama.block_count": 2})
    refused(file)
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before
    assert find_checkpoint(str(file)).gguf is not None
