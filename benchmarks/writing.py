"""From runs to the table and to JSON."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.race import Run

REFERENCE = ("transformers", "recommended")
ITEM_AXIS = {"generate": 1}  # of the values, where it is not the first: arms come first


def machine(threads: int) -> dict[str, Any]:
    """What kind of machine this is, and how busy it was."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "threads": threads,
        "load_average_1min": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def rows_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each job, contestant and way."""
    rows: list[dict[str, Any]] = []
    for model, job, contestant, way in dict.fromkeys((run.model, run.job, run.contestant, run.way) for run in runs):
        of_job = [run for run in runs if (run.model, run.job) == (model, job)]
        mine = [run for run in of_job if (run.contestant, run.way) == (contestant, way)]
        rows.append(
            {
                "model": model,
                "job": job,
                "contestant": contestant,
                "way": way,
                "every": mine[0].every,
                "seconds": float(np.median([run.seconds for run in mine])),
                "times_headscope": _ratios(mine, _times(of_job, "headscope", "recommended")),
                "times_floor": _ratios(mine, _times(of_job, "floor", "floor")),
                "peak_mib": float(np.max([run.peak_mib for run in mine])),
                "held_mib": float(np.max([run.held_mib for run in mine])),
                "difference": _difference(of_job, mine[0]),
            }
        )
    return rows


def table(runs: Sequence[Run], versions: Mapping[str, Mapping[str, str]], facts: Mapping[str, Any]) -> str:
    """Markdown."""
    head = "| model | job | who, and how | seconds | x headscope (lowest - highest) | x floor | peak MiB | difference |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for row in rows_of(runs):
        ours = row["times_headscope"]
        times_ours = f"{ours['median']:.2f} ({ours['lowest']:.2f} - {ours['highest']:.2f})"
        times_floor = "" if row["times_floor"] is None else f"{row['times_floor']['median']:.2f}"
        sampled = f", 1 of {row['every']}, scaled" if row["every"] > 1 else ""
        lines.append(
            f"| {row['model']} | {row['job']} | {row['contestant']}, {row['way']}{sampled} | {row['seconds']:.2f} "
            f"| {times_ours} | {times_floor} "
            f"| {row['peak_mib']:.0f} | {_said(row['difference'])} |"
        )
    for run in runs:
        if run.parts and run.round == 0:
            parts = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in run.parts.items())
            lines += ["", f"{run.model}, {run.job}, {run.contestant}, first round: {parts}"]
    told = [f"{name}: " + ", ".join(f"{p} {v}" for p, v in of.items()) for name, of in versions.items()]
    return "\n".join([*lines, "", ", ".join(f"{name} {value}" for name, value in facts.items()), "", *told])


def record(runs: Sequence[Run], versions: Mapping[str, Mapping[str, str]], facts: Mapping[str, Any]) -> dict[str, Any]:
    """JSON-able: every single run too."""
    single = [{name: value for name, value in vars(run).items() if name not in ("values", "items")} for run in runs]
    return {"facts": dict(facts), "versions": dict(versions), "rows": rows_of(runs), "runs": single}


def _times(of_job: Sequence[Run], contestant: str, way: str) -> dict[int, float]:
    return {run.round: run.seconds for run in of_job if (run.contestant, run.way) == (contestant, way)}


def _ratios(mine: Sequence[Run], base: Mapping[int, float]) -> dict[str, float] | None:
    if not base:
        return None
    ratios = [run.seconds / base[run.round] for run in mine]
    return {"median": float(np.median(ratios)), "lowest": min(ratios), "highest": max(ratios)}


def _difference(of_job: Sequence[Run], run: Run) -> float | None:
    """Largest difference from the reference's values on the items both ran; None where nothing was computed.

    For texts: the share of tokens that differ.
    """
    reference = next((one for one in of_job if (one.contestant, one.way) == REFERENCE), None)
    if reference is None or run.values is None or reference.values is None or run.values.size == 0:
        return None
    if run.way == "forward" or run.contestant == "floor":
        return None
    both = sorted({*run.items} & {*reference.items})
    mine, theirs = (
        np.take(one.values, [one.items.index(item) for item in both], axis=ITEM_AXIS.get(run.kind, 0))
        for one in (run, reference)
        if one.values is not None
    )
    if run.kind == "generate":
        return float((mine != theirs).mean())
    width = min(mine.shape[-1], theirs.shape[-1])
    if run.kind == "sweep":  # some give a value for each readout, some their mean
        mine, theirs = (one.reshape(len(one), width, -1).mean(-1) for one in (mine, theirs))
    return float(np.abs(mine - theirs).max())


def _said(difference: float | None) -> str:
    return "" if difference is None else f"{difference:.0e}"
