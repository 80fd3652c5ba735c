"""One thread at a time: while a model is edited or read, a pass of another thread is refused, never changed.

Edits and readings are hooks on modules, and a model's modules are one for all threads. So a block that edits or reads
belongs to the thread that entered it: it may enter further blocks, another thread may enter none, and every hook first
asks whose pass this is. Refused and not made to wait: a thread that waits for one that waits for it would wait forever.
What autograd computes again (gradient checkpointing) may run in a thread of autograd's own and counts as the owner's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from headscope.errors import RequestError

P = ParamSpec("P")
R = TypeVar("R")

_CHANGING = threading.RLock()  # a block that is garbage-collected may end while this thread holds it
_KNOWN: WeakKeyDictionary[Any, OneThread] = WeakKeyDictionary()


class OneThread:
    """Which thread edits or reads a model just now."""

    def __init__(self) -> None:
        self._owner: int | None = None
        self._depth = 0

    @contextmanager
    def held(self) -> Generator[None]:
        """A block that belongs to the thread that enters it; blocks of one thread nest.

        Raises:
            RequestError: another thread is inside such a block.
        """
        with _CHANGING:
            if self._owner not in (None, threading.get_ident()):
                raise _refused("two threads edit or read one model at the same time")
            self._owner = threading.get_ident()
            self._depth += 1
        try:
            yield
        finally:
            with _CHANGING:
                self._depth -= 1
                if not self._depth:
                    self._owner = None

    @contextmanager
    def hooks(self) -> Generator[Hooks]:
        """A block whose hooks, added inside it, see the passes of this thread and are gone at its end."""
        hooks = Hooks(self)
        with self.held():
            try:
                yield hooks
            finally:
                hooks.remove()

    def own(self, hook: Callable[P, R]) -> Callable[P, R]:
        """The hook, refusing passes of other threads."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            in_backward = torch._C._current_graph_task_id() != -1  # pyright: ignore[reportPrivateUsage]
            if self._owner != threading.get_ident() and not in_backward:
                raise _refused("a model was run in one thread while another one edits or reads it")
            return hook(*args, **kwargs)

        return guarded


class Hooks:
    """Hooks on modules, for ``OneThread.hooks``."""

    def __init__(self, thread: OneThread) -> None:
        self._own = thread.own
        self._handles: list[RemovableHandle] = []

    def before(self, module: nn.Module, hook: Callable[..., Any], *, with_kwargs: bool = False) -> None:
        """Call ``hook(module, args)`` before each pass of the module."""
        self._handles.append(module.register_forward_pre_hook(self._own(hook), with_kwargs=with_kwargs))

    def after(self, module: nn.Module, hook: Callable[..., Any], **options: bool) -> None:
        """Call ``hook(module, args, output)`` after each pass of the module; options as torch has them."""
        self._handles.append(module.register_forward_hook(self._own(hook), **options))

    def remove(self) -> None:
        """Take all of them away."""
        for handle in self._handles:
            handle.remove()


def thread_of(hf: Any) -> OneThread:
    """The one of a transformers model, whichever ``HeadModel`` it is in."""
    with _CHANGING:
        return _KNOWN.setdefault(hf, OneThread())


def _refused(problem: str) -> RequestError:
    return RequestError(
        problem,
        expected="one thread at a time",
        fix="load a model for each thread, or put a lock of your own around what uses this one; inside an edit, run "
        "the model in the thread that entered it (a text streamer: enter the edit inside its thread)",
    )
