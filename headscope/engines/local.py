"""Pieces of work on processes of this machine: the weights lie in memory once, results come back to this process.

1. Model and weights are laid into shared memory (``shared_memory``); every worker reads them there.
2. So is what a stage shares (prompts, lexicons, control states, edits), once a stage. A piece is then a few numbers.
3. A worker has the threads of this process, one as the command line sets them, and a piece's bits depend on the piece,
   threads and kind of machine alone. So the bytes are those of a run without workers.

The pool is concurrent.futures'. Its processes are not forked from this one: there the threads of torch and of
tokenizers would be gone, and their locks not. On Linux they are forked from Python's fork server, which has imported
torch and no more. They mind no signal, because Ctrl-C reaches a whole terminal, and what it means is this process's to
say; they live as long as this process holds its end of a pipe, so they end with it however it ends.

Measured on 2 cores: the fork server imports for 4 s, once. Beside 474 MiB of weights each of three workers held 29 MiB
of its own, in a sweep of the bundled model 100. Spawned ones held 340 and imported for 4 s each. A stage of the bundled
profile has 1 to 14 MiB and is packed in 0.2 s; sent with each piece it would cost as much again and again.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Any, Self, TypeVar

import torch
from torch import multiprocessing  # Python's, with tensors that pass between processes uncopied

from headscope.engines.engine import in_process
from headscope.engines.shared_memory import Packed, pack, share, unpack
from headscope.errors import RequestError, WorkError
from headscope.measure.protocols import Result
from headscope.models.head_model import HeadModel

P = TypeVar("P")

_AHEAD = 2  # pieces for each worker that are sent before results are waited for
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class LocalWorkers:
    """A runner for ``Engine``. Pieces go to ``n_workers`` processes of this machine.

    They start with the first pieces and are kept for later stages until ``close``, the end of a ``with`` block, or of
    this process.
    """

    def __init__(self, model: HeadModel, n_workers: int) -> None:
        """Of one model, whose weights move into shared memory when the workers start.

        Raises:
            RequestError: fewer than one worker, or a model that is not on the CPU.
        """
        if n_workers < 1:
            raise RequestError("there is no work without workers", expected="1 or more", got=str(n_workers))
        elsewhere = {str(weight.device) for weight in model.hf.parameters() if weight.device.type != "cpu"}
        if elsewhere:
            raise RequestError(
                "workers run a model on the CPU", expected="--device cpu", got=", ".join(sorted(elsewhere)),
                fix="leave out the workers: one process keeps a GPU busy",
            )  # fmt: skip
        self.n_workers = n_workers
        self._model = model
        self._shared: Packed | None = None
        self._pool: _Pool | None = None
        self._n_stages = 0

    def __call__(self, pieces: Sequence[P], run: Callable[[P], Result]) -> Iterator[tuple[int, Result]]:
        """Give (index, result) of every piece, as they are done; a single one is run here.

        Raises:
            RequestError: the model, or what the stage runs, cannot be sent to another process.
            WorkError: a worker was ended from outside.
            What a piece raises in a worker is raised here.
        """
        if len(pieces) < 2:
            yield from in_process(pieces, run)
            return
        self._n_stages += 1
        with _sendable():
            stage = _Stage(self._n_stages, torch.get_num_threads(), pack(run, self._model))
            self._shared = self._shared or share(self._model)
        self._pool = self._pool or _Pool(self._shared, self.n_workers)
        try:
            yield from self._pool.results(stage, pieces)
        except BaseException:  # also where nobody wants the rest
            self.close()
            raise

    def close(self) -> None:
        """End the workers, in the middle of a piece if need be. The next pieces start new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class _Stage:
    """What workers do with pieces; ``run`` is packed."""

    number: int
    threads: int
    run: Packed


class _Pool:
    """The processes."""

    def __init__(self, model: Packed, n_workers: int) -> None:
        context = _context()
        alive, self._held = context.Pipe(duplex=False)
        self._most_sent = _AHEAD * n_workers
        self._answered = False
        self._executor = ProcessPoolExecutor(n_workers, context, _start, (model, alive))

    def results(self, stage: _Stage, pieces: Sequence[Any]) -> Iterator[tuple[int, Result]]:
        waiting, sent = deque(enumerate(pieces)), dict[Future[Result], int]()
        try:
            while waiting or sent:
                while waiting and len(sent) < self._most_sent:
                    index, piece = waiting.popleft()
                    with _signals_blocked():  # a process that starts inherits this
                        sent[self._executor.submit(_run, stage, piece)] = index
                done, _ = wait(sent, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda one: one.exception() is not None):
                    index = sent.pop(future)
                    yield index, future.result()
                    self._answered = True
        except BrokenProcessPool as error:
            raise self._broken() from error

    def _broken(self) -> WorkError:
        if self._answered:
            return WorkError(
                "a worker was ended from outside: most often its memory ran out",
                fix="take fewer workers or a smaller --batch-tokens; what is done is kept, the same request goes on",
            )
        return WorkError(
            "a worker ended before it gave a result",
            fix="where memory ran out, take fewer workers or a smaller --batch-tokens; in a script, put what is run "
            'under: if __name__ == "__main__"',
        )

    def close(self) -> None:
        self._held.close()
        self._executor.shutdown(cancel_futures=True)


def _context() -> SpawnContext | ForkServerContext:
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")  # elsewhere system libraries do not bear a fork
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # of no effect where a fork server runs already
    return context


@contextmanager
def _sendable() -> Generator[None]:
    try:
        yield
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise RequestError(
            "workers cannot be sent what they are to run",
            expected="models, outcomes and edits that are defined in a module, not inside a function",
            got=str(error),
            fix="define them in a module that is imported, or leave out the workers",
        ) from error


@contextmanager
def _signals_blocked() -> Generator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- in a worker -----------------------------------------------------------------------------------------------------


class _Worker:
    """What a worker holds: the model, unpacked with the first piece so that what goes wrong is told as it is."""

    def __init__(self, shared: Packed) -> None:
        self._shared = shared
        self._model: HeadModel | None = None
        self._stage: tuple[int, Callable[[Any], Result]] | None = None

    def run(self, stage: _Stage, piece: Any) -> Result:
        """One piece of a stage; the stage is unpacked once."""
        if self._stage is None or self._stage[0] != stage.number:
            torch.set_num_threads(stage.threads)
            self._stage = None  # the old one need not be held while the new one is read
            self._model = self._model or _received(self._shared)
            self._stage = stage.number, _received(stage.run, self._model)
        return self._stage[1](piece)


_WORKER: list[_Worker] = []


def _start(model: Packed, parent: Any) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _WORKER.append(_Worker(model))


def _end_with(parent: Any) -> None:
    """End this process when the other end of the pipe is let go, which ends it at the latest."""
    parent.poll(None)
    os._exit(0)


def _run(stage: _Stage, piece: Any) -> Result:
    return _WORKER[0].run(stage, piece)


def _received(packed: Packed, model: HeadModel | None = None) -> Any:
    try:
        return unpack(packed, model)
    except (ImportError, AttributeError) as error:
        raise RequestError(
            "a worker cannot import what it is to run",
            expected="models, outcomes and edits that are defined in a module or in a script",
            got=str(error),
            fix="in a notebook, put them into a module of their own and import it; or leave out the workers",
        ) from error
