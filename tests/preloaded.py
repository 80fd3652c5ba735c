"""Command lines in processes that begin with torch imported, which takes most of a short command's time.

1. ``python -m tests.preloaded SOCKET`` imports the libraries, listens, and prints a line when it does.
2. A client (``CLIENT``, a script that imports next to nothing) sends its arguments, folder, environment and its three
   standard streams.
3. The server forks; the child takes all of them over and runs ``headscope`` or, as ``python`` would, ``-c`` or ``-m``.
   The client ends with the child's exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

LIBRARIES = (
    "torch", "transformers", "transformers.models.auto.modeling_auto", "transformers.models.gpt2.modeling_gpt2",
    "headscope.pipeline", "headscope.cli.app", "headscope.plots.writing", "headscope.report.page",
)  # fmt: skip
_MESSAGE_BYTES = 2**20

# What a reader's ``headscope`` and ``python`` are: arguments after the program's name go to the server.
CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = json.dumps([[{program!r}, *sys.argv[1:]], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(asked).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(asked)
    sys.exit(int(server.recv(16) or b"1"))
"""


@contextmanager
def server(folder: Path) -> Generator[str]:
    """The address of a server in ``folder``, which ends with the block."""
    address = str(folder / "preloaded.socket")
    command = [sys.executable, "-m", "tests.preloaded", address]
    with subprocess.Popen(command, cwd=Path(__file__).resolve().parents[1], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
            yield address
        finally:
            process.kill()


def _serve(address: str) -> NoReturn:
    for name in LIBRARIES:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever serves a client ends by itself
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    os.write(1, b"listening\n")
    while True:
        client, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _answer(client)
        client.close()


def _answer(client: socket.socket) -> NoReturn:
    """Run what one client asks for in a child, and tell the client how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(client, 4, 3)
    asked = b""
    while len(asked) < int.from_bytes(size, "big"):
        asked += client.recv(_MESSAGE_BYTES)
    words, folder, environment = json.loads(asked)
    child = os.fork()
    if child == 0:
        client.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        # The server's own were made for other files: one that can seek takes its successor for one, too.
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - to the end
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - to the end
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - to the end
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        _run(words)
    _, status = os.waitpid(child, 0)
    client.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _run(words: Sequence[str]) -> NoReturn:
    program, *arguments = words
    sys.path.insert(0, "")
    if program == "headscope":
        from headscope.cli import main

        main(arguments)
    kind, text, *rest = arguments
    sys.argv = [kind, *rest]
    if kind == "-m":
        runpy.run_module(text, run_name="__main__", alter_sys=True)
    elif kind == "-c":
        exec(compile(text, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - a document's own example
    else:
        raise SystemExit(f"python {kind} is not known here")
    sys.exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
