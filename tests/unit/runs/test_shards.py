"""Laws of shards: what was kept comes back bit for bit, and anything else is found, removed and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headscope.runs.shards import Shards

ARRAYS = {"scores": np.array([[1.5, np.nan], [-0.0, np.inf]]), "ids": np.arange(3), "none": np.empty((0, 2))}


def kept(folder: Path) -> tuple[Shards, str, Path]:
    shards = Shards(folder, "guard")
    key = shards.key("sweep", {"rows": [1, 2]})
    shards.write(key, ARRAYS)
    (path,) = folder.iterdir()
    return shards, key, path


def test_what_was_kept_comes_back_bit_for_bit(tmp_path: Path) -> None:
    _, key, _ = kept(tmp_path / "shards")
    again = Shards(tmp_path / "shards", "guard")
    found = again.read(key)
    assert found is not None
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].tobytes() == array.tobytes()
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype
    assert again.record() == {"reused_count": 1, "written_count": 0, "damaged": []}
    assert again.read(again.key("sweep", {"rows": [1, 3]})) is None


def test_the_same_result_gives_the_same_file(tmp_path: Path) -> None:
    first, second = kept(tmp_path / "a")[2], kept(tmp_path / "b")[2]
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_every_flipped_bit_and_every_cut_is_found(tmp_path: Path, tell: Callable[[str], None]) -> None:
    _, key, path = kept(tmp_path / "shards")
    whole = path.read_bytes()
    flipped = [whole[:i] + bytes([whole[i] ^ (1 << i % 8)]) + whole[i + 1 :] for i in range(len(whole))]
    cut = [whole[:i] for i in range(len(whole))]
    for damaged in [*flipped, *cut, whole + b"\0"]:
        path.write_bytes(damaged)
        shards = Shards(tmp_path / "shards", "guard")
        assert shards.read(key) is None
        assert shards.damaged == [path.name]
        assert not path.exists()
    tell(f"damaged shards found: {len(flipped) + len(cut) + 1} of {len(flipped) + len(cut) + 1}")


def test_a_shard_of_another_piece_request_or_version_is_not_used(tmp_path: Path) -> None:
    shards, key, path = kept(tmp_path / "shards")
    other = shards.key("sweep", {"rows": [9]})
    path.rename(path.with_name(path.name.replace(key, other)))
    assert shards.read(other) is None
    _, key, path = kept(tmp_path / "shards")
    assert Shards(tmp_path / "shards", "another guard").read(key) is None
    assert not path.exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    shards, key, path = kept(tmp_path / "shards")
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    assert shards.read(key) is None
    assert (tmp_path / "outside").exists()


@pytest.mark.parametrize("content", [{"a": 1, "b": [1.5, None]}, {"b": [1.5, None], "a": 1}])
def test_a_key_depends_on_content_alone(tmp_path: Path, content: object) -> None:
    assert Shards(tmp_path, "x").key("s", content) == Shards(tmp_path, "y").key("s", {"a": 1, "b": [1.5, None]})
