"""The bundled model, served as ``headscope explore`` serves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headscope.explore.serving import Explorer
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from tests.unit.explore.pages import Page


@pytest.fixture(scope="session")
def model() -> HeadModel:
    return load_model("demo", device="cpu")


@pytest.fixture(scope="session")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that prompts are kept in."""
    return tmp_path_factory.mktemp("kept") / "explored"


@pytest.fixture(scope="session")
def served(model: HeadModel, explored: Path) -> Iterator[Explorer]:
    with Explorer(model, keep=explored) as one:
        one.start()
        yield one


@pytest.fixture
def page(served: Explorer, request: pytest.FixtureRequest) -> Page:
    return Page(served.address, f"page-{abs(hash(request.node.nodeid))}")
