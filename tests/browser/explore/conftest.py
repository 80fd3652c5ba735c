"""The live view, served: by the command in a process of its own, and from this one where numbers are compared."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headscope.explore.serving import Explorer
from headscope.models.checkpoints import find_checkpoint
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile
from headscope.runs.folder import Run
from tests.browser.conftest import Page
from tests.browser.explore.live_view import LiveView
from tests.conftest import PROJECT_ROOT
from tests.end_to_end.conftest import SMALL, type_command, write_profile

TEMPLATE = "{% for m in messages %}### {{ m.role }}: {{ m.content }}\n{% endfor %}### Answer: I am so"


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile folder that the page adds prompts to."""
    return tmp_path_factory.mktemp("explored") / "mine"


@pytest.fixture(scope="session")
def command_address(kept: Path, page: Page) -> Iterator[str]:
    """``headscope explore demo`` in a process of its own: its address. It ends with Ctrl-C."""
    del page  # without a browser nothing is started
    command = [sys.executable, "-m", "headscope", "explore", "demo", "--no-browser", "--keep", str(kept)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=kept.parent, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        yield next(found[0] for found in (re.search(r"http://\S+", line) for line in lines) if found)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


@pytest.fixture
def live(page: Page, command_address: str) -> LiveView:
    """The page of the command."""
    return LiveView(page, command_address)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two concepts of the bundled profile, seven templates."""
    prompts = load_profile("baseline").prompts
    return write_profile(tmp_path_factory.mktemp("profiles") / "small", prompts, ("gratitude", "anger"), 7)


@pytest.fixture(scope="session")
def small_profile(small: Path) -> Profile:
    return load_profile(str(small))


@pytest.fixture(scope="session")
def finished_run(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A whole run of that profile on the bundled model."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    told = type_command("run", "--model", "demo", "--profile", small, "--out", folder, *SMALL)
    assert told.code == 0, told.err
    return Run.open(folder)


@pytest.fixture(scope="session")
def run_address(finished_run: Run, page: Page, kept: Path) -> Iterator[str]:
    """The view of that run, served from this process."""
    del page
    with Explorer(load_model("demo"), run=finished_run, keep=kept.parent / "of_run") as served:
        served.start()
        yield served.address


@pytest.fixture
def live_run(page: Page, run_address: str) -> LiveView:
    """The page of a run."""
    return LiveView(page, run_address)


@pytest.fixture(scope="session")
def chat_address(page: Page, tmp_path_factory: pytest.TempPathFactory, kept: Path) -> Iterator[str]:
    """The bundled model with a chat template."""
    del page
    folder = tmp_path_factory.mktemp("chat") / "demo"
    shutil.copytree(find_checkpoint("demo").path, folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": TEMPLATE}))
    with Explorer(load_model(str(folder)), keep=kept.parent / "of_chat") as served:
        served.start()
        yield served.address


@pytest.fixture
def live_chat(page: Page, chat_address: str) -> LiveView:
    """The page of a model that chats."""
    return LiveView(page, chat_address)
