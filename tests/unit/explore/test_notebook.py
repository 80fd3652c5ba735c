"""``headscope.explore``: below a notebook's cell where IPython runs, its address elsewhere; ``stop`` frees the port."""

from __future__ import annotations

import importlib
import importlib.util
import socket
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

import headscope as hs
from headscope.errors import RequestError
from headscope.explore.notebook import explore
from headscope.models.head_model import HeadModel
from tests.unit.explore.pages import Page


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    config = Config()
    config.HistoryManager.enabled = False  # no file in the home folder, no thread
    yield InteractiveShell.instance(config=config)
    InteractiveShell.clear_instance()


def is_free(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) != 0


def test_in_a_notebook_it_stands_in_a_frame_below_the_cell(
    shell: InteractiveShell, model: HeadModel, tmp_path: Path
) -> None:
    assert shell is not None
    with capture_output() as captured:
        served = explore(model, keep=tmp_path / "kept", height=321)
    with served:
        (shown,) = captured.outputs
        html = shown.data["text/html"]
        assert "<iframe" in html
        assert f'src="{served.address}"' in html
        assert 'height="321"' in html
        assert captured.stdout == ""
        page = Page(served.address)
        answer = page.request("GET", f"/?token={page.token}")
        assert "frame-ancestors http://localhost:* http://127.0.0.1:*" in answer.headers["content-security-policy"]
    assert is_free(served.port)


def test_elsewhere_it_prints_its_address_and_answers(
    model: HeadModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(threading.enumerate())
    with explore(model, keep=tmp_path / "kept") as served:
        assert capsys.readouterr().out.strip() == served.address
        assert Page(served.address).ask("look", Page(served.address).view()).kinds[-1] == "end"
        assert not is_free(served.port)
        assert served.address in repr(served)
    served.stop()  # again, which does nothing
    assert is_free(served.port)
    assert set(threading.enumerate()) == before


def test_a_port_that_is_free_again_can_be_asked_for(model: HeadModel, tmp_path: Path) -> None:
    with explore(model, keep=tmp_path / "kept") as served:
        port = served.port
        with pytest.raises(RequestError, match=f"port {port} is taken by another program"):
            explore(model, keep=tmp_path / "kept", port=port)
    with explore(model, keep=tmp_path / "kept", port=port) as again:
        assert again.port == port
        assert again.address != served.address  # the token is another


def test_the_public_name_is_the_function_whatever_was_imported_before(
    model: HeadModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package: Any = importlib.import_module("headscope.explore")
    monkeypatch.delitem(vars(hs), "explore", raising=False)
    assert hs.explore is explore
    with package(model, keep=tmp_path / "kept") as served:
        assert served.port


def test_without_the_extra_a_sentence_says_how_to_get_it(model: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "uvicorn" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(
        RequestError, match=r'uvicorn is not installed\n  what to do: pip install "headscope\[explore\]"'
    ):
        explore(model)


def test_an_unknown_language_and_an_unknown_run_are_refused(model: HeadModel, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match='in "xx"'):
        explore(model, language="xx")
    with pytest.raises(RequestError):
        explore(model, tmp_path / "no run")
