"""What the stages of finished runs took, and what was forecast: tables for ``docs/benchmarks.md``.

    python -m benchmarks.stages RUN [RUN ...] [--complete RUN] [--costliest 5]

Each RUN is the folder of a ``headscope run``. Printed: the costliest stages of the first one, dearest first, beside
what the same stages took in the run of ``--complete``, one of the same question with everything measured; then, for
every run, the forecast beside the real time of the stages that were forecast and done.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StageTime:
    """A stage of a run: its seconds, and those that were forecast; None where it has none."""

    name: str
    seconds: float | None
    expected_seconds: float | None


def stages_of(run: Path) -> list[StageTime]:
    """The stages in a run's manifest, in their order.

    Raises:
        ValueError: the folder holds no run, or one that knows no stages.
    """
    path = run / "manifest.json"
    if not path.is_file():
        raise ValueError(f"{run} holds no manifest.json: give the folder of a headscope run")
    stages = json.loads(path.read_text(encoding="utf-8")).get("stages")
    if not stages:
        raise ValueError(f"{run} knows no stages: it is of another verb than run, or of an older headscope")
    return [StageTime(one["name"], one["seconds"], one["expected_seconds"]) for one in stages]


def costliest_table(stages: list[StageTime], complete: list[StageTime] | None, n_rows: int) -> str:
    """Markdown: the dearest stages, their share of all, and the same in a complete run where there is one."""
    done = {one.name: one.seconds for one in stages if one.seconds is not None}
    all_seconds = sum(done.values())
    in_complete = {one.name: one.seconds for one in complete or ()}
    lines = ["| stage | seconds | share | with `--complete` |", "|---|---|---|---|"]
    for name, seconds in sorted(done.items(), key=lambda one: -one[1])[:n_rows]:
        lines.append(f"| {name} | {seconds:.1f} | {seconds / all_seconds:.2f} | {_said(in_complete.get(name))} |")
    dearest = sum(one.seconds or 0.0 for one in complete or ()) if complete else None
    return "\n".join([*lines, f"| all stages | {all_seconds:.1f} | 1.00 | {_said(dearest)} |"])


def forecast_table(runs: dict[str, list[StageTime]]) -> str:
    """Markdown: of each run the seconds forecast and taken by the stages that have both, and the stage furthest off."""
    lines = ["| run | forecast, s | real, s | real / forecast | furthest off |", "|---|---|---|---|---|"]
    for name, stages in runs.items():
        pairs = {
            one.name: (one.expected_seconds, one.seconds) for one in stages if one.expected_seconds and one.seconds
        }
        if not pairs:
            lines.append(f"| {name} |  |  |  | nothing was forecast |")
            continue
        expected, real = (sum(pair[which] for pair in pairs.values()) for which in (0, 1))
        furthest = max(pairs, key=lambda stage: abs(pairs[stage][1] - pairs[stage][0]))
        off = f"{furthest}, {pairs[furthest][1]:.1f} for {pairs[furthest][0]:.1f}"
        lines.append(f"| {name} | {expected:.1f} | {real:.1f} | {real / expected:.2f} | {off} |")
    return "\n".join(lines)


def _said(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def main() -> None:
    """Read the manifests, print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    parser.add_argument("--complete", type=Path, help="the folder of the same run with everything measured")
    parser.add_argument("--costliest", type=int, default=5, help="how many stages of the first run are shown")
    asked = parser.parse_args()
    try:
        runs = {run.name: stages_of(run) for run in asked.runs}
        complete = None if asked.complete is None else stages_of(asked.complete)
    except ValueError as error:
        parser.error(str(error))
    print(costliest_table(next(iter(runs.values())), complete, asked.costliest))
    print()
    print(forecast_table(runs))


if __name__ == "__main__":
    main()
