"""Contestants in their own processes, called in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
SCRIPTS = {
    "floor": "floor.py",
    "headscope": "headscope_itself.py",
    "transformers": "plain_transformers.py",
    "transformer_lens 2": "transformer_lens_2.py",
    "transformer_lens 4": "transformer_lens_4.py",
    "nnsight": "nnsight_tracing.py",
}


WARM_EVERY = {"sequences": 10, "heads": 72}
"""Of what a job is scaled by, every so many are run before the clock starts; of the whole job one head."""


@dataclass(frozen=True)
class Run:
    """One contestant doing one job once.

    Attributes:
        model: name of the checkpoint.
        job: name of the job.
        kind: kind of the job.
        contestant: who.
        way: ``recommended`` by its documentation, the ``study``'s, or with optimisations off.
        round: which round.
        every: only every k-th item was run; ``seconds`` is scaled to all.
        seconds: wall-clock.
        peak_mib: peak of resident memory above the start of the run.
        held_mib: the same above the loaded model: with what earlier runs left to be used again.
        values: what was measured, as an array; of the sampled items only.
        items: which those are.
        parts: seconds of a job's parts, where it was timed in parts; the last is what was scaled.
    """

    model: str
    job: str
    kind: str
    contestant: str
    way: str
    round: int
    every: int
    seconds: float = np.nan
    peak_mib: float = np.nan
    held_mib: float = np.nan
    values: np.ndarray | None = None
    items: tuple[int, ...] = ()
    parts: Mapping[str, float] = field(default_factory=dict)


class Contestant:
    """A process that has loaded the checkpoint and does jobs when asked."""

    def __init__(self, name: str, process: subprocess.Popen[str], scratch: Path) -> None:
        self.name, self._process, self._scratch = name, process, scratch
        hello = self._answer()
        self.ways: list[str] = hello["ways"]
        self.versions: dict[str, str] = hello["versions"]

    @classmethod
    def start(cls, name: str, python: Path | None, scratch: Path) -> Contestant:
        """Start the contestant's script, by this Python where None, and wait until it has loaded the checkpoint."""
        command = [
            str(python or sys.executable),
            str(HERE / "contestants" / SCRIPTS[name]),
            str(scratch / "tasks.json"),
        ]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment(own=python is None)
        )
        return cls(name, process, scratch)

    def run(self, job: str, way: str, every: int) -> dict[str, Any]:
        """Do a job once: ``seconds``, ``peak_mib``, ``held_mib``, ``values``, ``items``."""
        out = self._scratch / "values.npy"
        asked = {"job": job, "way": way, "every": every, "out": str(out)}
        if self._process.stdin is None:
            raise AssertionError("the contestant was started with a pipe")
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._answer() | {"values": np.load(out)}

    def stop(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"{self.name} ended with code {self._process.wait()}; its own message stands above")
        return json.loads(line)


def race(
    contestants: Sequence[Contestant],
    model: str,
    jobs: Mapping[str, Mapping[str, Any]],
    n_rounds: int,
    sampled: Mapping[tuple[str, str, str], int],
) -> list[Run]:
    """Every contestant does every job in every way it knows, in each round; the order of contestants turns.

    Before each run a small part of it runs untimed: a process that waited has cold caches and may have lost its pages.
    """
    runs: list[Run] = []
    for job, task in jobs.items():
        entries = [(one, way) for one in contestants for way in _ways(one, task["kind"])]
        for number in range(n_rounds):
            turn = number % len(entries)
            for one, way in entries[turn:] + entries[:turn]:
                every = sampled.get((one.name, task["kind"], way), 1)
                n_items = len(task[task["scaled_by"]])
                one.run(job, way, n_items if task["kind"] == "whole" else WARM_EVERY[task["scaled_by"]])
                answer = one.run(job, way, every)
                once = answer["once"]
                grows = answer["seconds"] - sum(once.values())
                grows *= n_items / len(answer["items"])
                seconds = sum(once.values()) + grows
                runs.append(
                    Run(
                        model,
                        job,
                        task["kind"],
                        one.name,
                        way,
                        number,
                        every,
                        seconds,
                        answer["peak_mib"],
                        answer["held_mib"],
                        answer["values"],
                        tuple(answer["items"]),
                        {**once, f"every one of {task['scaled_by']}": grows} if once else {},
                    )
                )
                print(f"  {model}, {job}: {one.name}, {way}: {seconds:.2f} s", file=sys.stderr)
    return runs


def _ways(one: Contestant, kind: str) -> list[str]:
    return [way.split("/")[1] for way in one.ways if way.split("/")[0] == kind]


def _environment(*, own: bool) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return (
        kept | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"} | ({"PYTHONPATH": str(HERE.parent)} if own else {})
    )
