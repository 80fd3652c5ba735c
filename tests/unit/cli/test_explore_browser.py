"""A browser is opened where there is one with a window of its own; the terminal is never taken."""

from __future__ import annotations

import webbrowser
from typing import Any

import pytest

from headscope.cli import explore

ADDRESS = "http://127.0.0.1:1/?token=x"


class Windowed(webbrowser.BaseBrowser):
    """A browser that keeps what it is asked to open."""

    def __init__(self) -> None:
        super().__init__("windowed")
        self.opened: list[str] = []

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        self.opened.append(url)
        return True


def test_a_browser_with_a_window_gets_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Windowed()
    monkeypatch.setattr(webbrowser, "get", lambda: browser)
    assert explore.opened_in_browser(ADDRESS)
    assert browser.opened == [ADDRESS]


def test_a_browser_of_the_terminal_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    browser = webbrowser.GenericBrowser("lynx")
    monkeypatch.setattr(browser, "open", lambda *_: pytest.fail("the terminal was taken"))
    monkeypatch.setattr(webbrowser, "get", lambda: browser)
    assert not explore.opened_in_browser(ADDRESS)


def test_where_there_is_no_browser_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    assert not explore.opened_in_browser(ADDRESS)


@pytest.mark.parametrize(("value", "told"), [(None, False), ("10.0.0.1 50000 10.0.0.2 22", True)])
def test_over_ssh_the_line_that_forwards_the_port_is_told(
    value: str | None, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    if value is not None:
        monkeypatch.setenv("SSH_CONNECTION", value)
    assert ("ssh -L 8765:127.0.0.1:8765" in explore.how_to_end(8765)) is told
