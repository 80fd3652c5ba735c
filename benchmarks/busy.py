"""What a busy neighbour costs, with torch's threads spinning while they wait (its own way) and sleeping (headscope's).

    python -m benchmarks.busy [--rounds 3] [--threads 2]

1. Four situations: ``OMP_WAIT_POLICY`` unset or ``passive``, alone or beside one busy loop. In each round every one has
   its turn, so that what disturbs the machine disturbs all.
2. Matrix products of two sizes in a process of their own, for a stated number of seconds; and the sweep of the bundled
   model, as a user runs it.
3. Printed: the median of the rounds, as a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 3.0
SIZES = (128, 512)
_POLICIES = {"spinning": None, "passive": "passive"}
_PRODUCTS = f"""
import time, torch
for size in {SIZES}:
    a = torch.randn(size, size)
    a @ a
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < {SECONDS}:
        a @ a
        count += 1
    print(2e-9 * size**3 * count / (time.perf_counter() - start))
"""


def products(environment: dict[str, str]) -> dict[str, float]:
    """GFLOP/s of products of each size."""
    done = subprocess.run([sys.executable, "-c", _PRODUCTS], env=environment, check=True, stdout=subprocess.PIPE)
    return {
        f"{size} x {size}, GFLOP/s": float(line) for size, line in zip(SIZES, done.stdout.decode().split(), strict=True)
    }


def sweep(environment: dict[str, str]) -> dict[str, float]:
    """Seconds of a sweep of the bundled model, start-up included."""
    with tempfile.TemporaryDirectory() as scratch:
        out = str(Path(scratch) / "sweep")
        # The command line sets the policy where it is unset, so the entry below it is called.
        code = "from headscope.cli.app import app; app()"
        command = [sys.executable, "-c", code, "sweep", "--model", "demo", "--out", out]
        before = time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return {"sweep of the bundled model, s": time.perf_counter() - before}


def main() -> None:
    """Run all rounds, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often every situation has its turn")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each job")
    asked = parser.parse_args()
    figures: dict[tuple[str, bool], list[dict[str, float]]] = {}
    for _ in range(asked.rounds):
        for busy in (False, True):
            for policy, value in _POLICIES.items():
                environment = {key: kept for key, kept in os.environ.items() if key != "OMP_WAIT_POLICY"}
                environment |= {"OMP_NUM_THREADS": str(asked.threads)} | ({"OMP_WAIT_POLICY": value} if value else {})
                loop = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
                try:
                    found = products(environment) | sweep(environment)
                finally:
                    if loop is not None:
                        loop.kill()
                        loop.wait()
                figures.setdefault((policy, busy), []).append(found)
    print("| " + " | ".join(["job", *(f"{policy}{', beside a busy loop' * busy}" for policy, busy in figures)]) + " |")
    print("|---" * (1 + len(figures)) + "|")
    for job in next(iter(figures.values()))[0]:
        medians = [statistics.median(found[job] for found in rounds) for rounds in figures.values()]
        print(f"| {job} | " + " | ".join(f"{value:.3g}" for value in medians) + " |")


if __name__ == "__main__":
    main()
