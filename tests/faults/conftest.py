"""A sweep that is cut into many pieces, run by real processes that are killed, stopped, and run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headscope.profiles.loading import load_profile
from headscope.runs.folder import SHARDS
from headscope.runs.lock import LOCK_NAME
from tests.end_to_end.conftest import write_profile

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "from headscope.cli import main; main()"
MEASURED = ("arrays.safetensors", "tables")
PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Command:
    """A command line that writes a run folder; the same request in every folder."""

    request: Sequence[str]

    def words(self, folder: Path, *more: str) -> list[str]:
        return [*self.request, "--out", str(folder), *more]

    @contextmanager
    def process(self, folder: Path, *more: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
        """The command in a process of its own, ended with the block."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *self.words(folder, *more)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            **options,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def done(self, folder: Path, *more: str, **options: Any) -> tuple[int, str]:
        """Exit code and messages of the command, run to its end."""
        with self.process(folder, *more, **options) as process:
            error = process.communicate(timeout=PATIENCE_SECONDS)[1]
            return process.returncode, error


@dataclass(frozen=True)
class Sweep(Command):
    """A sweep of two layers, cut into many pieces."""

    profile: Path


def status(folder: Path) -> str:
    return json.loads((folder / "manifest.json").read_text())["status"]


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())["record"]["shards"]


def n_kept(folder: Path) -> int:
    return len(list((folder / SHARDS).glob("*.shard")))


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until ``reached``, with the process still running."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill_running(
    process: subprocess.Popen[str], folder: Path, reached: Callable[[], bool], more_seconds: float = 0.0
) -> None:
    """SIGKILL ``process`` once it holds the folder and ``reached``; AssertionError where it had ended before."""
    wait_for(lambda: f'"pid": {process.pid},' in lock_text(folder) and reached(), process)
    time.sleep(more_seconds)
    assert process.poll() is None, "the kill came too late to count"
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert status(folder) == "running", "the kill came too late to count"


def lock_text(folder: Path) -> str:
    try:
        return (folder / LOCK_NAME).read_text()
    except FileNotFoundError:
        return ""


def measured(folder: Path) -> dict[str, bytes]:
    """Every byte that was measured."""
    files = [file for name in MEASURED for file in sorted((folder / name).rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in [folder / MEASURED[0], *files]}


def assert_same_as(clean: Path, folder: Path, tell: Callable[[str], None], what: str) -> None:
    """Every measured byte is that of the undisturbed run, and nothing is left over."""
    expected, found = measured(clean), measured(folder)
    assert found.keys() == expected.keys()
    assert found == expected
    assert status(folder) == "finished"
    assert not [path for path in folder.rglob("*") if "tmp" in path.name or path.name in ("lock", SHARDS)]
    tell(f"{what}: {sum(map(len, found.values())):,} bytes compared with the undisturbed run, none differs")


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    bundled = load_profile("baseline")
    profile = write_profile(tmp_path_factory.mktemp("profiles") / "two", bundled.prompts, ("gratitude", "anger"), 14)
    words = ("sweep", "--model", "demo", "--profile", str(profile), "--batch-tokens", "512")
    return Sweep((*words, "--heads", "1:*,2:*", "--edit", "mean"), profile)


@pytest.fixture(scope="session")
def clean(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The undisturbed run. Only to be read."""
    folder = tmp_path_factory.mktemp("clean") / "run"
    code, error = sweep.done(folder)
    assert code == 0, error
    return folder
