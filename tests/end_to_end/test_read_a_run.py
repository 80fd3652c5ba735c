"""rank, plot, report and show work from the run folder alone, with torch and transformers out of reach."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Outcome

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers"}:
            raise ModuleNotFoundError(f"{name} is out of reach in this test")

sys.meta_path.insert(0, Blocked())
from headscope.cli import main
main(sys.argv[1:])
"""


@pytest.fixture
def folder(small_run: tuple[Path, Outcome], tmp_path: Path) -> Path:
    assert small_run[1].code == 0, small_run[1].err
    return Path(shutil.copytree(small_run[0], tmp_path / "run"))


def _without_torch(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize(
    "command",
    [
        ("rank",),
        ("rank", "--by", "effect", "--signed", "--top-n", "3", "--force"),
        ("plot", "--force"),
        ("report", "--force"),
        ("show",),
        ("show", "--table", "effects"),
        ("show", "--json"),
    ],
    ids=" ".join,
)
def test_later_verbs_need_no_model_library(command: tuple[str, ...], folder: Path) -> None:
    done = _without_torch(command[0], folder, *command[1:])
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_derived_files_come_out_the_same_from_the_folder(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for command in (("rank",), ("plot",), ("report",)):
        done = _without_torch(*command, folder)
        assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_derived_file_is_replaced_only_by_force(folder: Path) -> None:
    refused = _without_torch("rank", folder, "--top-n", "2")
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert _without_torch("rank", folder, "--top-n", "2", "--force").returncode == 0


def test_show_prints_a_table_as_it_is_kept(folder: Path) -> None:
    shown = _without_torch("show", folder, "--table", "ranking")
    assert shown.stdout == (folder / "tables" / "ranking.csv").read_text(encoding="utf-8")
    facts = json.loads(_without_torch("show", folder, "--json").stdout)
    assert facts["status"] == "finished"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for verb in ("rank", "plot", "report", "show"):
        done = _without_torch(verb, tmp_path)
        assert done.returncode == 2
        assert "not a run folder" in done.stderr
    assert list(tmp_path.iterdir()) == []
