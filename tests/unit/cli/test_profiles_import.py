"""``headscope profiles import`` says what it took and what not, and writes a folder that runs, or nothing."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from headscope.cli import main, profiles_import
from headscope.models.tokenizer_loading import named_tokenizer
from headscope.profiles.importing.registry import IMPORTERS
from headscope.profiles.loading import load_profile
from headscope.vocabulary import token_text
from tests.unit.profiles.importing.files_of_tasks import IOI_HEADER, IOI_ROWS, SAMPLES, put, sheet


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as left:
        main(["profiles", "import", *map(str, words)])
    printed = capsys.readouterr()
    return int(left.value.code or 0), printed.out, printed.err


def test_the_kinds_are_those_that_there_are() -> None:
    assert sorted(profiles_import.KINDS) == sorted(IMPORTERS)


def test_what_was_taken_and_what_not_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, SAMPLES["greater than"])
    code, out, err = run(capsys, path, "--out", tmp_path / "made", "--name", "years")
    assert code == 0
    assert out.splitlines() == [
        "kind: eap-ig, by its columns (clean, corrupted, and token ids (correct_idx, ...), a label, or plural)",
        "right are all two-digit numbers above label, wrong those at or below it",
        "2 prompts taken, 1 left out",
        "  left out, 1: label is no number from 0 to 98 (line 4: 99)",
        "templates: 1 (2 prompts by their text)",
        "corrupted partners: 2 of as many words, 0 of another number of words",
        str(tmp_path / "made"),
    ]
    assert "ONE observation" in err
    profile = load_profile(tmp_path / "made")
    assert (profile.name, list(profile.concepts)) == ("years", ["years"])


def test_json_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, SAMPLES["BLiMP sentences"])
    code, out, err = run(capsys, path, "--out", tmp_path / "made", "--as", "blimp", "--json")
    told: dict[str, Any] = json.loads(out)
    assert (code, err) == (0, "")
    assert told["kind"] == "blimp"
    assert told["tasks"] == {"islands": 2}
    assert told["left"] == [
        {"reason": "its sentences differ in their first word", "count": 1, "examples": ["line 3: Some left."]}
    ]
    assert (told["templates_count"], told["templates_found_count"], told["pairs_of_equal_length_count"]) == (2, 2, 0)
    assert load_profile(told["folder"]).prompts_of("islands")


def test_ids_are_of_the_tokenizer_that_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = named_tokenizer("demo", trust_remote_code=False)
    words = {text: token for token in range(len(tokenizer)) if (text := token_text(tokenizer, token)) is not None}
    names = [word for word in words if word[:1] == " " and word[1:].isalpha() and len(word) > 3][:6]
    assert len(names) == 6
    rows = [
        [n, f"When{io} and{s} left,{s} gave it to", f"When{io} and{s} left,{other} gave it to", "", words[io], words[s]]
        for n, (io, s, other) in enumerate(zip(names, names[1:], names[2:], strict=False))
    ]
    path = tmp_path / "ioi.csv"
    path.write_text(sheet([IOI_HEADER, *rows]))
    code, out, _ = run(capsys, path, "--out", tmp_path / "made", "--ids-of", "demo")
    assert code == 0
    assert "4 prompts taken, 0 left out" in out
    made = load_profile(tmp_path / "made").prompts_of("ioi")
    assert [(prompt.answers, prompt.foils) for prompt in made] == [
        ((right,), (wrong,)) for right, wrong in pairwise(names[:5])
    ]
    assert token_text(tokenizer, len(tokenizer)) is None

    path.write_text(sheet([IOI_HEADER, *IOI_ROWS]))  # of the tests' own tokenizer
    code, _, err = run(capsys, path, "--out", tmp_path / "other", "--ids-of", "demo")
    assert code == 2
    assert "token ids are of another tokenizer: 4 of 4" in err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("ioi by ids", [], "--ids-of FOLDER"),
        ("CAA", ["--counterfactual", "x"], "--counterfactual is not used with a file of the kind caa"),
        ("CAA", ["--shots", "3"], "--shots is not used with a file of the kind caa"),
        ("CAA", ["--seed", "3"], "--seed is not used"),
        ("CAA", ["--as", "caaa"], "eap-ig, mib, function-vectors"),
        ("CAA", ["--as", "blimp"], "no record of the file can be asked"),
        ("function vectors", ["--frames", "99"], "there are not so many frames"),
        ("MIB ioi", ["--counterfactual", "x"], 'no counterfactual "x"'),
        ("CAA", ["--as", "mib"], "file has no counterfactuals expected: a column whose name ends in _counterfactual"),
    ],
)
def test_a_wrong_request_leaves_nothing(
    name: str, options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path, SAMPLES[name])
    code, out, err = run(capsys, path, "--out", tmp_path / "made", *options)
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_folder_with_files_is_refused_before_the_file_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("kept")
    code, _, err = run(capsys, tmp_path / "missing.csv", "--out", tmp_path / "full")
    assert code == 2
    assert "profile folder exists already" in err
    code, _, err = run(capsys, tmp_path / "missing.csv", "--out", tmp_path / "new")
    assert (code, "file does not exist" in err) == (2, True)
