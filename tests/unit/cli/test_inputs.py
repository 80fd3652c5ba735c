"""Outputs are refused before work starts, and nothing is made by asking."""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from headscope.cli import main
from headscope.cli.app import app
from headscope.cli.commands import expanded
from headscope.cli.inputs import check_outputs, prompt_files, read_profile
from headscope.errors import RequestError
from headscope.profiles.columns import Reading
from headscope.runs.folder import Run
from src.analysis import head_screening
from src.models import head_ablation
from src.reporting import phase6_report
from src.visualization import head_plots


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


NAMES_OR_PATHS = ("model", "profile", "sentiment")


def _commands(of: typer.Typer) -> Iterator[Callable[..., Any]]:
    yield from (command.callback for command in of.registered_commands if command.callback is not None)
    for group in of.registered_groups:
        assert group.typer_instance is not None
        yield from _commands(group.typer_instance)


def test_every_option_that_may_be_a_path_expands_a_leading_tilde() -> None:
    """No shell expands it in ``--out=~/x``. A law over all options, so that a new one cannot be forgotten."""
    apps = (app, head_screening.app, head_ablation.app, head_plots.app, phase6_report.app)
    seen: set[str] = set()
    for command in (command for each in apps for command in _commands(each)):
        for name, hint in typing.get_type_hints(command, include_extras=True).items():
            kinds = (
                [*typing.get_args(typing.get_args(hint)[0]), *typing.get_args(hint)] if typing.get_args(hint) else []
            )
            is_filter = command.__module__.endswith("cli.runs") and name == "model"
            if Path in kinds or (name in NAMES_OR_PATHS and not is_filter):
                (parameter,) = (each for each in typing.get_args(hint) if hasattr(each, "callback"))
                assert parameter.callback is expanded, f"{command.__module__}: {name}"
                seen.add(name)
    assert {"out", "output", "data_dir", "prompts_file", "run", "folder", "runs", "second", "output_dir"} <= seen
    assert set(NAMES_OR_PATHS) <= seen


def test_a_tilde_is_the_home_folder_on_the_command_line_and_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["profiles", "new", "~/joy"])
    assert left.value.code == 0
    assert (home / "joy" / "profile.yaml").is_file()
    with pytest.raises(SystemExit) as left:
        main(["profiles", "validate", "~/joy"])
    assert left.value.code == 0
    (home / "mine.txt").write_text("I am glad of it.\n")
    assert prompt_files(["joy=~/mine.txt"]) == {"joy": home / "mine.txt"}
    assert read_profile("~/joy", None, {"joy": Path("~/mine.txt")}).prompts_of("joy")
    with pytest.raises(RequestError, match=str(home)):
        Run.open("~/joy")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert expanded("demo") == "demo"
    assert expanded(None) is None
    with pytest.raises(RequestError, match="home folder is not known"):
        expanded("~nobody-of-this-name/x")


def test_columns_are_those_of_the_files_given_and_repeats_those_of_all(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("text,concept\nI am glad.,joy\nI am glad.,joy\n")
    (tmp_path / "mine.csv").write_text("body\nSo glad.\nSo glad.\n")
    reading = Reading(text_column="body", drop_duplicates=True)
    with pytest.raises(RequestError, match='no column "body"'):
        read_profile(str(tmp_path / "own.csv"), None, {}, reading)
    asked = read_profile(str(tmp_path / "own.csv"), None, {"joy": tmp_path / "mine.csv"}, reading)
    assert [prompt.text for prompt in asked.prompts_of("joy")] == ["So glad."]
