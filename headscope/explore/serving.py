"""The live view served on this machine alone: uvicorn on 127.0.0.1, in this thread or in one of its own.

There is no option for another address: whoever reaches the model reaches the machine's files through it (a profile is
written). From another machine it is reached through ``ssh -L``; docs/explore.md says how.
"""

from __future__ import annotations

import errno
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn

from headscope.errors import RequestError, WorkError
from headscope.explore.app import KEEP, explore_app
from headscope.explore.facts import check_run
from headscope.explore.work import Worker
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.runs.folder import Run

HOST = "127.0.0.1"
_GRACE_SECONDS = 5
_LAST_PORT = 65535


class Explorer:
    """A live view that is being served; a context manager that ends it.

    Attributes:
        address: of the page, with its token.
        port: on 127.0.0.1.
        warnings: what is to be known of what was asked, in sentences.
    """

    def __init__(
        self,
        model: HeadModel,
        *,
        run: Run | None = None,
        profile: Profile | None = None,
        keep: Path = KEEP,
        port: int | socket.socket = 0,
        language: str = "en",
        loaded: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the port; nothing is answered before ``serve`` or ``start``.

        Args:
            model: the model.
            run: gives its maps and verdicts, and its profile where none is named.
            profile: what edits and log-odds are made of; the bundled ``baseline`` by default.
            keep: the profile folder that prompts are added to.
            port: 0 for any that is free; or what ``listening`` gave.
            language: that the page begins in.
            loaded: keywords of ``load_model`` that are not its defaults, for the lines that reproduce what is shown.

        Raises:
            RequestError: the port is taken, or run and model do not fit.
            ProfileError: the run's profile cannot be read any more.
        """
        warning = None if run is None else check_run(run, model)
        self.warnings = () if warning is None else (warning,)
        self._socket = listening(port) if isinstance(port, int) else port
        self.port: int = self._socket.getsockname()[1]
        token = secrets.token_urlsafe(24)
        self.address = f"http://{HOST}:{self.port}/?token={token}"
        self._worker = Worker()
        with ExitStack() as undone:
            undone.callback(self._close)
            app = explore_app(
                model, profile, run, token=token, hosts=(f"{HOST}:{self.port}", f"localhost:{self.port}"), keep=keep,
                language=language, loaded=loaded, worker=self._worker,
            )  # fmt: skip
            undone.pop_all()
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off",
            ws="none", http="h11", loop="asyncio", timeout_graceful_shutdown=_GRACE_SECONDS,
        )  # fmt: skip
        self._server = _Server(config, self._worker.cancel_all)
        self._thread: threading.Thread | None = None

    def serve(self) -> None:
        """Answer until Ctrl-C, in this thread.

        Raises:
            KeyboardInterrupt: Ctrl-C, when all is let go.
        """
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._close()

    def start(self) -> None:
        """Answer from a thread of its own, until ``stop``.

        Raises:
            WorkError: the server does not start.
        """
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="headscope-explore", daemon=True
        )
        self._thread.start()
        while not self._server.is_answering.wait(timeout=1):
            if not self._thread.is_alive():
                self._close()
                raise WorkError("the server does not start", where=self.address)

    def stop(self) -> None:
        """End it and free the port; what runs is cancelled. A second call does nothing."""
        if self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        self._close()

    def _close(self) -> None:
        self._worker.close()
        self._socket.close()

    def __enter__(self) -> Explorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"headscope explore: {self.address}"


class _Server(uvicorn.Server):
    """Says when it answers, and cancels what runs when it ends, so that no connection is waited for."""

    def __init__(self, config: uvicorn.Config, cancel_all: Callable[[], None]) -> None:
        super().__init__(config)
        self.is_answering = threading.Event()
        self._cancel_all = cancel_all

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_answering.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._cancel_all()
        await super().shutdown(sockets)


def listening(port: int) -> socket.socket:
    """A socket that listens on this machine alone.

    Raises:
        RequestError: another program has the port, or it may not be taken.
    """
    if not 0 <= port <= _LAST_PORT:
        raise RequestError("there is no such port", expected=f"0 to {_LAST_PORT}", got=str(port))
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise RequestError(
            f"port {port} is taken by another program" if taken else f"port {port} cannot be taken",
            got=error.strerror,
            fix="--port N with another number, or leave it out for any that is free",
        ) from error
