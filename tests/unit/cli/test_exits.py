"""What the command line leaves behind: an exit code, one message, no stack trace, no half file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import typer

from headscope.cli.exits import DEBUG, WAIT_POLICY, run_and_exit
from headscope.errors import HeadscopeError, LawError, ProfileError, WorkError


def _leave(work: object, monkeypatch: pytest.MonkeyPatch | None = None) -> int:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(work)  # type: ignore[arg-type]
    with pytest.raises(SystemExit) as left:
        run_and_exit(app, "headscope", [])
    assert isinstance(left.value.code, int)
    return left.value.code


def _raise(error: BaseException) -> object:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProfileError("no such profile", expected="baseline", got="basline"), 2),
        (WorkError("logits are NaN"), 1),
        (LawError("breaks a law"), 1),
        (OSError(28, "No space left on device"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_gives_its_exit_code_and_no_stack(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _leave(_raise(error)) == code
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert printed.out == ""
    if isinstance(error, HeadscopeError):
        assert printed.err == f"headscope: {error}\n"


@pytest.mark.parametrize(("users", "found"), [(None, "passive"), ("active", "active")])
def test_threads_wait_without_spinning_unless_the_user_says_otherwise(
    users: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WAIT_POLICY, users) if users else monkeypatch.delenv(WAIT_POLICY, raising=False)
    seen: list[str | None] = []
    assert _leave(lambda: seen.append(os.environ.get(WAIT_POLICY))) == 0
    assert seen == [found]


def test_debug_shows_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEBUG, "1")
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(_raise(WorkError("logits are NaN")))  # type: ignore[arg-type]
    with pytest.raises(WorkError):
        run_and_exit(app, "headscope", [])


def test_done_is_zero() -> None:
    def work() -> None: ...

    assert _leave(work) == 0


def test_a_signal_unwinds_the_stack_and_leaves_no_half_file(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import sys, time, typer
        from pathlib import Path
        from headscope.cli.exits import run_and_exit

        def work():
            half = Path(sys.argv[1])
            half.write_text("half")
            try:
                print("ready", flush=True)
                time.sleep(60)
            finally:
                half.unlink()

        app = typer.Typer()
        app.command()(work)
        run_and_exit(app, "headscope", [])
        """
    )
    for number, code_wanted in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        half = tmp_path / "half"
        with subprocess.Popen(
            [sys.executable, "-c", code, str(half)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[3],
            env={**os.environ, DEBUG: "0"},
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            assert process.wait(timeout=30) == code_wanted
            assert "Traceback" not in (process.stderr.read() if process.stderr else "")
        assert not half.exists()
