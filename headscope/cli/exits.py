"""How a command line ends: results and exit codes, errors without a stack trace, signals that clean up.

0 done; 1 the work failed; 2 the request was wrong; 70 a fault of headscope; 130 and 143 stopped by Ctrl-C or SIGTERM.
An error headscope raises on purpose is printed as it is, and so is one of the file system. Any other is a fault: its
stack trace goes into a file, which the message names. HEADSCOPE_DEBUG=1 (``--debug``) shows the stack instead. Where
nobody reads the output any more (``| head``) the command ends quietly, with 1.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import typer

import headscope
from headscope.cli import console
from headscope.errors import HeadscopeError

DEBUG = "HEADSCOPE_DEBUG"
WAIT_POLICY = "OMP_WAIT_POLICY"
FAULT_CODE = 70  # EX_SOFTWARE, "internal software error", of BSD's sysexits.h


def run_and_exit(app: typer.Typer, name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and leave with its exit code.

    Raises:
        SystemExit: always.
    """
    # Read once, when torch is loaded, which the verbs do. torch's threads spin while they wait for each other; beside
    # another busy process each wait then lasts until that process is interrupted (docs/benchmarks.md has the figures).
    os.environ.setdefault(WAIT_POLICY, "passive")
    command = [name, *(sys.argv[1:] if arguments is None else arguments)]
    before = signal.signal(signal.SIGTERM, _stop)
    console.show_what_can_be_shown()
    try:
        code = _run(app, command, arguments)
    finally:
        signal.signal(signal.SIGTERM, before)
    sys.exit(_flushed(code))


def _run(app: typer.Typer, command: list[str], arguments: Sequence[str] | None) -> Any:
    """The exit code of a command line, its error told."""
    name = command[0]
    try:
        app(args=arguments, prog_name=name, obj=command)
    except SystemExit as left:
        return left.code
    except Exception as error:
        if os.environ.get(DEBUG, "0") != "0":
            raise
        told, code = _told(error, command)
        with contextlib.suppress(BrokenPipeError):
            print(f"{name.split()[-1]}: {told}", file=sys.stderr)
        return code
    return 0


def _told(error: Exception, command: list[str]) -> tuple[str, int]:
    if isinstance(error, HeadscopeError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        return str(error), 1
    if isinstance(error, MemoryError):
        return "memory ran out" + (f": {error}" if str(error) else ""), 1
    first_line = next(iter(str(error).splitlines()), "")
    fault = HeadscopeError(
        "a fault of headscope: please report it",
        got=f"{type(error).__name__}: {first_line}"[:200],
        where=f"{_keep_trace(error, command)}, which holds the stack trace",
        fix="look that file over and send it with your report",
    )
    return str(fault), FAULT_CODE


def _keep_trace(error: Exception, command: list[str]) -> str:
    """The name of a new file with the stack trace; where none can be written, the stack trace itself."""
    facts = f"headscope {headscope.__version__}, Python {platform.python_version()}, {platform.platform()}"
    trace = "".join([f"{command}\n{facts}\n\n", *traceback.format_exception(error)])
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", errors="backslashreplace", prefix="headscope-fault-", suffix=".txt", delete=False
        ) as file:
            file.write(trace)
    except OSError:
        return trace
    return file.name


def _flushed(code: Any) -> Any:
    """``code``, or 1 where what was printed cannot be brought to its reader."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] - a process without a console has none
        return code
    try:
        sys.stdout.flush()
    except OSError as error:
        # Else the interpreter would try again at its end, fail again, and say so with a stack trace of its own.
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"output cannot be written: {error.strerror}", file=sys.stderr)
        return code or 1
    return code


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM unwinds the stack like Ctrl-C, so that ``with`` blocks leave no half file behind."""
    sys.exit(128 + number)
