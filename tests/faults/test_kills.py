"""SIGKILL at random moments of a sweep that is verifiably running; then the same command, until it is done.

A run is killed up to eight times: spread evenly over its pieces, and the last time when all pieces are done and
statistics are made of them. A kill counts where the process held the folder's lock and had added a piece of its own
before it, ended by SIGKILL, and left the run as ``running``. ``make test`` kills 4 times, ``make torture`` 50 times.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.faults.conftest import Sweep, assert_same_as, kill_running, n_kept, record

N_KILLS = int(os.environ.get("HEADSCOPE_TEST_KILLS", "4"))
KILLS_OF_A_RUN = min(8, N_KILLS)


def test_a_sweep_that_is_killed_again_and_again_gives_the_bytes_of_an_undisturbed_one(
    sweep: Sweep, clean: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    chance = random.Random(0)
    n_pieces = record(clean)["written_count"]
    folders: list[Path] = []
    done_at_kills: list[int] = []
    while len(done_at_kills) < N_KILLS:
        nth = len(done_at_kills) % KILLS_OF_A_RUN
        if nth == 0:
            folders.append(tmp_path / f"run{len(folders)}")
        folder = folders[-1]
        before = n_kept(folder)
        at = min(1.0, (nth + chance.random()) / (KILLS_OF_A_RUN - 1))
        target = min(max(before + 1, int(at * n_pieces)), n_pieces)
        with sweep.process(folder) as process:
            # The last kill falls on the statistics, which take a few hundredths of a second.
            kill_running(process, folder, lambda f=folder, t=target: n_kept(f) >= t, 0.02 * chance.random() * (at < 1))
        assert n_kept(folder) >= target, "a finished piece was lost"
        done_at_kills.append(n_kept(folder))
    for folder in folders:
        kept = n_kept(folder)
        code, error = sweep.done(folder)
        assert code == 0, error
        facts = record(folder)
        assert facts == {"reused_count": kept, "written_count": n_pieces - kept, "damaged": []}
        assert_same_as(clean, folder, tell, f"killed sweep of {n_pieces} pieces")
    quarters = Counter("all" if n == n_pieces else f"quarter {4 * n // n_pieces + 1}" for n in done_at_kills)
    assert len(quarters) == 5 or N_KILLS < 8, quarters
    spread = ", ".join(f"{count} in {name}" for name, count in sorted(quarters.items()) if name != "all")
    tell(
        f"kills survived: {N_KILLS}, in {len(folders)} runs; of the sweep's pieces: {spread}, "
        f"{quarters['all']} when all were done"
    )
