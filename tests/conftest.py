"""Fixtures every room's tests share, figures that tests print at the end, and the check of every array's shape."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import shape_checks

shape_checks.install()  # before anything of headscope is imported

PROJECT_ROOT = Path(__file__).resolve().parent.parent
FIGURES = pytest.StashKey[list[str]]()
LONG_FILES = ("tests/faults", "tests/end_to_end", "tests/docs", "tests/browser")


def pytest_configure() -> None:
    """A shell's background jobs ignore SIGINT, and so would the processes that tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come first, so that two processes that share the files end together."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG_FILES))


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Adds a line to the figures that are printed when all tests are done."""
    return request.config.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(FIGURES, []):
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The root of the checkout."""
    return PROJECT_ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the checkout; the test skips where it is missing."""
    folder = PROJECT_ROOT.parent / "shared"
    if not (folder / "README.md").is_file():
        pytest.skip("reference material (../shared) is not beside this checkout")
    return folder
