"""One thread runs every job, step by step; who no longer waits is told nothing, and holds nobody up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from headscope.errors import Cancelled, WorkError
from headscope.explore.work import BusyError, Job, Ticket, Worker

T = TypeVar("T")
DEADLINE_SECONDS = 60  # ends a test that hangs


def run(work: Callable[[Worker], Awaitable[T]], **options: int) -> T:
    async def whole() -> T:
        worker = Worker(**options)
        try:
            return await asyncio.wait_for(work(worker), DEADLINE_SECONDS)
        finally:
            await asyncio.to_thread(worker.close)

    return asyncio.run(whole())


def counting(n: int) -> Job:
    return lambda _: iter(range(n))


async def all_of(ticket: Ticket) -> list[Any]:
    return [one async for one in ticket.found()]


class Held:
    """A job whose first step goes on until it is let go or cancelled, as a long pass does."""

    def __init__(self) -> None:
        self.has_begun, self.let_go = threading.Event(), threading.Event()
        self.was_cancelled = False

    def __call__(self, ticket: Ticket) -> Iterator[str]:
        self.has_begun.set()
        while not self.let_go.wait(0.01):
            if ticket.cancelled():
                self.was_cancelled = True
                raise Cancelled
        yield "done"

    async def begun(self) -> None:
        assert await asyncio.to_thread(self.has_begun.wait, DEADLINE_SECONDS)


def test_a_job_gives_what_it_finds_in_order_and_what_it_tells_between() -> None:
    def job(ticket: Ticket) -> Iterator[str]:
        ticket.tell("a tenth")
        yield "first"
        yield "second"

    async def work(worker: Worker) -> list[Any]:
        return await all_of(worker.ask("here", job))

    assert run(work) == ["a tenth", "first", "second"]


def test_all_jobs_run_in_one_thread_and_take_turns() -> None:
    threads: set[str] = set()
    order: list[str] = []

    def job(name: str) -> Job:
        def steps(_: Ticket) -> Iterator[str]:
            for _step in range(3):
                threads.add(threading.current_thread().name)
                order.append(name)
                yield name

        return steps

    async def work(worker: Worker) -> None:
        held = Held()
        first = worker.ask("held", held)
        await held.begun()  # so that both stand in the queue before either runs
        others = [worker.ask(name, job(name)) for name in ("a", "b")]
        held.let_go.set()
        await asyncio.gather(*map(all_of, [first, *others]))

    run(work)
    assert len(threads) == 1
    assert threading.current_thread().name not in threads
    assert order == ["a", "b"] * 3


def test_a_newer_job_at_a_place_cancels_the_one_that_runs_and_the_thread_is_free() -> None:
    held = Held()

    async def work(worker: Worker) -> list[Any]:
        first = worker.ask(("page", "look"), held)
        await held.begun()
        second = worker.ask(("page", "look"), counting(2))
        with pytest.raises(Cancelled):
            await all_of(first)
        return await all_of(second)

    assert run(work) == [0, 1]
    assert held.was_cancelled


def test_a_newer_job_at_another_place_cancels_nothing() -> None:
    held = Held()

    async def work(worker: Worker) -> list[list[Any]]:
        first = worker.ask(("page", "look"), held)
        await held.begun()
        second = worker.ask(("another page", "look"), counting(2))
        held.let_go.set()
        return list(await asyncio.gather(all_of(first), all_of(second)))

    assert run(work) == [["done"], [0, 1]]


def test_what_is_measured_for_all_outlasts_a_newer_job_is_told_to_it_and_ends_with_the_worker() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), list[bool]()

    def measured(ticket: Ticket) -> Iterator[str]:
        begun.set()
        assert go_on.wait(DEADLINE_SECONDS)
        ended.append(ticket.ending())
        ticket.tell_all("half")
        yield "measured"

    async def work(worker: Worker) -> list[Any]:
        first = worker.ask(("page", "look"), measured)
        assert await asyncio.to_thread(begun.wait, DEADLINE_SECONDS)
        second = worker.ask(("page", "look"), counting(2))
        go_on.set()
        with pytest.raises(Cancelled):
            await all_of(first)
        found = await all_of(second)
        last = worker.ask("a", counting(1))
        await asyncio.to_thread(worker.close)
        ended.append(last.ending())
        return found

    assert run(work) == ["half", 0, 1]
    assert ended == [False, True]


def test_a_job_that_is_cancelled_while_it_waits_never_runs() -> None:
    held, has_run = Held(), threading.Event()

    def job(_: Ticket) -> Iterator[int]:
        has_run.set()
        yield 1

    async def work(worker: Worker) -> None:
        first = worker.ask("a", held)
        await held.begun()
        second = worker.ask("b", job)
        second.cancel()
        with pytest.raises(Cancelled):
            await all_of(second)
        held.let_go.set()
        await all_of(first)

    run(work)
    assert not has_run.is_set()


@pytest.mark.parametrize("error", [WorkError("no"), ValueError("a fault")])
def test_an_error_of_a_job_is_raised_where_it_was_asked_and_the_next_job_runs(error: Exception) -> None:
    def job(_: Ticket) -> Iterator[int]:
        yield 1
        raise error

    async def work(worker: Worker) -> list[Any]:
        with pytest.raises(type(error)) as raised:
            await all_of(worker.ask("a", job))
        assert raised.value is error
        return await all_of(worker.ask("a", counting(1)))

    assert run(work) == [0]


def test_so_many_jobs_wait_and_one_more_is_refused_until_one_is_done() -> None:
    held = Held()

    async def work(worker: Worker) -> list[Any]:
        waiting = [worker.ask("held", held), worker.ask("a", counting(1))]
        with pytest.raises(BusyError, match="too many requests wait"):
            worker.ask("b", counting(1))
        held.let_go.set()
        for ticket in waiting:
            await all_of(ticket)
        return await all_of(worker.ask("b", counting(1)))

    assert run(work, most=2) == [0]


def test_a_newer_job_at_a_place_takes_no_more_room() -> None:
    async def work(worker: Worker) -> list[Any]:
        held = Held()
        worker.ask("held", held)
        await held.begun()
        tickets = [worker.ask("a", counting(1)) for _ in range(5)]
        held.let_go.set()
        return await all_of(tickets[-1])

    assert run(work, most=2) == [0]


def test_the_end_of_the_worker_cancels_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    held = Held()

    async def work(worker: Worker) -> None:
        ticket = worker.ask("a", held)
        await held.begun()
        await asyncio.to_thread(worker.close)
        with pytest.raises(Cancelled):
            await all_of(ticket)

    run(work)
    assert held.was_cancelled
    assert not [one for one in set(threading.enumerate()) - before if one.name.startswith("headscope")]
