"""``headscope explore`` as a user types it: it prints its address, answers there, and ends at Ctrl-C."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Outcome
from tests.unit.explore.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 300  # ends a test that hangs
_PROGRAM = """
import sys, threading
from headscope.cli import main
try:
    main(sys.argv[1:])
finally:
    print("threads:", *(one.name for one in threading.enumerate()), file=sys.stderr)
"""


@contextmanager
def exploring(*words: str, folder: Path) -> Generator[tuple[subprocess.Popen[str], Page]]:
    """The command, running, and a page of it."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "explore", "demo", "--no-browser", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            yield process, Page(process.stdout.readline().strip())
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"])
def test_it_prints_its_address_answers_there_and_ends_with_the_signal(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    with exploring(folder=tmp_path) as (process, page):
        assert page.address.startswith("http://127.0.0.1:")
        assert page.request("GET", f"/?token={page.token}").status == 200
        assert page.ask("look", page.view(edits=[{"heads": "3:3", "kind": "zero"}])).kinds[-1] == "end"
        lines, close = page.lines("write", page.view("I am", max_tokens=150))
        assert [next(lines)["event"] for _ in range(2)] == ["take", "piece"]
        process.send_signal(number)  # while a text is being written
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
        close()
        assert process.returncode == code, err
        assert out == ""
        assert "Ctrl-C ends it." in err
        assert ("headscope explore has ended" in err) == (code == 0)
        assert "threads: MainThread\n" in err
        assert "Traceback" not in err
        assert page.token not in err
    assert list(tmp_path.iterdir()) == []


def test_it_listens_on_this_machine_alone_and_keeps_where_it_was_told(tmp_path: Path) -> None:
    with exploring("--keep", "mine", "--language", "ja", folder=tmp_path) as (process, page):
        kept = page.ask("keep", page.view("I am thankful for all of it.", concept="gratitude"))
        assert kept.json["path"] == "mine/prompts.jsonl"
        assert '"language":"ja"' in page.request("GET", f"/?token={page.token}").body.decode()
        with socket.socket() as other:  # another address of this machine, which a server on 0.0.0.0 would answer
            assert other.connect_ex(("127.0.0.2", int(page.host.partition(":")[2]))) != 0
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE_SECONDS)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_there_is_no_way_to_share_it(headscope: Callable[..., Outcome]) -> None:
    shown = headscope("explore", "--help")
    assert shown.code == 0
    assert "--share" not in shown.out
    assert "--host" not in shown.out
    for option in ("--share", "--host=0.0.0.0"):
        assert headscope("explore", "demo", option).code == 2


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded(headscope: Callable[..., Outcome]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = headscope("explore", "demo", "--no-browser", "--port", str(port))
    assert told.code == 2
    assert f"port {port} is taken by another program" in told.err
    assert "loading" not in told.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--port", "65536"), "there is no such port"),
        (("--port", "-1"), "--port"),
        (("--run", "nowhere"), "nowhere"),
        (("--profile", "basline"), 'profile "basline" does not exist'),
        (("--language", "xx"), 'in "xx"'),
        (("--keep", "file/inside"), "output folder cannot be made"),
    ],
)
def test_a_wrong_request_is_told_in_a_sentence_before_the_model_is_loaded(
    words: tuple[str, ...], told: str, headscope: Callable[..., Outcome]
) -> None:
    Path("file").write_text("")
    ended = headscope("explore", "demo", "--no-browser", *words)
    assert ended.code == 2
    assert told in ended.err
    assert "loading" not in ended.err
    assert [path.name for path in Path().iterdir()] == ["file"]


@pytest.mark.parametrize("words", [(), ("demo", "--model", "demo")], ids=["none", "two"])
def test_one_model_is_explored(words: tuple[str, ...], headscope: Callable[..., Outcome]) -> None:
    ended = headscope("explore", *words)
    assert ended.code == 2
    assert "one model is explored" in ended.err


def test_the_model_may_be_named_as_other_commands_take_it(headscope: Callable[..., Outcome]) -> None:
    ended = headscope("explore", "-m", "./nowhere", "--no-browser")
    assert ended.code == 2
    assert "loading ./nowhere" in ended.err


def test_a_model_that_is_not_there_is_told_and_the_port_is_free_again(headscope: Callable[..., Outcome]) -> None:
    ended = headscope("explore", "./nowhere", "--no-browser")
    assert ended.code == 2
    assert "nowhere" in ended.err


def test_without_the_extra_a_sentence_says_how_to_get_it(
    headscope: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in ("starlette", "uvicorn") else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    ended = headscope("explore", "demo")
    assert ended.code == 2
    assert "Starlette and uvicorn are not installed" in ended.err
    assert 'pip install "headscope[explore]"' in ended.err
