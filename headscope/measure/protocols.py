"""What a measurement is handed from outside: who runs its pieces of work, and who is told how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy.typing as npt

Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)``: first with nothing done, then after each piece."""

Result = dict[str, npt.NDArray[Any]]
"""What a piece of work measured: plain arrays that depend on the piece alone."""

P = TypeVar("P")


class Work(Protocol):
    """Who runs the pieces of a plan, wherever and whenever."""

    def __call__(self, pieces: Sequence[P], run: Callable[[P], Result]) -> Iterable[Result]:
        """Give the pieces' results in their order."""
        ...


def here(pieces: Sequence[P], run: Callable[[P], Result]) -> Iterable[Result]:
    """The ``work`` where none is named: in this process, one piece after the other, nothing kept."""
    return map(run, pieces)


def told(items: Iterable[P], stage: str, total: int, progress: Progress | None) -> Iterator[P]:
    """The items of a loop; ``progress`` is told before the first, and of each when the loop is done with it."""
    if progress is not None and total:
        progress(stage, 0, total)
    for done, item in enumerate(items, start=1):
        yield item
        if progress is not None:
            progress(stage, done, total)
