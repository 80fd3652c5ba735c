"""Ctrl-C in the middle of a run: its exit code, no half file, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.conftest import SMALL, type_command

ROOT = Path(__file__).resolve().parents[2]


# tests/faults does the same to a sweep.
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
    ids=["ctrl-c", "sigterm"],
)
def test_a_stopped_run_leaves_no_half_file_and_can_be_asked_again(
    number: signal.Signals, code: int, small_profile: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    command = ["run", "--model", "demo", "--profile", str(small_profile), "--out", str(folder), *SMALL]
    program = "import sys; from headscope.cli import main; main(sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", program, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        deadline = time.monotonic() + 600
        while not (folder / "manifest.json").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        error = process.communicate(timeout=600)[1]
        assert process.returncode == code, error
        assert "Traceback" not in error
    assert json.loads((folder / "manifest.json").read_text())["status"] == "stopped"
    assert not [path for path in folder.rglob("*") if "tmp" in path.name or path.name == "lock"]
    again = type_command(*command)
    assert again.code == 0, again.err
    assert json.loads((folder / "manifest.json").read_text())["status"] == "finished"
