"""Ctrl-C and SIGTERM between pieces of work, never inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


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

    before = {number: signal.signal(number, note) for number in _NUMBERS}
    try:
        yield
    finally:
        restore()
    if came:
        signal.raise_signal(came[0])
