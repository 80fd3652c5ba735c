"""Who runs the model: one thread, one step of one job after the other; a newer job of a page replaces its older one.

1. A job is a function of its ``Ticket`` that yields what it finds. Between two things that it yields it holds nothing
   of the model, so that the jobs of several pages take turns, step by step, in the one thread that touches the model.
2. What it yields, and what it tells between (``Ticket.tell``), goes to the event loop of whoever asked, as it is found.
   An error of the job is raised there.
3. What a job measures for all pages (``Ticket.tell_all``) is told to whoever waits, and is given up only where the
   worker ends (``Ticket.ending``): each click would begin it anew.
4. A job has a place, a page and what it asks (``("abc", "look")``): a newer job at the same place cancels the older
   one, waiting or running. So does whoever stops reading (``Ticket.cancel``), and the end of the worker.
5. At most ``most`` jobs wait or run; one more is refused.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, TypeAlias

from headscope.errors import Cancelled, RequestError

MOST_JOBS_COUNT = 32
THREAD_NAME = "headscope-model"


class BusyError(RequestError):
    """Too many jobs wait for the model."""


class Ticket:
    """One job, waiting, running or done; what it finds is read once, by the event loop that asked for it."""

    def __init__(self, job: Job, worker: Worker) -> None:
        self._steps, self._worker = job(self), worker
        self._cancelled = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._found: asyncio.Queue[Any] = asyncio.Queue()
        self._last: Future[bool] | None = None
        self.is_done = False

    def cancelled(self) -> bool:
        """Whether its result is no longer wanted; asked by the passes of the job."""
        return self._cancelled.is_set()

    def ending(self) -> bool:
        """Whether no page is served any more; asked by passes whose result is for all of them."""
        return self._worker.ends.is_set()

    def tell_all(self, one: Any) -> None:
        """How far the work is that every job waits for."""
        self._worker.tell_all(one)

    def tell(self, one: Any) -> None:
        """Something that was found, between two that are yielded."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._found.put_nowait, one)

    def cancel(self) -> None:
        """Nobody wants the rest: a job that waits never runs, and one that runs ends at its next question."""
        self._cancelled.set()
        if self._last is not None:
            self._last.cancel()

    async def found(self) -> AsyncIterator[Any]:
        """What the job finds, as it is found.

        Raises:
            Cancelled: the job was cancelled.
            HeadscopeError: the job's own; any other exception of it is raised too.
        """
        while (one := await self._found.get()) is not Ticket:
            yield one
        try:
            if self._last is not None:  # a job ends with its last step
                self._last.result()
        except CancelledError as error:
            raise Cancelled from error

    def step(self) -> bool:
        """Find one thing more; whether there may be more."""
        if self.cancelled():
            raise Cancelled
        for one in self._steps:
            self.tell(one)
            return True
        return False

    def stand(self, last: Future[bool]) -> None:
        """The step that waits or runs now."""
        self._last = last

    def end(self) -> None:
        """Nothing more is found."""
        self.is_done = True
        self.tell(Ticket)


Job: TypeAlias = Callable[[Ticket], Iterator[Any]]


class Worker:
    """The one thread, and who waits for it."""

    def __init__(self, most: int = MOST_JOBS_COUNT) -> None:
        self._most = most
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=THREAD_NAME)
        self._tickets: dict[Hashable, Ticket] = {}
        self.ends = threading.Event()
        self._lock = threading.RLock()  # a step that is cancelled ends its ticket within the call

    def ask(self, place: Hashable, job: Job) -> Ticket:
        """Queue a job, from a coroutine; the older one at its place is cancelled.

        Raises:
            BusyError: too many wait already.
        """
        with self._lock:
            if (older := self._tickets.pop(place, None)) is not None:
                older.cancel()
            self._tickets = {at: one for at, one in self._tickets.items() if not one.is_done}
            if len(self._tickets) >= self._most:
                raise BusyError(
                    "too many requests wait for the model",
                    expected=f"at most {self._most}",
                    fix="try again when others are done",
                )
            self._tickets[place] = ticket = Ticket(job, self)
            self._go_on(ticket)
        return ticket

    def tell_all(self, one: Any) -> None:
        """Tell every job that waits or runs."""
        with self._lock:
            waiting = [ticket for ticket in self._tickets.values() if not ticket.is_done]
        for ticket in waiting:
            ticket.tell(one)

    def cancel_all(self) -> None:
        """Cancel whatever waits or runs, because no page is served any more."""
        self.ends.set()
        with self._lock:
            for ticket in self._tickets.values():
                ticket.cancel()

    def close(self) -> None:
        """End the thread, when its present step has asked whether it is cancelled."""
        self.cancel_all()
        self._pool.shutdown(cancel_futures=True)

    def _go_on(self, ticket: Ticket) -> None:
        future = self._pool.submit(ticket.step)
        ticket.stand(future)
        future.add_done_callback(lambda done: self._after(ticket, done))

    def _after(self, ticket: Ticket, done: Future[bool]) -> None:
        with self._lock:
            if done.cancelled() or done.exception() is not None or not done.result():
                ticket.end()
            else:
                self._go_on(ticket)  # where it was cancelled meanwhile, the next step says so
