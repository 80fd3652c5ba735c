"""Who may ask: checked before anything else looks at a request, and the headers that go with every answer.

1. The host that was asked must be one of the server's own names, so that a foreign page whose name is made to lead here
   (DNS rebinding) is refused.
2. Where a browser says which page asks (``Origin``), it must be the server's own.
3. The token of the address must be there: in the address for the page, in a header for everything else, which a page
   of another site cannot set without leave.
4. What is posted is JSON of bounded size. No cookie is set or read.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headscope.explore.asked import BODY_LIMIT_BYTES

TOKEN_HEADER = "X-Headscope-Token"  # noqa: S105 - its name
NOTEBOOKS = ("http://localhost:*", "http://127.0.0.1:*")
"""Whose pages may hold this one in a frame: a notebook's on the same machine."""
_ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def policy(nonce: str, framed_by: Sequence[str]) -> str:
    """The content security policy of the page: its own scripts and styles, its own server, nothing else."""
    frames = " ".join(framed_by) or "'none'"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            f"style-src 'nonce-{nonce}'",
            "connect-src 'self'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
            f"frame-ancestors {frames}",
        )
    )


class Guard:
    """An ASGI application that lets through to ``app`` who may ask."""

    def __init__(self, app: ASGIApp, *, token: str, hosts: Sequence[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return  # there are no web sockets

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (self._app if refusal is None else refusal)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        named = headers.getlist("host")
        if len(named) != 1 or named[0].lower() not in self._hosts:
            return PlainTextResponse("This is not the host that was asked for.", 400)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != named[0].lower():
            return _told(403, "the request comes from another page")
        posted = scope["method"] == "POST"
        given = headers.get(TOKEN_HEADER, "") if posted else _token_of(scope)
        # In constant time, so that nobody can find it letter by letter.
        if not secrets.compare_digest(given.encode("utf-8", "replace"), self._token):
            told = "The address lacks its token. Open the address that headscope explore printed."
            return _told(403, "the request lacks its token") if posted else PlainTextResponse(told, 403)
        if posted and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _told(415, "the request is no JSON", expected="Content-Type: application/json")
        length = headers.get("content-length", "0")
        return too_large() if not length.isdecimal() or int(length) > BODY_LIMIT_BYTES else None


def too_large() -> Response:
    """What is answered to a request that is too large."""
    return _told(413, "the request is too large", expected=f"at most {BODY_LIMIT_BYTES:,} bytes")


def _told(status: int, sentence: str, **more: str) -> Response:
    return JSONResponse({"error": sentence, **more}, status)


def _token_of(scope: Scope) -> str:
    asked = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20).get("token", [])
    return asked[0] if len(asked) == 1 else ""
