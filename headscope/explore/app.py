"""The live view as an ASGI application: the page at ``/``, and what it asks under ``/api``.

Every request under ``/api`` carries the whole view and is answered by one job of the worker: as lines of JSON that are
sent as they are found (``look``, ``write``), or in one piece. Whoever closes the connection cancels the job. What a
user can get wrong is told in a sentence; anything else goes to the console with its stack trace, and the page gets a
sentence that says so.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from headscope.errors import Cancelled, HeadscopeError
from headscope.explore import asked
from headscope.explore.answering import Answers, told
from headscope.explore.facts import facts_of, profile_of
from headscope.explore.guarding import NOTEBOOKS, Guard, policy, too_large
from headscope.explore.html import page_html
from headscope.explore.work import BusyError, Job, Ticket, Worker
from headscope.models.head_model import HeadModel
from headscope.profiles.files import expanded
from headscope.profiles.loading import DEFAULT, load_profile
from headscope.profiles.types import Profile
from headscope.runs.atomic import plain
from headscope.runs.folder import Run

FAULT = "a fault of headscope: its console says more"

KEEP = Path("explored")

Answer = Callable[[Any, Ticket], Iterator[Any]]


class Closed(Exception):  # noqa: N818 - nothing is wrong
    """Whoever asked closed the connection."""


def explore_app(
    model: HeadModel,
    profile: Profile | None = None,
    run: Run | None = None,
    *,
    token: str,
    hosts: Sequence[str],
    framed_by: Sequence[str] = NOTEBOOKS,
    keep: Path = KEEP,
    language: str = "en",
    loaded: Mapping[str, Any] | None = None,
    worker: Worker | None = None,
) -> Guard:
    """The application, for any ASGI server that runs it in one process.

    Args:
        model: the model.
        profile: what edits and log-odds are made of; the run's by default, else the bundled ``baseline``.
        run: its maps and verdicts stand beside what a prompt shows.
        token: that every request must bear.
        hosts: the names under which the server is asked, as the header ``Host`` has them, with the port where it has.
        framed_by: whose pages may show this one in a frame, as ``frame-ancestors`` has them.
        keep: the profile folder that prompts are added to.
        language: that the page begins in.
        loaded: keywords of ``load_model`` that are not its defaults, for the lines that reproduce what is shown.
        worker: runs the model; closing it is left to the caller. One that ends with the process by default.

    Raises:
        RequestError: the run's profile was changed since.
        ProfileError: the run's profile cannot be read any more.
    """
    asks = profile or (load_profile(DEFAULT) if run is None else profile_of(run))
    answers = Answers(model, asks, expanded(keep), loaded)
    facts = facts_of(model, asks, run, keep=keep, language=language)
    view = _View(worker or Worker(), facts, tuple(framed_by))
    routes = [
        Route("/", view.page, methods=["GET"]),
        Route("/api/look", partial(view.stream, asked.WriteAsked, answers.look), methods=["POST"]),
        Route("/api/write", partial(view.stream, asked.WriteAsked, answers.write), methods=["POST"]),
        Route("/api/attention", partial(view.whole, asked.AttentionAsked, answers.attention), methods=["POST"]),
        Route("/api/map", partial(view.whole, asked.MapAsked, answers.head_map), methods=["POST"]),
        Route("/api/keep", partial(view.whole, asked.KeepAsked, answers.keep), methods=["POST"]),
        Route("/api/edit_file", partial(view.whole, asked.EditFileAsked, answers.edit_file), methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={500: _fault}), token=token, hosts=hosts)


@dataclass(frozen=True)
class _View:
    """What answers requests that were let through."""

    worker: Worker
    facts: dict[str, Any]
    framed_by: tuple[str, ...]

    async def page(self, request: Request) -> Response:
        del request  # it says nothing more
        nonce = secrets.token_urlsafe(16)
        headers = {"Content-Security-Policy": policy(nonce, self.framed_by)}
        return Response(page_html(self.facts, nonce), media_type="text/html", headers=headers)

    async def stream(self, shape: type[asked.View], answer: Answer, request: Request) -> Response:
        """An answer line by line."""
        ticket = await self._ticket(shape, lambda view, one: _lines(answer(view, one)), request)
        return ticket if isinstance(ticket, Response) else _Lines(ticket)

    async def whole(self, shape: type[asked.View], answer: Answer, request: Request) -> Response:
        """An answer in one piece: JSON, or a file."""
        ticket = await self._ticket(shape, lambda view, one: map(_body, answer(view, one)), request)
        if isinstance(ticket, Response):
            return ticket
        try:
            async with aclosing(_until_closed(ticket, request.receive)) as found:
                responses = [one async for one in found if isinstance(one, Response)]  # without progress
        except Closed:
            return _unread()
        except HeadscopeError as error:
            return _refused(error)
        return responses[0]

    async def _ticket(self, shape: type[asked.View], answer: Answer, request: Request) -> Ticket | Response:
        """The job that a request asks for, queued; what is answered at once where there is none."""
        try:
            if (body := await _body_of(request)) is None:
                return too_large()
            view = asked.read(body, shape)
            route = request.url.path
            # Attention and files are asked for several at a time; of the others only the newest is of use.
            place = (view.client, route) if shape in _ONE_AT_A_TIME else object()
            job: Job = lambda ticket: answer(view, ticket)  # noqa: E731 - a function of one expression
            return self.worker.ask(place, job)
        except Closed:
            return _unread()
        except HeadscopeError as error:
            return _refused(error)


_ONE_AT_A_TIME = (asked.MapAsked, asked.WriteAsked)


class _Lines(Response):
    """What a job finds, a line each, sent as it is found; the last says how it ended."""

    media_type = "application/x-ndjson"

    def __init__(self, ticket: Ticket) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._ticket = ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines."""
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(_until_closed(self._ticket, receive)) as found:
                async for one in found:
                    await _send(send, one if isinstance(one, bytes) else _line(one))
            last: dict[str, Any] = {"event": "end"}
        except Closed:
            return
        except Cancelled:
            last = {"event": "cancelled"}
        except HeadscopeError as error:
            last = {"event": "error", **told(error)}
        except Exception:
            await _end(send, {"event": "error", "error": FAULT})
            raise  # the server writes it to its console
        await _end(send, last)


