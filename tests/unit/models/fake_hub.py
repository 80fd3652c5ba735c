"""A hub of its own on 127.0.0.1: what of the real one's answers a download needs, and what it was asked."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e"


@dataclass
class FakeHub:
    """One model, ``some/model``, at one commit, by the names ``main``, ``v1`` and the commit's own.

    Attributes:
        files: of the model.
        status: of every answer, with the hub's name for the error; None for answers as they should be.
        asked: "METHOD path" of every request.
        silent: an event to wait for before any answer; None to answer at once.
        endpoint: its address.
    """

    files: dict[str, bytes]
    status: tuple[int, str] | None = None
    asked: list[str] = field(default_factory=list)
    silent: threading.Event | None = None
    endpoint: str = ""


def _answer(hub: FakeHub, path: str) -> tuple[int, dict[str, str], bytes]:
    if hub.status is not None:
        return hub.status[0], {"X-Error-Code": hub.status[1]}, b"{}"
    parts = unquote(path).strip("/").split("/")
    names = ("main", "v1", COMMIT, COMMIT[:7])
    if parts[:4] == ["api", "models", "some", "model"]:
        revision = parts[5] if len(parts) > 5 else "main"
        if revision not in names:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        listed = [{"rfilename": name} for name in hub.files]
        if parts[4:5] == ["tree"]:
            listed = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}  # noqa: S324
                for name, data in hub.files.items()
            ]
            return 200, {"Content-Type": "application/json"}, json.dumps(listed).encode()
        told = {"id": "some/model", "modelId": "some/model", "sha": COMMIT, "siblings": listed, "tags": []}
        return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()
    if parts[:3] == ["some", "model", "resolve"] and parts[3] in names and parts[4] in hub.files:
        data = hub.files[parts[4]]
        etag = hashlib.sha1(data).hexdigest()  # noqa: S324
        return 200, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Content-Length": str(len(data))}, data
    return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"


@contextmanager
def serving(hub: FakeHub) -> Generator[FakeHub]:
    """The hub, answering at ``hub.endpoint`` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            if hub.silent is not None:
                hub.silent.wait()
            code, headers, body = _answer(hub, urlparse(self.path).path)
            self.send_response(code)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the library's name

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        if hub.silent is not None:
            hub.silent.set()
        server.shutdown()
        server.server_close()
        thread.join()


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a checkpoint folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
