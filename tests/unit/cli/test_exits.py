"""What the command line leaves behind: an exit code, one message, no stack trace, no half file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
import typer

from headscope.cli.exits import DEBUG, FAULT_CODE, WAIT_POLICY, run_and_exit
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
        (MemoryError("Unable to allocate 9 EiB"), 1),
        (SystemExit(143), 143),
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


@pytest.mark.parametrize(
    "error", [KeyError("the planted fault"), RecursionError("the planted fault"), ValueError("the planted fault\ud800")]
)
def test_a_fault_of_headscope_gets_a_sentence_and_a_file_with_its_trace(
    error: Exception, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert _leave(_raise(error)) == FAULT_CODE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "headscope: a fault of headscope: please report it" in printed.err
    assert type(error).__name__ in printed.err
    assert "Traceback" not in printed.err
    (kept,) = tmp_path.iterdir()
    assert str(kept) in printed.err
    trace = kept.read_text(encoding="utf-8")
    assert "Traceback" in trace
    assert "the planted fault" in trace
    assert "['headscope']\nheadscope " in trace


def test_a_fault_where_no_file_can_be_written_shows_its_trace(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert _leave(_raise(KeyError("the planted fault"))) == FAULT_CODE
    assert "Traceback" in capsys.readouterr().err


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
        import signal, sys, typer
        from pathlib import Path
        from headscope.cli.exits import run_and_exit

        def work():
            half = Path(sys.argv[1])
            half.write_text("half")
            try:
                print("ready", flush=True)
                signal.pause()
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
            assert process.wait(timeout=300) == code_wanted
            assert "Traceback" not in (process.stderr.read() if process.stderr else "")
        assert not half.exists()


def _typed(*words: str, encoding: str = "utf-8", stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "headscope", *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[3],
        env={**os.environ, DEBUG: "0", "PYTHONIOENCODING": encoding, "PYTHONUNBUFFERED": ""},
        check=False,
    )


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = _typed("profiles", "list", stdout=writer)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_output_that_finds_no_room_gets_a_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        ended = _typed("profiles", "list", stdout=full.fileno())
    assert ended.returncode == 1
    assert ended.stderr.endswith(b"No space left on device\n")
    assert ended.stderr.count(b"\n") == 1, "one sentence, and no stack trace of the interpreter's"


def test_a_windows_console_shows_what_it_can(tmp_path: Path) -> None:
    (tmp_path / "喜び.json").write_text('["It is a joy, 🙂 said Ōe."]', encoding="utf-8")
    ended = _typed("profiles", "validate", str(tmp_path / "喜び.json"), encoding="cp1252")
    assert ended.returncode == 0
    assert b"\\u559c\\u3073: 0 errors" in ended.stdout.replace(b".json", b"")
    assert b"Traceback" not in ended.stderr
