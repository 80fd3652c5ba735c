"""Many prompts: what a screen holds beside its result does not grow with their number."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.faults.conftest import ROOT

BYTES_OF_A_PROMPT = 3072
"""Room for a prompt's record in the profile, its ids and its places."""

NOISE_BYTES = 96 * 2**20
"""The allocator's share: the peaks of two equal screens differ by tens of MB. Keeping every reading takes 15 kB a
prompt, 180 MB for 12,000 of them, which stands out all the same."""

PROGRAM = """
import resource, sys
from dataclasses import replace
import headscope as hs
from headscope.verbs import screen_plan

screen_plan.PROBES_AT_ONCE = 1024  # so that few prompts, too, are many blocks

model, base = hs.load_model("demo"), hs.load_profile("baseline")
paired = [p for p in base.prompts if p.pair]
control = {p.id: p for p in base.controls}

def marked(prompt, i, pair):
    lead = f"Letter {i}. "
    start, end = prompt.span
    span = (start + len(lead), end + len(lead))
    return replace(prompt, id=f"{prompt.concept}-{i}", text=lead + prompt.text, span=span, pair=pair)

def screened(n):
    place = list(base.concepts).index
    chosen = sorted((paired[i % len(paired)] for i in range(n // 2)), key=lambda p: place(p.concept))
    prompts = [marked(p, i, f"{base.control}-{i}") for i, p in enumerate(chosen)]
    controls = [marked(control[p.pair], i, None) for i, p in enumerate(chosen)]
    found = hs.screen(model, replace(base, prompts=(*prompts, *controls)))
    assert found.values.sizes["prompt"] == n // 2
    return found.values.nbytes

for n in map(int, sys.argv[1:]):
    n_bytes = screened(n)
    print(n_bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peaks(*counts: int) -> list[tuple[int, int]]:
    """(bytes of the result, most bytes of memory so far) after each of several screens in one process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, counts)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.split() for line in done.stdout.splitlines()]
    return [(int(n_bytes), int(peak)) for n_bytes, peak in lines]


@pytest.mark.parametrize(("few", "many"), [(4_000, 16_000), pytest.param(25_000, 100_000, marks=pytest.mark.slow)])
def test_memory_beside_the_result_is_flat_in_the_number_of_prompts(
    few: int, many: int, tell: Callable[[str], None]
) -> None:
    (small, before), (large, after) = peaks(few, many)
    beside = (after - before) - (large - small)
    tell(
        f"{many:,} prompts: result {large / 2**20:.0f} MB, peak {after / 2**20:.0f} MB; of that, {beside / 2**20:.0f} "
        f"MB beside the result came with the last {many - few:,} prompts, {beside / (many - few):.0f} bytes each"
    )
    assert large > 3 * small
    assert beside < NOISE_BYTES + (many - few) * BYTES_OF_A_PROMPT
