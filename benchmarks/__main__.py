"""``make bench``: headscope and its rivals, in turn, on the same weights and prompts, against the same floor.

1. Rivals get virtual environments of their own under ``.rivals/``, made once, with this environment's torch version.
2. Every contestant is a process that loads the same checkpoint and waits. In each round every contestant does each job
   once, one after the other, in an order that turns; so what disturbs the machine disturbs all.
3. Printed: seconds (median of the rounds), the ratio to headscope's time of the same round (median, lowest, highest),
   the ratio to the floor, the peak of memory above the loaded model, and the largest difference from the reference's
   values. A way too slow to run whole runs on every k-th item and is scaled; the table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from benchmarks.race import Contestant, race
from benchmarks.rivals import RIVALS, python_of
from benchmarks.tasks import make_tasks
from benchmarks.writing import machine, record, table

# Way -> every k-th item only.
SAMPLED = {
    ("transformer_lens 2", "generate", "study"): 7,
    ("transformer_lens 2", "sweep", "recommended"): 12,
    ("transformer_lens 4", "sweep", "recommended"): 12,
    ("nnsight", "sweep", "recommended"): 12,
    ("transformers", "sweep", "recommended"): 12,
}


def main() -> None:
    """Parse the command line, run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often every contestant does every job")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each contestant")
    parser.add_argument("--jobs", nargs="*", default=[], help="only jobs whose name begins with one of these")
    parser.add_argument("--rivals", nargs="*", default=list(RIVALS), choices=[*RIVALS, "none"], help="which rivals")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks.json"), help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="a tiny model and few prompts: does it run? No speed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tasks = make_tasks(Path(scratch), quick=arguments.quick, threads=arguments.threads)
        contestants = [
            Contestant.start("floor", None, Path(scratch)),
            Contestant.start("headscope", None, Path(scratch)),
            Contestant.start("transformers", None, Path(scratch)),
            *(Contestant.start(name, python_of(name), Path(scratch)) for name in arguments.rivals if name != "none"),
        ]
        wanted = tuple(arguments.jobs) or ("",)
        jobs = {name: task for name, task in tasks["jobs"].items() if name.startswith(wanted)}
        runs = race(contestants, jobs, arguments.rounds, SAMPLED)
        versions = {one.name: one.versions for one in contestants}
        for one in contestants:
            one.stop()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    facts = machine(arguments.threads)
    arguments.out.write_text(json.dumps(record(runs, versions, facts), indent=1) + "\n", encoding="utf-8")
    print(table(runs, versions, facts))
    print(f"\nwritten: {arguments.out}")


if __name__ == "__main__":
    main()
