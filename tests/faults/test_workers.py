"""``--workers``: a sweep that is stopped or killed leaves no process behind, and goes on with any number of workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import headscope as hs
from headscope.engines.local import LocalWorkers
from tests.end_to_end.conftest import type_command
from tests.faults.conftest import PATIENCE_SECONDS, Sweep, assert_same_as, n_kept, record, status, wait_for
from tests.small_world import small_model, small_profile


@pytest.fixture(autouse=True)
def threads_as_they_were() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def processes_of(session: int) -> list[str]:
    """The command lines of a session's processes, those that ended left out."""
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of_session) == session and state != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def assert_none_is_left(session: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left := processes_of(session):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


# A terminal sends Ctrl-C to every process of the command; a batch system does so with SIGTERM. SIGKILL meets one alone.
@pytest.mark.parametrize(
    ("number", "code", "to_all"),
    [
        (signal.SIGINT, 130, True),
        pytest.param(signal.SIGTERM, 143, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, False, marks=pytest.mark.slow),
    ],
    ids=["ctrl-c", "sigterm-to-all", "sigterm", "sigkill"],
)
def test_a_stopped_sweep_leaves_no_worker_and_goes_on_in_one_process(
    number: signal.Signals,
    code: int,
    to_all: bool,
    sweep: Sweep,
    clean: Path,
    tmp_path: Path,
    tell: Callable[[str], None],
) -> None:
    folder = tmp_path / "run"
    with sweep.process(folder, "--workers", "2", start_new_session=True) as process:
        wait_for(lambda: n_kept(folder) > 0, process)
        assert len(processes_of(process.pid)) > 2
        if to_all:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
        error = process.communicate(timeout=PATIENCE_SECONDS)[1]
        assert process.returncode == code, error
        assert "Traceback" not in error
    assert_none_is_left(process.pid)
    assert status(folder) == ("running" if number == signal.SIGKILL else "stopped")
    if number != signal.SIGINT:
        return
    kept = n_kept(folder)
    assert sweep.done(folder, "--workers", "1", "--quiet") == (0, "")
    assert record(folder)["reused_count"] == kept
    assert_same_as(clean, folder, tell, f"two workers stopped by {number.name}, then one process")


@pytest.mark.slow
def test_a_whole_run_on_workers_has_the_bytes_of_one_in_one_process(
    tmp_path: Path, tell: Callable[[str], None]
) -> None:
    model, profile = small_model(), small_profile()
    asked: dict[str, Any] = {"top_k": 2, "n_random": 3, "max_tokens": 4, "edits": ["mean"]}
    torch.set_num_threads(1)
    hs.run(model, profile, tmp_path / "here", **asked)
    with LocalWorkers(model, 2) as workers:
        hs.run(model, profile, tmp_path / "workers", runner=workers, **asked)
    assert_same_as(tmp_path / "here", tmp_path / "workers", tell, "a run on two workers")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--workers", "none"), "a number from 1 on"),
        (("--workers", "2", "--engine", "ray"), "leave out --workers or --engine ray"),
        (("--workers", "2", "--address", "auto"), "add --engine ray"),
    ],
    ids=["malformed", "with ray", "with an address"],
)
def test_what_does_not_go_together_is_refused(more: tuple[str, ...], said: str, sweep: Sweep, tmp_path: Path) -> None:
    ended = type_command(*sweep.words(tmp_path / "run", *more))
    assert ended.code == 2
    assert said in ended.err
    assert not (tmp_path / "run").exists()


def test_auto_says_what_it_took(sweep: Sweep, tmp_path: Path) -> None:
    ended = type_command(*sweep.words(tmp_path / "run", "--workers", "auto", "--dry-run"))
    assert ended.code == 0
    assert ended.err.startswith("--workers auto: ")
