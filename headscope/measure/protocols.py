"""What a measurement is handed from outside: who runs its pieces of work, and who is told how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import numpy.typing as npt

Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)``."""

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
