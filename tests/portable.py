"""``make portable``: the tests that compare computed numbers, on a processor held down to an older one.

1. A machine is a capability (``full``, or a lower one that the libraries under torch and numpy are held to by variables
   of their own), a number of threads, and whether a busy loop keeps one core from the tests.
2. For each it is first proved that torch takes the capability; then the tests run, two processes of one thread each, or
   one process of two.
3. Without arguments: every capability below this machine's own, and its own, each with one thread; its own with two
   threads, and so beside a busy loop. ``--below`` runs only the next capability below this machine's own.

Same numbers are not expected, but numbers within the tests' tolerances, which are derived and not tried out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

FOLDERS = (
    "tests/laws",
    "tests/reference",
    "tests/worlds",
    "tests/mistakes",
    "tests/oracle",
    "tests/unit/models",
    "tests/unit/measure",
    "tests/unit/stats",
    "tests/unit/engines",
    "tests/unit/verbs",
    "tests/end_to_end/test_variation.py",
    "--ignore=tests/unit/models/test_memory_budget.py",  # compares bytes
)
# Capability -> what holds torch's own kernels, MKL (the second variable acts on Intel's processors only), oneDNN and
# OpenBLAS (numpy, scipy) to it.
_HELD = {
    "DEFAULT": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "NEHALEM",
    },
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_CBWR": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "HASWELL",
    },
}
_ASK = "import torch; print(torch.backends.cpu.get_cpu_capability())"


@dataclass(frozen=True)
class Machine:
    """What the tests run on; ``capability`` None is this machine's own."""

    capability: str | None
    threads: int = 1
    busy: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """This process's variables and those that hold the libraries down."""
        held = {} if self.capability is None else _HELD[self.capability]
        return {**os.environ, "OMP_WAIT_POLICY": "passive", **held, "OMP_NUM_THREADS": str(self.threads)}

    def __str__(self) -> str:
        beside = ", beside a busy loop" if self.busy else ""
        return f"capability {self.capability or 'full'}, {self.threads} thread(s){beside}"


def machines(own: str, *, below: bool) -> list[Machine]:
    """The machines to run on, lowest capability first, where this one's own capability is ``own``."""
    lower = ["DEFAULT", "AVX2"] if own.startswith("AVX512") else ["DEFAULT"] if own != "DEFAULT" else []
    if below:
        return [Machine(name) for name in lower[-1:]]
    return [
        *(Machine(name) for name in lower),
        Machine(None),
        Machine(None, threads=2),
        Machine(None, threads=2, busy=True),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests on every machine, say how each went; the exit code is 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.portable", description=__doc__)
    parser.add_argument("--below", action="store_true", help="only the next capability below this machine's own")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest in place of the folders that compare numbers")
    asked = parser.parse_args(arguments)
    own = _capability(Machine(None))
    todo = machines(own, below=asked.below)
    if not todo:
        print(f"this machine's own capability, {own}, is the lowest: nothing is below it")
    ended = [(machine, _tests(machine, asked.pytest or list(FOLDERS))) for machine in todo]
    for machine, code in ended:
        print(f"{'passed' if code == 0 else f'FAILED ({code})'}: {machine} (own: {own})")
    return int(any(code for _, code in ended))


def _capability(machine: Machine) -> str:
    done = subprocess.run([sys.executable, "-c", _ASK], env=machine.environment, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode().strip()


def _tests(machine: Machine, arguments: Sequence[str]) -> int:
    print(f"\n{machine}", flush=True)
    if machine.capability not in (None, taken := _capability(machine)):
        print(f"torch was to be held to {machine.capability} and took {taken}")
        return 1
    with _busy_loop() if machine.busy else nullcontext():
        processes = [] if machine.threads > 1 else ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", *processes, *arguments]
        return subprocess.run(command, env=machine.environment, check=False).returncode


@contextmanager
def _busy_loop() -> Generator[None]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as loop:
        try:
            yield
        finally:
            loop.kill()


if __name__ == "__main__":
    sys.exit(main())
