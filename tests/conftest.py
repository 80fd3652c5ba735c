"""Fixtures every room's tests share."""

from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parent.parent


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
