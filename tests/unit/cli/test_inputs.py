"""Outputs are refused before work starts, and nothing is made by asking."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headscope.cli.inputs import check_outputs, prompt_files
from headscope.errors import RequestError


def test_a_good_output_passes_and_nothing_is_made(tmp_path: Path) -> None:
    check_outputs(tmp_path / "run", tmp_path / "new" / "deep" / "scores.json", ".json")
    check_outputs(None)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_output_file(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is a folder"):
        check_outputs(None, tmp_path, ".json")


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"expected: \.json or \.pkl\n  got: \.csv"):
        check_outputs(None, tmp_path / "out.csv", ".json", ".pkl")


def test_a_file_is_no_folder_to_write_in(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(RequestError, match="got: a file"):
        check_outputs(None, tmp_path / "notes" / "scores.json", ".json")
    with pytest.raises(RequestError, match="got: a file"):
        check_outputs(tmp_path / "notes")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RequestError, match="cannot be written to"):
        check_outputs(tmp_path / "run")


def test_prompt_files_are_read_as_assignments() -> None:
    assert prompt_files(["joy=a=b.json", "neutral=n.txt"]) == {"joy": Path("a=b.json"), "neutral": Path("n.txt")}


@pytest.mark.parametrize("assignment", ["joy", "joy=", "=a.json", ""])
def test_a_malformed_assignment_is_refused(assignment: str) -> None:
    with pytest.raises(RequestError, match="CLASS=FILE"):
        prompt_files([assignment])


def test_a_class_is_given_once() -> None:
    with pytest.raises(RequestError, match='gives "joy" twice'):
        prompt_files(["joy=a.json", "joy=b.json"])
