"""What a run says about its making, and that reading one needs no model library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import headscope
from headscope.runs import provenance
from headscope.runs.folder import Run
from headscope.runs.provenance import git_state, machine, package_versions
from tests.unit.runs.test_folder import filled, request

READER = """
import sys
sys.path.insert(0, sys.argv[1])
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
import headscope.profiles.catalog, headscope.profiles.scaffold, headscope.runs.phase6, headscope.runs.schemas
import headscope.runs.provenance
from headscope.profiles.loading import load_profile
from headscope.runs.folder import Run
run = Run.open(sys.argv[2])
n_prompts = len(load_profile("baseline").prompts)
print(run.manifest.status, *run.tables, *run.read_arrays(), len(run.table("layers")), n_prompts)
"""


def test_a_run_is_read_with_torch_and_transformers_blocked(tmp_path: Path, project_root: Path) -> None:
    with Run.create(tmp_path / "r", request()) as run:
        filled(run)
    command = [sys.executable, "-c", READER, str(project_root), str(run.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["finished", "coverage", "layers", "screen", "2", "280"], done.stderr


def test_versions_name_headscope_python_and_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = package_versions()
    assert versions["headscope"] == headscope.__version__
    assert {"python", "numpy", "xarray"} <= set(versions)
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package-at-all",))
    assert set(package_versions()) == {"headscope", "python"}


def test_the_state_of_a_checkout_is_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert git_state(tmp_path) is None
    git("init", "-q")
    (tmp_path / "__init__.py").write_text("")
    git("add", "__init__.py")
    git("commit", "-q", "-m", "first")
    assert git_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "changed": False}
    (tmp_path / "__init__.py").write_text("x = 1\n")
    assert git_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "changed": True}
    # Installed into some other project's checkout, as a virtual environment inside it is: not its source.
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "__init__.py").write_text("")
    assert git_state(tmp_path / "installed") is None


def test_without_git_there_is_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state() is None


def test_the_machine_tells_what_it_was_given() -> None:
    facts = machine(device="cpu", threads=2)
    assert (facts["device"], facts["threads"]) == ("cpu", 2)
    assert facts["processors"] >= 1
