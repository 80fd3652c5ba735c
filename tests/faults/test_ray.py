"""Ray: several nodes on this machine, one killed in the middle, and the bytes of a run in one process."""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from headscope.engines import ray as ray_engine
from headscope.engines.engine import Engine
from headscope.engines.ray import RayRunner, runner_of
from headscope.errors import RequestError, WorkError
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile
from headscope.runs.shards import Shards
from headscope.verbs.sweep import SweepResult
from headscope.verbs.sweep import sweep as sweep_heads
from tests.end_to_end.conftest import type_command
from tests.faults.conftest import Sweep

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
    """A head and one more node, a CPU each."""
    # A machine under load starts a node in minutes; Ray reads this where it is imported.
    os.environ["RAY_raylet_start_wait_time_s"] = "240"  # noqa: SIM112 - its own name
    import ray
    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, on start and end
        head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=head)
        made.second = made.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        yield made
        ray.shutdown()
        made.shutdown()


@NEEDS_RAY
@pytest.mark.filterwarnings("ignore")
def test_a_node_killed_in_the_middle_changes_no_byte(
    model: HeadModel,
    profile: Profile,
    here: SweepResult,
    cluster: Any,
    tmp_path: Path,
    tell: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = ray_engine._Pool.results

    def once_all_started(pool: Any, pieces: list[Any], stage: Any) -> Iterator[Any]:
        """Otherwise a quick worker may be done with everything before the other node's has loaded its model."""
        pool._ray.get([actor.ready.remote() for actor in pool._actors])
        yield from results(pool, pieces, stage)

    monkeypatch.setattr(ray_engine._Pool, "results", once_all_started)
    runner = runner_of(model, {}, cluster.address)
    killed: list[int] = []

    def kill(stage: str, done: int, total: int) -> None:
        if stage == "edited passes" and not killed:
            cluster.remove_node(cluster.second, allow_graceful=False)
            killed.append(done)

    shards = Shards(tmp_path, "guard")
    there = sweep_heads(model, profile, engine=Engine(shards, runner), progress=kill, **OPTIONS)
    assert killed
    assert runner.lost, "the node held no worker"
    n_bytes = 0
    for name, array in here.values.data_vars.items():
        assert there.values[name].values.tobytes() == array.values.tobytes()
        n_bytes += array.values.nbytes
    assert len(shards) == shards.n_written
    tell(f"Ray with a node killed: {len(runner.lost)} worker lost, {n_bytes:,} bytes compared, none differs")


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
