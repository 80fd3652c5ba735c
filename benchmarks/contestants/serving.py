"""What every contestant does: wait to be called, do a job once, say how long it took and what came out.

A contestant is a script run by its own Python with the tasks' file as argument. Each line of its input asks for one
job: ``{"job", "way", "every", "out"}``. ``every`` k means: only every k-th item, for warming up and for ways too slow
to run whole. It saves what it computed to ``out`` and answers one line: seconds, and of them those of parts that run
once however many items there are; the peak of memory above the start of the run and above the loaded model; and which
items ran.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

Way = Callable[[dict[str, Any]], Any]
MIB = 2**20


@dataclass(frozen=True)
class InParts:
    """What a way gives back of which not all grows with the items: its values, and seconds of the parts that do not."""

    values: Any
    once: dict[str, float]


def serve(packages: Sequence[str], load: Callable[[str], dict[str, Way]]) -> None:
    """Answer requests until the input ends.

    Args:
        packages: whose versions are told.
        load: checkpoint folder -> ``"kind of job/way"`` -> function of a task.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    tasks = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(tasks["threads"])
    ways = load(tasks["checkpoint"])
    loaded = _status("VmRSS")
    print(json.dumps({"ways": sorted(ways), "versions": {p: version(p) for p in packages}}), file=answers)
    for line in sys.stdin:
        asked = json.loads(line)
        task = tasks["jobs"][asked["job"]]
        items = sampled(task, asked["every"])
        task = part_of(task, items)
        before = _reset_peak()
        started = time.perf_counter()
        with torch.no_grad():
            values = ways[f"{task['kind']}/{asked['way']}"](task)
        seconds = time.perf_counter() - started
        found = values if isinstance(values, InParts) else InParts(values, {})
        np.save(asked["out"], np.asarray(found.values))
        memory = {"peak_mib": (_peak() - before) / MIB, "held_mib": (_peak() - loaded) / MIB}
        print(json.dumps({"seconds": seconds, "once": found.once, "items": items} | memory), file=answers)


def sampled(task: dict[str, Any], every: int) -> list[int]:
    """Every k-th of what a task is scaled by: its heads where it has some, else its sequences.

    Of heads whole layers, as many low as high ones, while k is below their number: headscope runs the heads of a layer
    beside each other, and the layers above them only.
    """
    n = len(task[task["scaled_by"]])
    if task["scaled_by"] != "heads" or every == 1:
        return list(range(0, n, every))
    layers = [layer for layer, _ in task["heads"]]
    n_layers = 1 + max(layers)
    if every > n_layers // 2:
        return list(range(0, n, every))
    half = [int((i + 0.5) * every - 0.5) for i in range(n_layers // every // 2)]
    wanted = {*half, *(n_layers - 1 - layer for layer in half)}
    return [index for index, layer in enumerate(layers) if layer in wanted]


def part_of(task: dict[str, Any], items: Sequence[int]) -> dict[str, Any]:
    """A task with only these of what it is scaled by."""
    names = [task["scaled_by"]] if task["scaled_by"] == "heads" else ["sequences", "keys", "written"]
    return task | {name: [task[name][item] for item in items] for name in names if name in task}


def by_length(sequences: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices in batches of ``size``, shortest sequences first."""
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def of_equal_length(sequences: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Indices in batches whose sequences have one length, for rivals that do not pad."""
    for length in sorted({len(sequence) for sequence in sequences}):
        yield [index for index, sequence in enumerate(sequences) if len(sequence) == length]


def padded(rows: Sequence[Sequence[int]], side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, T] ids and mask."""
    width = max(map(len, rows))
    ids, mask = (torch.zeros(len(rows), width, dtype=torch.long) for _ in range(2))
    for row, sequence in enumerate(rows):
        start = 0 if side == "right" else width - len(sequence)
        ids[row, start : start + len(sequence)] = torch.tensor(sequence)
        mask[row, start : start + len(sequence)] = 1
    return ids, mask


def last_to_keys(patterns: Sequence[torch.Tensor], lengths: Sequence[int], keys: Sequence[Sequence[int]]) -> np.ndarray:
    """[B, L, H] attention of each row's last token to its keys, from L patterns [B, H, T, T] of right-padded rows."""
    stacked = [
        torch.stack([pattern[row, :, length - 1, keys[row]].sum(-1) for row, length in enumerate(lengths)])
        for pattern in patterns
    ]
    return torch.stack(stacked, dim=1).numpy()


def log_odds(logits: torch.Tensor, words: Sequence[int], controls: Sequence[int]) -> np.ndarray:
    """[B] log P(words) - log P(controls)."""
    return (logits[:, list(words)].logsumexp(-1) - logits[:, list(controls)].logsumexp(-1)).numpy()


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def _reset_peak() -> int:
    """Forget the peak of memory so far; bytes in use now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")