async def _end(send: Send, last: Any) -> None:
    await _send(send, _line(last))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, line: bytes) -> None:
    await send({"type": "http.response.body", "body": line, "more_body": True})


async def _until_closed(ticket: Ticket, receive: Receive) -> AsyncGenerator[Any]:
    """What a job finds, as long as the connection is open; then, and wherever this is left, the job is cancelled.

    Raises:
        Closed: the connection was closed.
        Cancelled, HeadscopeError: as ``Ticket.found``.
    """
    closed = asyncio.ensure_future(_closed(receive))
    found = ticket.found()
    following = asyncio.ensure_future(anext(found, None))
    try:
        while True:
            await asyncio.wait((following, closed), return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                ticket.cancel()
                with suppress(HeadscopeError):
                    await following
                raise Closed
            if (one := following.result()) is None:
                return
            yield one
            following = asyncio.ensure_future(anext(found, None))
    finally:
        ticket.cancel()
        closed.cancel()
        following.cancel()


async def _closed(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body_of(request: Request) -> bytes | None:
    """What was posted; None where it is too large, whatever its headers said.

    Raises:
        Closed: the connection was closed before it was all here.
    """
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > asked.BODY_LIMIT_BYTES:
                return None
    except ClientDisconnect as error:
        raise Closed from error
    return bytes(body)


def _lines(events: Iterator[Any]) -> Iterator[bytes]:
    return map(_line, events)


def _line(event: Any) -> bytes:
    return _json(event) + b"\n"


def _json(content: Any) -> bytes:
    return json.dumps(plain(content), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _body(content: Any) -> Response:
    """A whole answer: JSON, or a file's name and bytes. Made in the worker's thread, because it may be large."""
    if isinstance(content, tuple):
        name, data = content
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(data, media_type="application/octet-stream", headers=headers)
    return Response(_json(content), media_type="application/json")


def _unread() -> Response:
    """What is answered where nobody reads it."""
    return Response(status_code=499)


def _fault(request: Request, error: Exception) -> Response:
    """What is answered where this application fails; the server writes the stack trace to its console."""
    del request, error
    return JSONResponse({"error": FAULT}, 500)


def _refused(error: HeadscopeError) -> Response:
    if isinstance(error, BusyError):
        return JSONResponse(told(error) | {"error": "busy", "fix": error.problem}, 409)
    return JSONResponse(told(error), 409 if isinstance(error, Cancelled) else 422)
