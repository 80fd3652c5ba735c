"""From the pieces of a plan to their results: what is kept is read, the rest is run and kept.

A stage's work is a list of pieces whose results depend on nothing but themselves. The engine looks every piece up among
the run's shards, has the missing ones run by a runner, in any order and place, keeps each result the moment it is
there, and gives all results back in the order of the plan. So the result is the same whatever was interrupted, and
whoever ran it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any, Protocol, TypeVar, cast

from headscope.errors import RequestError
from headscope.measure.protocols import Result, Work
from headscope.runs.shards import PartDone, Shards

P = TypeVar("P")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Runner(Protocol):
    """Runs pieces."""

    def __call__(self, pieces: Sequence[P], run: Callable[[P], Result]) -> Iterator[tuple[int, Result]]:
        """Give (index, result) of every piece, each as soon as it is there."""
        ...


def in_process(pieces: Sequence[P], run: Callable[[P], Result]) -> Iterator[tuple[int, Result]]:
    """The runner that is used where none is named: here, one piece after the other."""
    return ((index, run(piece)) for index, piece in enumerate(pieces))


@dataclass(frozen=True)
class Part:
    """The share of one machine among ``of``: pieces ``number`` - 1, ``number`` - 1 + ``of``, ..."""

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise RequestError(
                "a part does not exist", expected="K/N with K from 1 to N", got=f"{self.number}/{self.of}"
            )

    @classmethod
    def parse(cls, text: str) -> Part:
        """``3/16`` as a part; RequestError where it is none."""
        number, slash, of = text.partition("/")
        if not (slash and number.isascii() and number.isdigit() and of.isascii() and of.isdigit()):
            raise RequestError("--shard is malformed", expected="K/N, e.g. 3/16", got=text)
        return cls(int(number), int(of))


class Engine:
    """Runs the stages of one request."""

    def __init__(self, shards: Shards | None = None, runner: Runner = in_process, part: Part | None = None) -> None:
        """Keep results in ``shards`` (None: nowhere); of a ``part`` run its pieces only, then stop: ``PartDone``."""
        self._shards, self._runner, self._part = shards, runner, part

    def stage(self, name: str, about: Mapping[str, Any]) -> Work:
        """The ``work`` of one stage; ``about``, JSON-able, is all it depends on beside the request and the pieces."""

        def work(pieces: Sequence[P], run: Callable[[P], Result]) -> Iterable[Result]:
            return self._results(name, about, pieces, run)

        return work

    def _results(
        self, stage: str, about: Mapping[str, Any], pieces: Sequence[P], run: Callable[[P], Result]
    ) -> Generator[Result]:
        shards = self._shards
        keys = [] if shards is None else [shards.key(stage, [about, asdict(cast("Any", piece))]) for piece in pieces]
        done: dict[int, Result] = {}
        if shards is not None:
            done = {i: kept for i, key in enumerate(keys) if (kept := shards.read(key)) is not None}
        missing = [i for i in range(len(pieces)) if i not in done]
        if self._part is not None:
            missing = [i for i in missing if i % self._part.of == self._part.number - 1]
        fresh = iter(self._runner([pieces[i] for i in missing], run))
        given = 0
        for _ in range(len(missing) + 1):
            while given in done:
                yield done.pop(given)
                given += 1
            with nullcontext() if shards is None else postponed():
                if (found := next(fresh, None)) is None:
                    break
                index = missing[found[0]]
                done[index] = found[1]
                if shards is not None:
                    shards.write(keys[index], found[1])
        if self._part is not None and shards is not None:
            raise PartDone(
                f"part {self._part.number} of {self._part.of} is done: {len(missing)} of {len(pieces)} pieces were run",
                where=str(shards.folder.parent),
                fix="when all parts are done: headscope gather, then the same command without --shard",
            )


@contextmanager
def postponed() -> Generator[None]:
    """A signal that comes inside the block takes effect at its end; a second one at once.

    Outside the main thread, where Python handles no signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if came:
            restore()
            signal.raise_signal(number)
        came.append(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield
    finally:
        restore()
    if came:
        signal.raise_signal(came[0])
