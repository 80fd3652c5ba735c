"""Pieces of work on a Ray cluster: one model an actor, results to the driver, which keeps them like its own.

1. Each actor loads the model once, on the device that Ray gives it, with the driver's number of threads, and proves
   that its fingerprint is the driver's.
2. What a stage shares (prompts, lexicons, control states, edits) is put into Ray's store once; where it refers to the
   model, each actor puts its own in the place. A piece is then a few numbers.
3. A piece whose actor, worker or node died goes to another one. A piece that ends three workers ends the run.

The batch plan is the driver's, and a piece's bits depend on the piece, threads and kind of machine alone, so the bytes
are those of a run in one process.
"""

from __future__ import annotations

import importlib
import io
import pickle
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from headscope.errors import HeadscopeError, RequestError, WorkError
from headscope.measure.protocols import Result
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model

P = TypeVar("P")

TRIES = 3
_MODEL = "model"
_START = -1


@dataclass(frozen=True)
class RayRunner:
    """A runner for ``Engine``. Pieces go to ``workers`` actors.

    Attributes:
        load: loads the model on a worker, on the driver's kind of device; pickled by Ray.
        fingerprint: of the driver's model; a worker whose model has another is refused.
        address: of a running cluster; None starts Ray on this machine.
        on_gpu: whether each worker needs a GPU of its own.
        workers: how many actors; None for as many as the cluster has GPUs, or CPUs.
        threads: of each worker; None for the driver's.
        options: further options of the actors, as Ray names them.
        lost: what was told of workers that died while this runner ran.
    """

    load: Callable[[], HeadModel]
    fingerprint: str
    address: str | None = None
    on_gpu: bool = False
    workers: int | None = None
    threads: int | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    lost: list[str] = field(default_factory=list[str])

    def __call__(self, pieces: Sequence[P], run: Callable[[P], Result]) -> Iterator[tuple[int, Result]]:
        """Give (index, result) of every piece, as they are done.

        Raises:
            RequestError: Ray is not installed, the cluster cannot be reached, or its workers load another model.
            WorkError: a piece ended ``TRIES`` workers.
        """
        if not pieces:
            return
        ray = connect(self.address)
        pool = _Pool(ray, self, len(pieces))
        try:
            yield from pool.results(list(pieces), ray.put(_without_model(run, ray.cloudpickle.Pickler)))
        finally:
            pool.close()


def require_ray() -> Any:
    """The module ``ray``; RequestError where it is not installed."""
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise RequestError("Ray is not installed", fix='pip install "headscope[ray]"') from error


def runner_of(model: HeadModel, options: Mapping[str, Any], address: str | None) -> RayRunner:
    """A runner whose workers load ``model`` as the driver did, with the same ``options`` of ``load_model``.

    A checkpoint's folder, or file, must be reachable under the same path on every node. The batch plan is the
    driver's, so the workers get no budget of memory.
    """
    name = _absolute(model.name) if model.source in ("folder", "file") else model.name
    tokenizer = options.get("tokenizer")
    if isinstance(tokenizer, str):
        tokenizer = _absolute(tokenizer)
    own = {"tokenizer": tokenizer, "device": model.device.type, "memory_budget": None}
    load = partial(load_model, name, **{**options, **own})
    return RayRunner(load, model.fingerprint, address, on_gpu=model.device.type == "cuda")


