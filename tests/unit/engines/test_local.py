"""Laws of local workers: the bytes of a run without them, one copy of the weights, no process left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import headscope as hs
from headscope.engines import worker_count
from headscope.engines.engine import Engine
from headscope.engines.local import LocalWorkers
from headscope.engines.shared_memory import pack, unpack
from headscope.engines.worker_count import THREADS_GAIN_WEIGHTS, fitting, parse_workers
from headscope.errors import RequestError, WorkError
from headscope.measure.edit_kinds import KINDS, edit_kind
from headscope.measure.outcomes.outcome import REGISTERED
from headscope.models.head_model import HeadModel
from headscope.runs.shards import Shards
from headscope.verbs.sweep import SweepResult
from tests.small_world import small_model, small_profile
from tests.unit.engines.pieces import (
    PATIENCE_SECONDS,
    PIECES,
    ended,
    halved_mean,
    largest_logit,
    looked_at,
    refused,
    square,
    square_or,
    waiting,
)

SWEEP: dict[str, Any] = {"heads": "1:*,3:0", "edits": ["mean", "halved_mean"], "outcomes": ["largest_logit"]}


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_they_end(pids: set[int]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline, "a worker is left"
        time.sleep(0.01)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def own_functions() -> Iterator[None]:
    hs.outcome("largest_logit", unit="nats")(largest_logit)
    edit_kind("halved_mean")(halved_mean)
    yield
    del REGISTERED["largest_logit"], KINDS["halved_mean"]


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return small_model()


@pytest.fixture(scope="module")
def workers(model: HeadModel) -> Iterator[LocalWorkers]:
    with LocalWorkers(model, 2) as made:
        yield made


@pytest.fixture(scope="module")
def here() -> SweepResult:
    return hs.sweep(small_model(), small_profile(), **SWEEP)


@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_bytes_are_the_same_with_any_number_of_workers(n_workers: int, model: HeadModel, here: SweepResult) -> None:
    with LocalWorkers(model, n_workers) as runner:
        there = hs.sweep(model, small_profile(), engine=Engine(None, runner), **SWEEP)
    for name, array in here.values.data_vars.items():
        assert there.values[name].values.tobytes() == array.values.tobytes()
    assert "largest_logit" in set(there.table["outcome"])
    assert there.table.equals(here.table)


def test_workers_read_the_weights_of_this_process(model: HeadModel, workers: LocalWorkers) -> None:
    before = looked_at(model, PIECES[0])["bytes"]
    seen = [result for _, result in workers(PIECES, partial(looked_at, model))]
    assert len(seen) == len(PIECES)
    for result in [*seen, looked_at(model, PIECES[0])]:
        assert result["shared"].all()
        assert result["bytes"].tobytes() == before.tobytes()
        assert int(result["threads"]) == torch.get_num_threads()


def test_what_shares_memory_still_does_when_packed() -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    parts = {"whole": whole, "column": whole[:, 1], "array": np.arange(5), "none": torch.empty(0), "gone": np.empty(0)}
    found = unpack(pack(parts))
    assert all(np.array_equal(found[name], part) for name, part in parts.items())
    found["whole"][2, 1] = -1.0
    assert found["column"].tolist() == [1.0, 5.0, -1.0]
    assert found["column"].stride() == whole[:, 1].stride()


def test_what_was_done_when_a_worker_is_ended_is_kept(workers: LocalWorkers, tmp_path: Path) -> None:
    shards = Shards(tmp_path, "guard")
    with pytest.raises(WorkError, match="ended from outside"):
        list(Engine(shards, workers).stage("s", {})(PIECES, partial(square_or, ended, 6)))
    assert 0 < len(shards) < len(PIECES)
    kept = len(shards)
    results = list(Engine(shards, workers).stage("s", {})(PIECES, square))
    assert [int(result["square"][0]) for result in results] == [n**2 for n in range(8)]
    assert shards.n_reused == kept


def test_what_a_piece_raises_is_raised_here(workers: LocalWorkers) -> None:
    with pytest.raises(RequestError, match="another one") as raised:
        list(workers(PIECES, partial(square_or, refused, 3)))
    assert raised.value.problem == "this piece cannot be served"


def test_no_worker_goes_on_when_nobody_waits_for_it(workers: LocalWorkers) -> None:
    results = workers(PIECES, square)
    pids = {int(result["pid"][0]) for _, result in results}
    assert os.getpid() not in pids
    assert all(map(is_running, pids))
    stopped = workers(PIECES, partial(square_or, waiting, 1))
    index, result = next(stopped)
    assert index != 1
    stopped.close()  # type: ignore[attr-defined]
    assert_they_end(pids | {int(result["pid"][0])})


def test_a_single_piece_is_run_here(workers: LocalWorkers) -> None:
    [(index, result)] = workers(PIECES[5:6], square)
    assert (index, int(result["square"][0]), int(result["pid"][0])) == (0, 25, os.getpid())


def test_what_cannot_be_sent_is_refused(workers: LocalWorkers) -> None:
    with pytest.raises(RequestError, match="cannot be sent"):
        list(workers(PIECES, lambda piece: square(piece)))


def test_another_model_is_refused(workers: LocalWorkers) -> None:
    with pytest.raises(RequestError, match="another model"):
        list(workers(PIECES, partial(looked_at, small_model())))


def test_models_elsewhere_and_no_workers_are_refused(model: HeadModel) -> None:
    elsewhere: Any = SimpleNamespace(hf=nn.Linear(2, 2, device="meta"))
    with pytest.raises(RequestError, match="on the CPU"):
        LocalWorkers(elsewhere, 2)
    with pytest.raises(RequestError, match="1 or more"):
        LocalWorkers(model, 0)


@pytest.mark.parametrize("asked", ["", "0", "-1", "2.0", "٢", "all", "Auto"])
def test_a_malformed_number_of_workers_is_refused(asked: str) -> None:
    with pytest.raises(RequestError, match="--workers"):
        parse_workers(asked)


@pytest.mark.parametrize(
    ("cores", "gain_weights", "memory_bytes", "expected", "because"),
    [
        (4, THREADS_GAIN_WEIGHTS, 2**36, 4, "4 cores"),
        (4, 10, 2**36, 1, "threads gain"),
        (1, THREADS_GAIN_WEIGHTS, 2**36, 1, "one core"),
        (64, THREADS_GAIN_WEIGHTS, 2**33, 4, "4 workers of one thread, for the memory"),
        (4, THREADS_GAIN_WEIGHTS, 2**30, 1, "memory"),
    ],
)
def test_auto_takes_a_worker_a_core_where_layers_are_small(
    model: HeadModel, monkeypatch: pytest.MonkeyPatch,
    cores: int, gain_weights: int, memory_bytes: int, expected: int, because: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(worker_count, "usable_cores", lambda: cores)
    monkeypatch.setattr(worker_count, "THREADS_GAIN_WEIGHTS", gain_weights)
    monkeypatch.setattr(worker_count, "total_bytes", lambda _device: memory_bytes)
    n_workers, why = fitting(model)
    assert n_workers == expected
    assert because in why


def test_a_number_of_workers_is_a_number_or_auto() -> None:
    assert (parse_workers("auto"), parse_workers("12")) == (None, 12)
