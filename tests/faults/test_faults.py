"""What goes wrong around a run, done for real: signals, full disks, foreign owners, damaged files, two at once."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from headscope.runs import folder as folder_module
from headscope.runs.folder import REPORTS
from tests.end_to_end.conftest import type_command
from tests.faults.conftest import ROOT, Sweep, assert_same_as, n_kept, record, status, wait_for

NOBODY = 65534


@pytest.fixture
def half(sweep: Sweep, clean: Path, tmp_path: Path) -> Path:
    """A run that was killed when some pieces were done."""
    folder = tmp_path / "half"
    with sweep.process(folder) as process:
        wait_for(lambda: n_kept(folder) >= 4, process)
        process.kill()
        process.wait()
    return folder


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)],
    ids=["ctrl-c", "sigterm"],
)
def test_a_signal_lets_the_piece_finish_and_says_how_to_go_on(
    number: signal.Signals, code: int, sweep: Sweep, clean: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    folder = tmp_path / "run"
    with sweep.process(folder) as process:
        wait_for(lambda: n_kept(folder) >= 3, process)
        process.send_signal(number)
        error = process.communicate(timeout=120)[1]
    assert process.returncode == code, error
    assert f"{n_kept(folder)} finished pieces are kept in {folder}; the same command again goes on there" in error
    assert "Traceback" not in error
    assert status(folder) == "stopped"
    kept = n_kept(folder)
    assert sweep.done(folder, "--resume", "require", "--quiet") == (0, "")
    assert record(folder)["reused_count"] == kept
    assert_same_as(clean, folder, tell, f"sweep stopped by {number.name}")


def test_a_stopped_run_is_shown_as_unfinished_everywhere(sweep: Sweep, clean: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    folder = lab / "run"
    with sweep.process(folder) as process:
        wait_for(lambda: n_kept(folder) >= 3, process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert status(folder) == "stopped"
    said = f"not finished (status: stopped); what it holds is what there is. {n_kept(folder)} finished pieces are kept"
    shutil.copytree(clean, lab / "clean")

    shown = type_command("show", folder)
    assert shown.code == 0
    assert ": stopped\n" in shown.out
    assert said in shown.err
    assert type_command("show", folder, "--json").json["status"] == "stopped"
    assert "not finished" not in type_command("show", lab / "clean").err

    listed = {row["run"]: row["status"] for row in type_command("runs", lab, "--json").json["runs"]}
    assert listed == {str(folder): "stopped", str(lab / "clean"): "finished"}
    assert "2 runs: 1 finished, 1 stopped" in type_command("runs", lab).out

    reported = type_command("report", folder)
    assert reported.code == 0, reported.err
    assert said in reported.err
    for name in ("report", "evidence"):
        assert "**This run is not finished (status: stopped); what follows" in (folder / f"{name}.md").read_text()
        assert "この実行は完了していない（状態：stopped）" in (folder / f"{name}.ja.md").read_text()
    assert "This run is not finished (status: stopped)." in (folder / "report.html").read_text()

    if importlib.util.find_spec("duckdb"):
        asked = type_command(
            "query", "SELECT count(*) AS n FROM runs WHERE status = 'stopped'", "--runs", lab, "--json"
        )
        assert asked.json["rows"] == [{"n": 1}]
        assert "1 runs are not finished" in asked.err
    code, error = sweep.done(folder)
    assert code == 0, error
    assert not any((folder / name).exists() for name in REPORTS), "what was derived of an unfinished run stays behind"


def test_damaged_pieces_are_found_run_again_and_told(
    half: Path, sweep: Sweep, clean: Path, tell: Callable[[str], None]
) -> None:
    first, second, third, *_ = sorted((half / "shards").iterdir())
    first.write_bytes(first.read_bytes()[:-1])
    data = bytearray(second.read_bytes())
    data[len(data) // 2] ^= 1
    second.write_bytes(data)
    third.write_bytes(b"")
    code, error = sweep.done(half)
    assert code == 0, error
    assert record(half)["damaged"] == [first.name, second.name, third.name]
    for path in (first, second, third):
        assert f"run again: {path.name}" in error
    assert_same_as(clean, half, tell, "sweep with three damaged pieces")


def test_never_begins_anew_and_require_wants_a_run(half: Path, sweep: Sweep, clean: Path, tmp_path: Path) -> None:
    ended = type_command(*sweep.words(tmp_path / "none", "--resume", "require"))
    assert ended.code == 2
    assert "there is no run to go on with" in ended.err
    assert not (tmp_path / "none").exists()
    assert type_command(*sweep.words(half, "--resume", "sometimes")).code == 2
    code, error = sweep.done(half, "--resume", "never")
    assert code == 0, error
    assert record(half)["reused_count"] == 0


def test_another_request_finds_no_way_into_an_unfinished_run(half: Path, sweep: Sweep) -> None:
    before = {path.name: path.read_bytes() for path in (half / "shards").iterdir()}
    code, error = sweep.done(half, "--seed", "7")
    assert code == 2
    assert "another request" in error
    assert "seed: 0 there, 7 here" in error
    assert {path.name: path.read_bytes() for path in (half / "shards").iterdir()} == before


def test_a_second_process_is_told_who_writes(sweep: Sweep, clean: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with sweep.process(folder) as process:
        wait_for(lambda: n_kept(folder) >= 1, process)
        process.send_signal(signal.SIGSTOP)  # so that it is there for certain
        code, error = sweep.done(folder)
        assert code == 2
        assert re.search(rf"another process is writing this run folder\s+got: process {process.pid} on", error)
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=300) == 0
    assert status(folder) == "finished"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a few pieces."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    sweep: Sweep, clean: Path, small_disk: Path, tell: Callable[[str], None]
) -> None:
    folder = small_disk / "run"
    code, error = sweep.done(folder)
    assert code == 1
    assert "No space left on device" in error
    assert "Traceback" not in error
    kept = n_kept(folder)
    assert kept > 0
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    code, error = sweep.done(folder)
    assert code == 0, error
    assert record(folder)["reused_count"] == kept
    assert_same_as(clean, folder, tell, "sweep on a disk that was full")


AS_NOBODY = """
import os, sys
from pathlib import Path
import headscope.runs.atomic
from headscope.cli.inputs import check_outputs
from headscope.errors import RequestError
os.setgroups([]); os.setgid({id}); os.setuid({id})
try: check_outputs(Path(sys.argv[1]))
except RequestError as error: print(error.exit_code, error)
"""


def test_a_folder_of_somebody_else_is_refused_before_work() -> None:
    """Root may write everywhere, so the process becomes another user once it has imported what every verb asks."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        folder = Path(root) / "run"
        folder.mkdir()
        command = [sys.executable, "-c", AS_NOBODY.format(id=NOBODY), str(folder)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert ended.stdout.startswith("2 output folder cannot be written to"), ended.stderr
        assert list(folder.iterdir()) == []


def test_a_clock_that_goes_backwards_changes_nothing(
    half: Path, sweep: Sweep, clean: Path, tell: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    days = iter(range(20_000, 0, -1))
    monkeypatch.setattr(folder_module, "_now", lambda: time.strftime("%FT%TZ", time.gmtime(86_400 * next(days))))
    for path in (half / "shards").iterdir():
        os.utime(path, (4_000_000_000, 4_000_000_000))
    kept = n_kept(half)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes
    try:
        ended = type_command(*sweep.words(half))
    finally:
        torch.set_num_threads(threads)
    assert ended.code == 0, ended.err
    assert record(half)["reused_count"] == kept
    assert_same_as(clean, half, tell, "sweep under a clock that runs backwards")
