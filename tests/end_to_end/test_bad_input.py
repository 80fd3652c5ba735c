"""A wrong request: exit code 2, a message that says what was wrong, and nothing written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from headscope.cli.exits import run_and_exit
from headscope.profiles.loading import load_profile
from src.visualization import head_plots
from tests.end_to_end.bad_input_table import STUDY, table
from tests.end_to_end.conftest import Outcome
from tests.mistakes.test_what_models_write import classifier

Headscope = Callable[..., Outcome]
SCREEN = ("screen", "--model", "demo")
ABLATE = ("ablate", "--model", "demo", "--heads", "0:0")


def _refused(ended: Outcome, folder: Path, *words: str, kept: tuple[str, ...] = ()) -> None:
    assert ended.code == 2, f"{ended.out}\n{ended.err}"
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert "a fault of headscope" not in ended.err
    for word in words:
        assert word in ended.err, f"{word!r} is not in:\n{ended.err}"
    assert sorted(path.name for path in folder.iterdir()) == sorted(kept)


WRONG = table()


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_refused_with_its_words_and_leaves_nothing(
    case: str, headscope: Headscope, tmp_path: Path
) -> None:
    wrong = WRONG[case]
    for name, content in wrong.files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if content is None else path.write_bytes(content)
    before = _listing(tmp_path)
    ended = headscope(*wrong.command)
    assert ended.code == 2, f"{ended.out}\n{ended.err}"
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert "a fault of headscope" not in ended.err
    told = _unfolded(ended.err)
    for word in wrong.words:
        assert word in told, f"{word!r} is not in:\n{ended.err}"
    assert _listing(tmp_path) == before


@pytest.mark.parametrize("case", STUDY)
def test_a_bad_file_of_the_study_is_refused_with_its_words_and_leaves_nothing(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, content, words = STUDY[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    option = "--head-scores" if name == "s.json" else "--ablation-file"
    with pytest.raises(SystemExit) as left:
        run_and_exit(head_plots.app, "head_plots", [option, name])
    printed = capsys.readouterr()
    assert isinstance(left.value.code, int)
    _refused(Outcome(left.value.code, printed.out, printed.err), tmp_path, *words, kept=(name,))


def test_the_table_of_wrong_requests_is_long(tell: Callable[[str], None]) -> None:
    tell(f"bad inputs tried: {len(WRONG) + len(STUDY)}")
    assert len(WRONG) >= 120


def _listing(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def _unfolded(text: str) -> str:
    """Without the box that typer draws around its own messages, whose lines are cut at 80 columns."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


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


@pytest.mark.parametrize(
    "verb", [("run",), ("screen",), ("sweep",), ("patch",), ("ablate", "--heads", "0:0")], ids=lambda v: v[0]
)
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


@pytest.mark.parametrize("verb", ["run", "sweep"])
def test_templates_too_few_for_any_verdict_are_refused_on_request_with_the_number_that_would_do(
    verb: str, headscope: Headscope, tmp_path: Path
) -> None:
    rows = [{"text": f"On day {i} we were grateful to all.", "template": f"t{i % 5}"} for i in range(9)]
    (tmp_path / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _refused(
        headscope(verb, "--model", "demo", "--prompts", "gratitude=few.jsonl", "--require-verdicts"),
        tmp_path,
        '"gratitude"',
        "5 templates, 9 prompts",
        "at least 6 templates",
        kept=("few.jsonl",),
    )
    asked = (verb, "--model", "demo", "--concept", "anger", "--prompts", "gratitude=few.jsonl", "--require-verdicts")
    assert headscope(*asked, "--dry-run").code == 0, "only the concepts asked for count"


def test_control_prompts_that_are_measured_prompts_are_named(headscope: Headscope, tmp_path: Path) -> None:
    texts = [prompt.text for prompt in load_profile("baseline").prompts_of("gratitude")[:3]]
    (tmp_path / "mine.txt").write_text("A plain day went by.\n" + texts[2] + "\n")
    ended = headscope("sweep", "--model", "demo", "--prompts", "neutral=mine.txt", "--concept", "gratitude")
    _refused(ended, tmp_path, "are the same text", texts[2], "gratitude-003", "mine.txt", kept=("mine.txt",))


@pytest.mark.parametrize("held", ["all of them", "some of them"])
def test_a_lexicon_inside_another_concepts_is_named(
    held: str, headscope: Headscope, tmp_path: Path, small_profile: Path
) -> None:
    content = json.loads((small_profile / "profile.yaml").read_text())
    words = content["concepts"]["gratitude"]["lexicon"]
    flat = [word for part in words.values() for word in part]
    content["concepts"]["anger"]["lexicon"] = flat if held == "all of them" else flat[: len(flat) - 2]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "profile.yaml").write_text(json.dumps(content))
    (tmp_path / "mine" / "prompts.jsonl").write_bytes((small_profile / "prompts.jsonl").read_bytes())
    ended = headscope("sweep", "--model", "demo", "--profile", "mine")
    _refused(ended, tmp_path, "every token of the lexicon of", '"anger"', '"gratitude"', flat[0], kept=("mine",))


@pytest.mark.parametrize("verb", [("run",), ("ablate", "--heads", "0:0")], ids=lambda words: words[0])
def test_a_classifier_whose_labels_are_unknown_is_refused_before_the_run(
    verb: tuple[str, ...], headscope: Headscope, tmp_path: Path
) -> None:
    classifier(tmp_path / "stars", ("1 star", "5 stars"))
    ended = headscope(*verb, "--model", "demo", "--concept", "anger", "--sentiment", "./stars")
    _refused(ended, tmp_path, "sign is unknown", "1 star, 5 stars", "positive", "id2label", kept=("stars",))


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
