"""Every verb explains itself: what it does, its options, two examples to paste."""

from __future__ import annotations

import re

import pytest

from headscope.cli import main

VERBS = (
    "run",
    "screen",
    "ablate",
    "sweep",
    "patch",
    "attribute",
    "rank",
    "plot",
    "report",
    "show",
    "circuit",
    "export",
    "check",
    "selfcheck",
    "inspect",
)
PROFILE_VERBS = (
    "profiles list",
    "profiles show",
    "profiles new",
    "profiles validate",
    "profiles check",
    "profiles import",
)
EDIT_VERBS = ("edits save", "edits show")


def _help(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


def test_the_first_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help([], capsys)
    for verb in (*VERBS, "profiles", "edits"):
        assert re.search(rf"^│ {verb} +\S", text, re.MULTILINE), verb


@pytest.mark.parametrize("verb", [*VERBS, *PROFILE_VERBS, *EDIT_VERBS])
def test_a_verb_has_two_examples_to_paste(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = _help(verb.split(), capsys)
    assert len(re.findall(rf"^ *headscope {verb}( |$)", text, re.MULTILINE)) >= 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Usage"),
        (["scren"], "No such command"),
        (["screen", "--modle", "demo"], "No such option"),
        (["screen"], "Missing option"),
        (["ablate", "--model", "demo", "--heads", "0:0", "--max-tokens", "0"], "max-tokens"),
        (["ablate", "--model", "demo", "--heads", "0:0", "--max-tokens", "-5"], "max-tokens"),
        (["ablate", "--model", "demo", "--heads", "0:0", "--samples", "0"], "samples"),
        (["ablate", "--model", "demo", "--heads", "0:0", "--temperature", "0"], "temperature"),
        (["ablate", "--model", "demo", "--heads", "0:0", "--temperature", "nan"], "temperature"),
        (["ablate", "--model", "demo", "--heads", "0:0", "--temperature", "-1"], "temperature"),
        (["ablate", "--model", "demo", "--heads", "0:0", "--top-p", "1.5"], "top-p"),
        (["ablate", "--model", "demo", "--heads", "0:0", "--top-p", "0"], "top-p"),
        (["ablate", "--model", "demo", "--heads", "0:0", "--seed", "-1"], "seed"),
        (["screen", "--model", "demo", "--batch-tokens", "0"], "batch-tokens"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_loaded(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    printed = capsys.readouterr()
    assert words in printed.err + printed.out
    assert "Traceback" not in printed.err
