"""How a command line ends: results and exit codes, errors without a stack trace, signals that clean up.

0 done; 1 the work failed; 2 the request was wrong; 130 and 143 stopped by Ctrl-C or SIGTERM. An error headscope raises
on purpose is printed as it is, and so is one of the file system; HEADSCOPE_DEBUG=1 (``--debug``) shows the stack.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import typer

from headscope.errors import HeadscopeError

DEBUG = "HEADSCOPE_DEBUG"
WAIT_POLICY = "OMP_WAIT_POLICY"


def run_and_exit(app: typer.Typer, name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and leave with its exit code.

    Args:
        app: the command line.
        name: of the program, as its help shows it.
        arguments: without the program's name; None takes those of the process.

    Raises:
        SystemExit: always.
    """
    # Read once, when torch is loaded, which the verbs do. torch's threads spin while they wait for each other; beside
    # another busy process each wait then lasts until that process is interrupted (docs/benchmarks.md has the figures).
    os.environ.setdefault(WAIT_POLICY, "passive")
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        app(args=arguments, prog_name=name, obj=[name, *(sys.argv[1:] if arguments is None else arguments)])
    except (HeadscopeError, OSError) as error:
        if os.environ.get(DEBUG, "0") != "0":
            raise
        print(f"{name.split()[-1]}: {error}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, HeadscopeError) else 1)
    finally:
        signal.signal(signal.SIGTERM, before)
    sys.exit(0)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM unwinds the stack like Ctrl-C, so that ``with`` blocks leave no half file behind."""
    sys.exit(128 + number)
