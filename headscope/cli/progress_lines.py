"""Progress where nobody watches a terminal: a line as a stage begins and ends, and one a minute while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MINUTE = 60.0

Clock = Callable[[], float]
"""Seconds since some moment."""


@dataclass
class _Running:
    """A stage that has begun: when, with how many pieces done already, and when it was last told of."""

    begun: float
    done_before: int
    told: float


class ProgressLines:
    """Tells ``say`` of stages, as a progress function: called with a stage, how many pieces are done, and of how many.

    Nothing is told but from inside such a call.
    """

    def __init__(self, say: Callable[[str], None], clock: Clock) -> None:
        self._say, self._clock = say, clock
        self._running: dict[str, _Running] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """See the class."""
        now = self._clock()
        if stage not in self._running:
            self._running[stage] = _Running(now, done, now)
            self._say(f"{stage}: begins, {_pieces(total)}")
        running = self._running[stage]
        if done >= total:
            del self._running[stage]
            self._say(f"{stage}: done, {_pieces(total)} in {duration(now - running.begun)}")
        elif now - running.told >= MINUTE:
            running.told = now
            self._say(f"{stage}: {done} of {total}{_left(running, now, done, total)}")


def _left(running: _Running, now: float, done: int, total: int) -> str:
    """The time left at the pace so far; nothing where nothing was done yet."""
    since = done - running.done_before
    if since <= 0:
        return ""
    return f", {duration((now - running.begun) / since * (total - done))} left"


def _pieces(total: int) -> str:
    return f"{total} piece" if total == 1 else f"{total} pieces"


def duration(seconds: float) -> str:
    """Seconds in the unit in which people say so much time."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
