"""What a page does, without a browser: it asks a server under its address, with its token."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from headscope.explore.guarding import TOKEN_HEADER

DEADLINE_SECONDS = 120  # ends a test that hangs


@dataclass(frozen=True)
class Answer:
    """An answer that is all there."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its lines, those that tell how far the work is left out."""
        return [one for one in map(json.loads, self.body.splitlines()) if one["event"] != "progress"]

    @property
    def kinds(self) -> list[str]:
        return [one["event"] for one in self.events]

    def event(self, kind: str) -> dict[str, Any]:
        (found,) = [one for one in self.events if one["event"] == kind]
        return found


@dataclass(frozen=True)
class Page:
    """One page of a server."""

    address: str
    client: str = "page"

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.address).query)["token"][0]

    def view(self, text: str = "Thank you", **more: Any) -> dict[str, Any]:
        return {"client": self.client, "prompt": {"text": text}, "chat": False, "edits": [], **more}

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Ask as it is; ``headers`` go before those that the page would send, None leaves one out."""
        connection = http.client.HTTPConnection(self.host, timeout=DEADLINE_SECONDS)
        own = {"Content-Type": "application/json", TOKEN_HEADER: self.token} if method == "POST" else {}
        sent = {name: value for name, value in {**own, **(headers or {})}.items() if value is not None}
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )
        finally:
            connection.close()

    def ask(self, route: str, view: Mapping[str, Any]) -> Answer:
        return self.request("POST", f"/api/{route}", json.dumps(view).encode())

    def lines(self, route: str, view: Mapping[str, Any]) -> tuple[Iterator[dict[str, Any]], Callable[[], None]]:
        """The lines of an answer, each as it comes, and what closes the connection."""
        connection = http.client.HTTPConnection(self.host, timeout=DEADLINE_SECONDS)
        headers = {"Content-Type": "application/json", TOKEN_HEADER: self.token}
        connection.request("POST", f"/api/{route}", json.dumps(view).encode(), headers)
        response = connection.getresponse()

        def close() -> None:
            response.close()
            connection.close()

        return map(json.loads, iter(response.readline, b"")), close


def together(*calls: Callable[[], Answer]) -> list[Answer]:
    """Answers to what is asked at the same time."""
    answers: list[Answer | None] = [None] * len(calls)
    ready = threading.Barrier(len(calls))

    def run(at: int) -> None:
        ready.wait()
        answers[at] = calls[at]()

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert None not in answers
    return [answer for answer in answers if answer is not None]
