"""A file of prompts and answers through the whole line and the verbs beside it, as a user types them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from headscope.models.loading import load_model
from headscope.runs.folder import Run
from headscope.terms import ANSWER_ACCURACY, ANSWER_PROB, ANSWERS
from tests.end_to_end.conftest import SMALL, Outcome, type_command
from tests.tolerances import effect_error

Typed = Callable[..., Outcome]
LONGEST = 5
"""Tokens of a name, for the bundled model knows no names: each adds the error of a log-probability."""
NAMES = ("Mary", "John", "Anna", "Tom")
FRAMES = (
    "When {a} and {b} went to the park, {s} gave a drink to",
    "Then {a} and {b} sat in the park, and {s} said hello to",
    "After {a} and {b} left the park, {s} wrote a letter to",
    "While {a} and {b} walked home, {s} passed the ball to",
    "Once {a} and {b} found the key, {s} showed it to",
    "As {a} and {b} looked at the lake, {s} told a story to",
)


def rows() -> list[str]:
    made: list[str] = []
    for t, frame in enumerate(FRAMES):
        for i in range(2):
            a, b, other = (NAMES[(i + t + k) % 4] for k in range(3))
            row = {
                "text": frame.format(a=a, b=b, s=b), "template": f"t{t}", "answers": [f" {a}"], "foils": [f" {b}"],
                "corrupted": frame.format(a=a, b=b, s=other),
            }  # fmt: skip
            made.append(json.dumps(row))
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the file."""
    here = tmp_path_factory.mktemp("tasks")
    (here / "giving.jsonl").write_text("\n".join(rows()), encoding="utf-8")
    ended = type_command("run", "--model", "demo", "--profile", here / "giving.jsonl", "--out", here / "run", *SMALL)
    assert ended.code == 0, ended.err
    return here


def test_a_run_measures_what_tasks_have_and_nothing_that_they_lack(folder: Path) -> None:
    run = Run.open(folder / "run")
    outcomes = set(run.table("effects")["outcome"])
    assert {ANSWERS, ANSWER_PROB, ANSWER_ACCURACY} <= outcomes
    assert not any(name.startswith(("lexicon_", "keyword_")) for name in outcomes)
    assert list(run.table("assay")["outcome"]) == [ANSWERS]
    accuracy = run.table("accuracy")
    assert list(accuracy["concept"]) == ["giving"]
    assert accuracy["estimate"].between(0.0, 1.0).all()
    assert set(run.table("verdicts")["concept"]) == {"giving"}
    assert set(run.table("patching")["concept"]) == {"giving"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("report.md", ("lexicon", "keyword", "concept prompt")),
        ("evidence.md", ("lexicon", "keyword", "concept prompt")),
        ("report.ja.md", ("語彙", "概念の語")),
        ("evidence.ja.md", ("語彙", "概念の語")),
    ],
)
def test_a_report_on_a_task_speaks_of_tasks(folder: Path, name: str, words: tuple[str, ...]) -> None:
    report = (folder / "run" / name).read_text(encoding="utf-8")
    table_of_files = [line for line in report.splitlines() if not line.startswith("|")]
    said = "\n".join(table_of_files)
    assert not [word for word in words if word in said.replace("keyword counting", "")]


def test_the_same_command_goes_on_and_other_processes_say_the_same(folder: Path) -> None:
    asked = ("sweep", "--model", "demo", "--profile", folder / "giving.jsonl", "--out")
    told = type_command(*asked, folder / "alone")
    assert told.code == 0
    assert "How often is it right?" in told.out + told.err
    assert type_command(*asked, folder / "many", "--workers", "2").code == 0
    alone, many = (folder / name / "tables" / "effects.csv" for name in ("alone", "many"))
    assert alone.read_bytes() == many.read_bytes()
    swept = pd.read_csv(alone)
    own = swept[(swept["outcome"] == ANSWERS) & (swept["edit"] == "mean")].set_index("heads")["estimate"]
    run = Run.open(folder / "run").table("effects")
    there = run[(run["outcome"] == ANSWERS) & (run["edit"] == "mean") & (run["role"] == "single")].set_index("heads")
    error = LONGEST * effect_error(load_model("demo"))  # the batches differ
    pd.testing.assert_series_equal(own, there["estimate"].reindex(own.index), check_names=False, rtol=0, atol=error)


def test_what_reads_a_run_reads_one_of_a_task(folder: Path) -> None:
    copied = folder / "copy"
    shutil.copytree(folder / "run", copied)
    assert type_command("report", copied, "--force").code == 0
    assert type_command("rank", copied, "--force").code == 0
    assert type_command("plot", copied, "--force").code == 0
    assert type_command("show", copied).code == 0
    assert type_command("compare", folder / "run", copied, "--out", folder / "compared").code == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("run", "--negative-control"), "a task has no negative control"),
        (("screen", "--protocol", "phase6"), "protocol phase6 looks for the words of concepts"),
    ],
)
def test_what_a_task_has_no_use_for_is_refused(folder: Path, more: tuple[str, ...], said: str) -> None:
    verb, *options = more
    out = folder / "refused"
    ended = type_command(verb, "--model", "demo", "--profile", folder / "giving.jsonl", "--out", out, *options)
    assert (ended.code, out.exists()) == (2, False)
    assert said in ended.err
