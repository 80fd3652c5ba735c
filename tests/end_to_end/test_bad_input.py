"""A wrong request: exit code 2, a message that says what was wrong, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Outcome

Headscope = Callable[..., Outcome]
SCREEN = ("screen", "--model", "demo")
ABLATE = ("ablate", "--model", "demo", "--heads", "0:0")


def _refused(ended: Outcome, folder: Path, *words: str, kept: tuple[str, ...] = ()) -> None:
    assert ended.code == 2, f"{ended.out}\n{ended.err}"
    assert ended.out == ""
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err, f"{word!r} is not in:\n{ended.err}"
    assert sorted(path.name for path in folder.iterdir()) == sorted(kept)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((*SCREEN, "--profile", "basline"), ('"basline" does not exist', 'did you mean "baseline"?')),
        ((*SCREEN, "--concept", "joy"), ('concept "joy"', "gratitude, anger, apology")),
        ((*SCREEN, "--emotion", "joy"), ('concept "joy"',)),
        ((*SCREEN, "--protocol", "phase7"), ('protocol "phase7" does not exist', "matched, phase6")),
        ((*SCREEN, "--query", "first"), ('query "first" does not exist', "last, after, self")),
        ((*ABLATE, "--edit", "median"), ('edit "median" does not exist', "mean, zero")),
        ((*ABLATE, "--value-bias", "drop"), ('value bias "drop" does not exist',)),
        ((*ABLATE, "--scope", "prompt"), ("scope cannot be prompt", "all or generated")),
        ((*ABLATE, "--keyword-counting", "all"), ('keyword counting "all" does not exist',)),
        ((*ABLATE, "--greedy", "--samples", "2"), ("greedy", "samples 1")),
        (("ablate", "--model", "demo", "--heads", "1;2"), ('"1;2" is malformed', '"1:10"')),
        (("ablate", "--model", "demo", "--heads", "99:0"), ("99:0 does not exist", "4 layers of 4 heads")),
        (("ablate", "--model", "demo", "--heads", "0:4"), ("0:4 does not exist",)),
        (("ablate", "--model", "demo", "--heads", "0:0,0:0"), ("0:0 stands twice",)),
        (("sweep", "--model", "demo", "--heads", "3:9-2"), ("runs backwards",)),
        (("run", "--model", "demo", "--edit", "zero"), ('"mean" decides',)),
        (("run", "--model", "demo", "--edit", "mean", "--edit", "median"), ('edit "median" does not exist',)),
        (("run", "--model", "demo", "--top-k", "17"), ("top_k does not fit the model", "1 to 16")),
        ((*SCREEN[:2], "./nowhere"), ('no folder "./nowhere"', "what to do")),
        ((*SCREEN, "--device", "abacus"), ('device "abacus"',)),
        ((*SCREEN, "--dtype", "float12"), ('dtype "float12" does not exist',)),
        ((*SCREEN, "--prompts", "gratitude"), ("CLASS=FILE",)),
        ((*SCREEN, "--prompts", "joy=joy.txt"), ('no class "joy"',)),
        ((*SCREEN, "--data-dir", "nowhere"), ('no file for the prompts of "gratitude"', "nowhere")),
        ((*SCREEN, "--output", "scores.csv"), ("ending", ".json")),
        ((*ABLATE, "--output", "ablation.txt"), ("ending", ".json or .pkl")),
        ((*ABLATE, "--output", "a.pkl", "--no-generate"), ("--no-generate",)),
        ((*ABLATE, "--prompts-file", "mine.txt"), ("--concept NAME",)),
        (("show", "runs/nowhere"), ("not a run folder",)),
        (("profiles", "show", "nowhere"), ('"nowhere" does not exist',)),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_a_wrong_word_is_named(
    command: tuple[str, ...], words: tuple[str, ...], headscope: Headscope, tmp_path: Path
) -> None:
    _refused(headscope(*command), tmp_path, *words)


FILES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty.json": (b"", ("file is empty",)),
    "latin1.txt": ("Merci, c'était très gentil.\n".encode("latin-1"), ("not UTF-8", "line 1")),
    "broken.json": (b'{"prompts": ["I am grateful.",\n "so am I"', ("line 2",)),
    "shape.json": (b'{"texts": ["I am grateful."]}', ("prompts",)),
    "rows.jsonl": (b'{"text": "I am grateful today."}\n{"txt": "So am I."}\n', ("line 2",)),
    "twice.json": (b'{"prompts": ["I am grateful now.", "I am  GRATEFUL now!", "I am grateful now."]}', ("twice",)),
    "span.jsonl": (b'{"text": "I am grateful.", "span": [5, 99]}\n', ("span", "99")),
    "pair.jsonl": (b'{"text": "I am grateful.", "pair": "neutral-999"}\n', ("neutral-999",)),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_of_prompts_is_named_with_its_place(name: str, headscope: Headscope, tmp_path: Path) -> None:
    content, words = FILES[name]
    (tmp_path / name).write_bytes(content)
    _refused(headscope(*SCREEN, "--prompts", f"gratitude={name}"), tmp_path, name, *words, kept=(name,))


def test_a_missing_file_of_prompts_is_named(headscope: Headscope, tmp_path: Path) -> None:
    _refused(headscope(*SCREEN, "--prompts", "gratitude=gone.json"), tmp_path, "does not exist", "gone.json")


def test_near_duplicates_are_an_error_in_validate_and_a_warning_in_a_run(headscope: Headscope, tmp_path: Path) -> None:
    rows = [{"text": "I am grateful now."}, {"text": "I am grateful now!!"}]
    (tmp_path / "gratitude.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    validated = headscope("profiles", "validate", "gratitude.jsonl")
    assert validated.code == 2
    assert "error: prompts gratitude-001 and gratitude-002 differ in case and punctuation only" in validated.out
    shown = headscope("profiles", "show", "gratitude.jsonl")
    assert shown.code == 0
    assert "differ in case and punctuation only" in shown.err


@pytest.mark.parametrize("command", [(*SCREEN,), (*ABLATE,)], ids=["screen", "ablate"])
def test_an_output_that_is_a_folder_is_refused(command: tuple[str, ...], headscope: Headscope, tmp_path: Path) -> None:
    (tmp_path / "there.json").mkdir()
    _refused(headscope(*command, "--output", "there.json"), tmp_path, "is a folder", kept=("there.json",))


@pytest.mark.parametrize("verb", [("run",), ("screen",), ("sweep",), ("ablate", "--heads", "0:0")], ids=lambda v: v[0])
def test_a_run_folder_that_cannot_be_is_refused(verb: tuple[str, ...], headscope: Headscope, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("notes")
    _refused(headscope(*verb, "--model", "demo", "--out", "mine/run"), tmp_path, "a file", "mine", kept=("mine",))
    _refused(headscope(*verb, "--model", "demo", "--out", "mine"), tmp_path, "a file", "mine", kept=("mine",))


def test_a_folder_of_other_things_is_not_written_into(headscope: Headscope, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    _refused(headscope(*SCREEN, "--out", "mine"), tmp_path, "not empty", "thesis.tex", kept=("mine",))


def test_a_prompt_longer_than_the_context_is_named(headscope: Headscope, tmp_path: Path) -> None:
    row = {"id": "endless", "text": "I am grateful " + "and so on " * 400 + "today.", "template": "x"}
    (tmp_path / "long.jsonl").write_text(json.dumps(row) + "\n")
    ended = headscope(*SCREEN, "--prompts", "gratitude=long.jsonl", "--concept", "gratitude")
    _refused(ended, tmp_path, "endless", "192", kept=("long.jsonl",))


def test_low_coverage_is_an_error_that_names_prompts_unless_it_is_allowed(headscope: Headscope, tmp_path: Path) -> None:
    # The span is the last word: nothing after it can look at it.
    rows = [{"id": f"p{i}", "text": f"On day {i} of the trip we were grateful", "template": f"t{i}"} for i in range(8)]
    (tmp_path / "late.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = (*SCREEN, "--prompts", "gratitude=late.jsonl", "--concept", "gratitude")
    _refused(
        headscope(*command),
        tmp_path,
        "gratitude",
        "matched control",
        "p0",
        "--allow-low-coverage",
        kept=("late.jsonl",),
    )
    allowed = headscope(*command, "--allow-low-coverage", "--json")
    assert allowed.code == 0, allowed.err
    assert any("low coverage was allowed" in warning for warning in allowed.json["warnings"])


def test_a_classifier_that_cannot_be_loaded_stops_the_run(
    headscope: Headscope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "classifier").mkdir()
    _refused(headscope(*ABLATE, "--sentiment", "./classifier"), tmp_path, "classifier", kept=("classifier",))


def test_a_model_name_without_a_hub_gets_the_ways_out(
    headscope: Headscope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    _refused(headscope("screen", "--model", "no-such/model"), tmp_path, "--model demo", "checkpoint folder", "HF_HOME")
