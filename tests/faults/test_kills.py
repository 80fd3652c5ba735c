"""SIGKILL at random moments of a sweep that is verifiably running; then the same command, until it is done.

``make test`` kills 8 times, ``make torture`` 50 times.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.conftest import Sweep, assert_same_as, n_kept, record, status, wait_for

N_KILLS = int(os.environ.get("HEADSCOPE_TEST_KILLS", "8"))


def test_a_sweep_that_is_killed_again_and_again_gives_the_bytes_of_an_undisturbed_one(
    sweep: Sweep, clean: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    chance = random.Random(0)
    n_pieces = record(clean)["written_count"]
    folders: list[Path] = []
    survived = 0
    while survived < N_KILLS:
        folders.append(folder := tmp_path / f"run{len(folders)}")
        # A folder is killed until too few pieces are left for another kill in their middle.
        while survived < N_KILLS and n_kept(folder) < n_pieces - 4:
            before = n_kept(folder)
            target = before + chance.randint(0, max(1, (n_pieces - before) // 4))
            with sweep.process(folder) as process:
                wait_for(lambda f=folder, t=target: (f / "manifest.json").exists() and n_kept(f) >= t, process)
                time.sleep(chance.random() * 0.02)
                assert process.poll() is None, "the kill came too late to count"
                process.kill()
                process.wait()
                assert process.returncode == -signal.SIGKILL
            assert status(folder) == "running"
            assert n_kept(folder) >= before, "a finished piece was lost"
            survived += 1
    for folder in folders:
        kept = n_kept(folder)
        code, error = sweep.done(folder)
        assert code == 0, error
        facts = record(folder)
        assert facts == {"reused_count": kept, "written_count": n_pieces - kept, "damaged": []}
        assert_same_as(clean, folder, tell, f"killed sweep of {n_pieces} pieces")
    tell(f"kills survived: {survived}, in {len(folders)} runs")
