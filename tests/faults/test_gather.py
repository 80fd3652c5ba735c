"""Parts of a sweep, as machines without a scheduler run them, put together: the bytes of an undisturbed run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.end_to_end.conftest import type_command
from tests.faults.conftest import Sweep, assert_same_as, record, status


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes
    yield
    torch.set_num_threads(threads)


def test_parts_are_gathered_and_finished(
    sweep: Sweep, clean: Path, tmp_path: Path, one_thread: None, tell: Callable[[str], None]
) -> None:
    folder = tmp_path / "run"
    ended = type_command("gather", folder)
    assert ended.code == 2
    assert "there are no parts to gather" in ended.err
    for number in (1, 2, 3):
        ended = type_command(*sweep.words(folder, "--shard", f"{number}/3"))
        assert ended.code == 0, ended.err
        assert f"part {number} of 3 is done" in ended.err
        assert status(tmp_path / f"run.part-{number}-of-3") == "stopped"
    second = tmp_path / "run.part-2-of-3"
    shutil.move(second, tmp_path / "away")
    ended = type_command("gather", folder)
    assert ended.code == 2
    assert "a part is missing" in ended.err
    assert "--shard 2/3" in ended.err
    assert not folder.exists()
    shutil.move(tmp_path / "away", second)
    n_pieces = record(clean)["written_count"]
    assert type_command("gather", folder, "--json").json == {"run": str(folder), "shards_count": n_pieces}
    ended = type_command(*sweep.words(folder, "--resume", "require"))
    assert ended.code == 0, ended.err
    assert record(folder) == {"reused_count": n_pieces, "written_count": 0, "damaged": []}
    assert_same_as(clean, folder, tell, "sweep gathered from three parts")


def test_a_part_needs_a_folder_and_a_number(sweep: Sweep, tmp_path: Path) -> None:
    words = sweep.words(tmp_path / "run", "--shard", "4/3")
    assert type_command(*words).code == 2
    assert "--shard needs --out" in type_command("sweep", "--model", "demo", "--shard", "1/3").err
    assert list(tmp_path.iterdir()) == []