def _absolute(name: str) -> str:
    """The folder or file of that name as every working directory finds it; a name of the hub as it is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name


def connect(address: str | None) -> Any:
    """The module ``ray``, connected.

    Raises:
        RequestError: it is not installed, or no cluster answers at ``address``.
    """
    ray = require_ray()
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RequestError(
                "the Ray cluster cannot be reached",
                got=str(error).splitlines()[0],
                where=address or "this machine",
                fix="start it with: ray start --head; or leave out --address to use this machine",
            ) from error
    return ray


class _Worker:
    """What an actor does."""

    def __init__(self, load: Callable[[], HeadModel], fingerprint: str, threads: int) -> None:
        self._load, self._fingerprint, self._threads = load, fingerprint, threads
        self._model: HeadModel | None = None
        self._stage: tuple[bytes, Callable[[Any], Result]] | None = None

    def ready(self) -> None:
        """Load the model; here and not before, so that what goes wrong is told as it is."""
        torch.set_num_threads(self._threads)
        model = self._load()
        if model.fingerprint != self._fingerprint:
            raise RequestError(
                "a worker loaded another model", expected=self._fingerprint[:16], got=model.fingerprint[:16]
            )
        self._model = model

    def run(self, stage: bytes, piece: Any) -> Result:
        """One piece of a stage; the stage is unpacked once."""
        if self._stage is None or self._stage[0] != stage:
            if self._model is None:
                raise AssertionError("a piece before the model")
            self._stage = stage, _with_model(stage, self._model)
        return self._stage[1](piece)


class _Pool:
    """The actors of one stage."""

    def __init__(self, ray: Any, runner: RayRunner, n_pieces: int) -> None:
        self._ray = ray
        self._runner = runner
        resources = ray.cluster_resources()
        self._kind = ray.remote(num_gpus=int(runner.on_gpu), num_cpus=1, max_restarts=0, **runner.options)(_Worker)
        available = runner.workers or int(resources.get("GPU" if runner.on_gpu else "CPU", 1))
        self._actors = [self._new() for _ in range(max(1, min(available, n_pieces)))]

    def results(self, pieces: list[Any], stage: Any) -> Iterator[tuple[int, Result]]:
        ray, waiting, tries = self._ray, deque(range(len(pieces))), Counter[int]()
        # A worker for which there is no room yet has no piece, so nobody waits for it: it is busy with starting.
        busy: dict[Any, tuple[int, Any]] = {actor.ready.remote(): (_START, actor) for actor in self._actors}
        idle: list[Any] = []
        while waiting or any(index != _START for index, _ in busy.values()):
            while waiting and idle:
                index, actor = waiting.popleft(), idle.pop()
                busy[actor.run.remote(stage, pieces[index])] = index, actor
            (reference,), _ = ray.wait(list(busy), num_returns=1)
            index, actor = busy.pop(reference)
            try:
                result: Result | None = ray.get(reference)
            except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
                tries[index] += 1
                self._refuse(error, index, tries[index])
                self._runner.lost.append(str(error).splitlines()[0])
                fresh = self._replaced(actor)
                busy[fresh.ready.remote()] = _START, fresh
                if index != _START:
                    waiting.appendleft(index)
            except ray.exceptions.RayTaskError as error:
                raise _own(error) from error
            else:
                idle.append(actor)
                if result is not None:
                    tries[_START] = 0
                    yield index, {name: array.copy() for name, array in result.items()}

    def _replaced(self, actor: Any) -> Any:
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(actor)
        fresh = self._new()
        self._actors = [fresh if each is actor else each for each in self._actors]
        return fresh

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor)

    def _new(self) -> Any:
        threads = self._runner.threads or torch.get_num_threads()
        return self._kind.remote(self._runner.load, self._runner.fingerprint, threads)

    def _refuse(self, error: Exception, index: int, tries: int) -> None:
        if tries >= TRIES:
            raise WorkError(
                "no worker starts" if index == _START else f"piece {index} ended {tries} workers",
                got=str(error).splitlines()[0],
                fix="look at Ray's logs; where memory ran out, ask for a smaller --batch-tokens",
            ) from error


def _own(error: Any) -> Exception:
    """What a worker raised, as if it had been raised here."""
    cause = error.cause
    return cause if isinstance(cause, HeadscopeError) else WorkError("a worker failed", got=f"{cause!r}"[:300])


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, model: HeadModel) -> None:
        super().__init__(io.BytesIO(data))
        self._model = model

    def persistent_load(self, pid: Any, /) -> HeadModel:
        return self._model


def _without_model(run: Callable[[Any], Result], pickler: type[pickle.Pickler]) -> bytes:
    """``run`` as bytes; ``pickler`` is Ray's own, which sends functions of the user's notebook or script by value."""

    class WithoutModel(pickler):
        def persistent_id(self, obj: Any, /) -> str | None:
            return _MODEL if isinstance(obj, HeadModel) else None

    buffer = io.BytesIO()
    WithoutModel(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(run)
    return buffer.getvalue()


def _with_model(data: bytes, model: HeadModel) -> Callable[[Any], Result]:
    # From the driver, over the cluster's own connection, which carries pickles anyway; nothing is read from a file.
    try:
        return _Unpickler(data, model).load()
    except (ImportError, AttributeError) as error:
        raise RequestError(
            "a worker cannot import what it is to run",
            expected="modules of outcomes of one's own under the same name on every node",
            got=str(error),
            fix="install the module there, or define the outcome in the script or notebook itself",
        ) from error
