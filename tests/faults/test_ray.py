"""Ray: several nodes on this machine, one killed in the middle, and the bytes of a run in one process."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from headscope.api import patch as patch_heads
from headscope.api import sweep as sweep_heads
from headscope.engines.engine import Engine
from headscope.engines.ray import RayRunner, runner_of
from headscope.errors import RequestError, WorkError
from headscope.measure.protocols import Result
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile
from headscope.runs.shards import Shards
from headscope.tables.csv import table_to_text
from headscope.verbs.patch import PatchResult
from headscope.verbs.sweep import SweepResult
from tests.end_to_end.conftest import type_command
from tests.faults.conftest import PATIENCE_SECONDS, Sweep

NEEDS_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
OPTIONS: dict[str, Any] = {"heads": "1:*", "edits": ["mean"], "batch_tokens": 512}
STORE_BYTES = 80 * 2**20


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model(one_thread: None) -> HeadModel:
    return load_model("demo")


@pytest.fixture(scope="module")
def profile(sweep: Sweep) -> Profile:
    return load_profile(sweep.profile)


@pytest.fixture(scope="module")
def here(model: HeadModel, profile: Profile) -> SweepResult:
    return sweep_heads(model, profile, **OPTIONS)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with one CPU; a test that needs another node adds it."""
    # A machine under load starts a node in minutes; Ray reads this where it is imported.
    os.environ["RAY_raylet_start_wait_time_s"] = "240"  # noqa: SIM112 - its own name
    import ray
    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, on start and end
        head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=head)
        yield made
        ray.shutdown()
        made.shutdown()


def node_id() -> str:
    import ray

    return ray.get_runtime_context().get_node_id()


def held_on_one_node(doomed: str, begun: Path, run: Callable[[Any], Result], piece: Any) -> Result:
    """On the doomed node, begin and never end; elsewhere, wait until that node has begun.

    So the node is killed in the middle of a piece, however quick or slow its start.
    """
    if node_id() == doomed:
        begun.touch()
        time.sleep(PATIENCE_SECONDS)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not begun.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the doomed node was given no piece")
        time.sleep(0.01)
    return run(piece)


def killed_once(mark: Path, run: Callable[[Any], Result], piece: Any) -> Result:
    """The first worker that comes here is killed."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return run(piece)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def killed_always(run: Callable[[Any], Result], piece: Any) -> Result:
    os.kill(os.getpid(), signal.SIGKILL)
    return run(piece)


def assert_same_values(here: SweepResult, there: SweepResult) -> int:
    """Every byte that was measured is the same; return how many."""
    n_bytes = 0
    for name, array in here.values.data_vars.items():
        assert there.values[name].values.tobytes() == array.values.tobytes()
        n_bytes += array.values.nbytes
    return n_bytes


@NEEDS_RAY
@pytest.mark.filterwarnings("ignore")
def test_a_node_killed_in_the_middle_changes_no_byte(
    model: HeadModel, profile: Profile, here: SweepResult, cluster: Any, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    runner = runner_of(model, {}, cluster.address)
    second = cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    killed: list[int] = []

    def kill(pieces: Sequence[Any], run: Callable[[Any], Result]) -> Iterator[tuple[int, Result]]:
        if killed or len(pieces) < 2:
            yield from runner(pieces, run)
            return
        for index, result in runner(pieces, partial(held_on_one_node, second.node_id, tmp_path / "begun", run)):
            if not killed:
                cluster.remove_node(second, allow_graceful=False)
                killed.append(index)
            yield index, result

    shards = Shards(tmp_path, "guard")
    there = sweep_heads(model, profile, engine=Engine(shards, kill), **OPTIONS)
    assert killed
    assert runner.lost, "the node held no worker"
    n_bytes = assert_same_values(here, there)
    assert len(shards) == shards.n_written
    tell(f"Ray with a node killed: {len(runner.lost)} worker lost, {n_bytes:,} bytes compared, none differs")


@NEEDS_RAY
@pytest.mark.filterwarnings("ignore")
def test_a_worker_killed_without_its_node_changes_no_byte(
    model: HeadModel, profile: Profile, here: SweepResult, cluster: Any, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    runner = runner_of(model, {}, cluster.address)

    def kill(pieces: Sequence[Any], run: Callable[[Any], Result]) -> Iterator[tuple[int, Result]]:
        return runner(pieces, partial(killed_once, tmp_path / "killed", run))

    there = sweep_heads(model, profile, engine=Engine(None, kill), **OPTIONS)
    assert len(runner.lost) == 1
    tell(f"Ray with a worker killed: {assert_same_values(here, there):,} bytes compared, none differs")


@NEEDS_RAY
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_patches_and_their_texts_on_workers_are_those_of_one_process(
    model: HeadModel, profile: Profile, cluster: Any, tell: Callable[[str], None]
) -> None:
    runner = runner_of(model, {}, cluster.address)

    def patched(engine: Engine) -> PatchResult:
        return patch_heads(
            model, profile, "1:0,2:1", concepts="gratitude", n_random=1, max_tokens=3, batch_tokens=1024, engine=engine
        )

    here, there = patched(Engine()), patched(Engine(None, runner))
    assert there.values.identical(here.values)
    n_bytes = 0
    for name, table in here.tables.items():
        text = table_to_text(name, table)
        assert table_to_text(name, there.tables[name]) == text
        n_bytes += len(text.encode())
    assert "texts" in here.tables
    tell(f"Ray: patches, {n_bytes:,} bytes of tables compared with those of one process, none differs")


@NEEDS_RAY
@pytest.mark.filterwarnings("ignore")
def test_a_piece_that_ends_every_worker_ends_the_run(model: HeadModel, profile: Profile, cluster: Any) -> None:
    runner = runner_of(model, {}, cluster.address)

    def kill(pieces: Sequence[Any], run: Callable[[Any], Result]) -> Iterator[tuple[int, Result]]:
        return runner(pieces, partial(killed_always, run))

    with pytest.raises(WorkError, match="ended 3 workers"):
        sweep_heads(model, profile, engine=Engine(None, kill), **OPTIONS)
    assert len(runner.lost) >= 2


@NEEDS_RAY
@pytest.mark.filterwarnings("ignore")
def test_a_worker_with_another_model_is_refused(model: HeadModel, profile: Profile, cluster: Any) -> None:
    runner = RayRunner(partial(load_model, "demo"), "0" * 64, cluster.address, workers=1)
    with pytest.raises((RequestError, WorkError), match="another model"):
        sweep_heads(model, profile, engine=Engine(None, runner), **OPTIONS)


def test_without_ray_the_message_says_how_to_get_it(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_ray(name: str, package: str | None = None) -> Any:
        if name == "ray":
            raise ImportError(name)
        return real(name, package)

    real = importlib.import_module
    monkeypatch.setattr("importlib.import_module", without_ray)
    ended = type_command(*sweep.words(tmp_path / "run", "--engine", "ray"))
    assert ended.code == 2
    assert 'pip install "headscope[ray]"' in ended.err
    assert not (tmp_path / "run").exists()


def test_an_address_needs_ray(sweep: Sweep, tmp_path: Path) -> None:
    ended = type_command(*sweep.words(tmp_path / "run", "--address", "auto"))
    assert ended.code == 2
    assert "--engine ray" in ended.err
