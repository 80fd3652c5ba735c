"""``headscope inspect``: what it prints, and lines to paste that give the same again."""

from __future__ import annotations

import contextlib
import io
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from tests.end_to_end.conftest import Outcome

Typed = Callable[..., Outcome]
ASKED = ("inspect", "--model", "demo", "--max-tokens", "6")
EDITS = (
    "--heads",
    "3:*",
    "--edit",
    "mean",
    "--heads",
    "1:0-1",
    "--edit",
    "scale=0.5",
    "--heads",
    "2:3",
    "--edit",
    "add=4",
)
PROMPTS: dict[str, tuple[str, ...]] = {
    "a text": ("Thank you 'so' $much",),
    "a text that begins with a dash": ("--seed", "4", "--", "-- thank you"),
    "a prompt of the profile": ("--prompt-id", "anger-003"),
}


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_line_to_paste_gives_the_same(headscope: Typed, prompt: str) -> None:
    first = headscope(*ASKED, "--json", *EDITS, *PROMPTS[prompt])
    assert first.code == 0, first.err
    words = shlex.split(first.json["command"])
    assert words[0] == "headscope"
    again = headscope(*words[1:2], "--json", *words[2:])
    assert again.code == 0, again.err
    assert again.json == first.json
    assert len(first.json["next_words"]) >= 10
    assert set(first.json["texts"]) == {"baseline", "edited"}


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_python_to_paste_gives_the_same(headscope: Typed, prompt: str) -> None:
    printed = headscope(*ASKED, "--json", *EDITS, *PROMPTS[prompt]).json
    out, names = io.StringIO(), dict[str, Any]()
    with contextlib.redirect_stdout(out):
        exec(printed["python"], names)  # noqa: S102 - what the user is to paste
    view, edits = names["view"], names["edits"]
    assert [edit.heads for edit in edits] == printed["heads"]
    for table, name in ((view.next_words(edits), "next_words"), (view.log_odds(edits), "log_odds")):
        assert table.to_dict("records") == printed[name]
    assert str(printed["texts"]) in out.getvalue()


@pytest.mark.parametrize("edits", [(), EDITS, ("--heads", "0:1", "--edit", "bos", "--heads", "3:3", "--edit", "zero")])
def test_the_command_that_tests_an_edit_is_one(headscope: Typed, edits: tuple[str, ...]) -> None:
    lines = headscope(*ASKED, "--json", *edits, "Thank you").json["test"].splitlines()
    assert len(lines) == max(1, len(edits) // 4)
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "headscope"
        done = headscope(*words[1:], "--dry-run")
        assert done.code == 0, done.err


def test_what_is_printed_names_the_tokens_both_arms_and_the_test(headscope: Typed) -> None:
    done = headscope(*ASKED, *EDITS, "Thank you")
    assert done.code == 0, done.err
    assert "1 'Thank'  2 ' you'" in done.out
    for words in ("What it would say", "Log-odds", "gratitude", "baseline: Thank you |", "edited: Thank you |"):
        assert words in done.out
    assert "One prompt is an example, not evidence" in done.out
    assert done.out.splitlines()[-1].startswith("headscope steer --model demo --profile baseline")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "one prompt is inspected"),
        (("a", "--prompt-id", "anger-003"), "one prompt is inspected"),
        (("a", "--heads", "0:0"), "each --heads needs an --edit"),
        (("a", "--heads", "0:0", "--edit", "scale"), "malformed"),
        (("a", "--heads", "0:9", "--edit", "zero"), "does not exist"),
        (("a", "--heads", "0:0", "--edit", "zero", "--heads", "0:*", "--edit", "mean"), "edited twice"),
        (("a", "--concept", "joy"), "joy"),
        (("--prompt-id", "anger-999"), "anger-999"),
        (("--messages", "{"), "no JSON"),
        (("--messages", "[1]"), "no list of messages"),
        (("--messages", '[{"role": "user", "content": "a"}]'), "chat template"),
        (("a", "--no-generate", "--greedy"), "--greedy"),
        (("tea " * 300,), "longer than the model's context"),
    ],
)
def test_a_request_that_cannot_be_is_a_sentence(headscope: Typed, words: tuple[str, ...], said: str) -> None:
    done = headscope("inspect", "--model", "demo", *words)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
