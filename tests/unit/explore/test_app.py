"""What the page is answered is what an ``Inspection`` gives, line by line; who leaves is let go, who waits is not."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from headscope.explore.app import FAULT
from headscope.models.edit_files import load_edit
from headscope.models.head_model import HeadModel
from headscope.profiles.loading import load_profile
from headscope.verbs.inspect import Inspection, Inspector
from tests.unit.explore.pages import DEADLINE_SECONDS, Page

MEAN = {"heads": "3:3,1:2", "kind": "mean"}
EDITS = [
    [],
    [{"heads": "3:*", "kind": "zero"}],
    [MEAN],
    [{"heads": "1:0", "kind": "bos"}, {"heads": "2:1", "kind": "scale", "factor": 0.5}],
    [{"heads": "3:3", "kind": "add", "dose": 4, "concept": "gratitude"}],
]
TEXT = "I am thankful for the soup"


@pytest.fixture(scope="module")
def inspector(model: HeadModel) -> Inspector:
    return Inspector(model, load_profile("baseline"))


def edits_of(asked: list[dict[str, Any]], view: Any) -> list[Any]:
    return [
        view.edit(one["heads"], one["kind"], factor=one.get("factor"), dose=one.get("dose"), concept=one.get("concept"))
        for one in asked
    ]


def test_a_prompt_whose_readouts_do_not_fit_is_read_without_log_odds(page: Page, model: HeadModel) -> None:
    assert model.context_length is not None
    text = "tea" + " tea" * (model.context_length - 6)
    answer = page.ask("look", page.view(text, edits=[MEAN]))
    assert answer.kinds == ["tokens", "next_words", "no_log_odds", "take", "end"]
    assert "longer than the model's context" in answer.event("no_log_odds")["error"]


# --- the figures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edits", EDITS, ids=lambda edits: "-".join(one["kind"] for one in edits) or "none")
@pytest.mark.parametrize("prompt", [{"text": TEXT}, {"id": "gratitude-003"}], ids=["typed", "of the profile"])
def test_a_look_gives_the_figures_of_an_inspection(
    prompt: dict[str, str], edits: list[dict[str, Any]], page: Page, inspector: Inspector
) -> None:
    answer = page.ask("look", page.view(prompt=prompt, edits=edits))
    view = inspector.read(prompt.get("text"), prompt=prompt.get("id"))
    made = edits_of(edits, view)
    tokens = answer.event("tokens")["tokens"]
    assert [(one["id"], one["text"], one["special"]) for one in tokens] == list(
        zip(view.ids, view.tokens, view.special, strict=True)
    )
    words = answer.event("next_words")
    assert words["edited"] is bool(edits)
    assert words["heads"] == [one.heads for one in made]
    names = {"probability_baseline": "baseline", "probability_edited": "edited"}
    assert words["rows"] == view.next_words(made).rename(columns=names).to_dict("records")
    assert answer.event("log_odds")["rows"] == view.log_odds(made).to_dict("records")
    take = answer.event("take")
    assert (take["command"], take["python"], take["test"]) == (
        view.command(made), view.python(made), view.test_command(made),
    )  # fmt: skip
    assert answer.kinds == ["tokens", "next_words", "log_odds", "take", "end"]


def test_one_text_after_another_gets_its_own_figures(page: Page, model: HeadModel) -> None:
    for text in ("I am thankful", "They hated the noise", "I am thankful"):
        alone = Inspector(model, load_profile("baseline")).read(text)
        assert page.ask("look", page.view(text)).event("log_odds")["rows"] == alone.log_odds().to_dict("records")


@pytest.mark.parametrize("edits", EDITS[:3], ids=["none", "zero", "mean"])
def test_attention_is_that_of_an_inspection_to_four_digits(
    edits: list[dict[str, Any]], page: Page, inspector: Inspector
) -> None:
    view = inspector.read(TEXT)
    whole = page.ask("attention", page.view(TEXT, edits=edits, layer=3, head=1)).json["weights"]
    expected = view.attention(3, 1, edits_of(edits, view)).astype(np.float64)
    assert np.abs(np.array(whole) - expected).max() <= 0.5e-4 + 1e-9  # half of the last digit, and a float's own
    rows = page.ask("attention", page.view(TEXT, edits=edits, layer=3, head=1, queries=[4, 2])).json["rows"]
    assert rows == {"4": whole[4], "2": whole[2]}


@pytest.mark.parametrize(("measure", "unit"), [("attention", "share"), ("value_weighted", "residual norm")])
def test_a_map_is_that_of_an_inspection(measure: str, unit: str, page: Page, inspector: Inspector) -> None:
    answer = page.ask("map", page.view(TEXT, edits=[MEAN], measure=measure, queries=[5], keys=[2, 3])).json
    view = inspector.read(TEXT)
    expected = view.head_map(measure, queries=[5], keys=[2, 3], edits=edits_of([MEAN], view))
    assert answer == {"values": expected.tolist(), "unit": unit}


def test_what_heads_say_to_a_next_word_is_that_of_an_inspection(page: Page, inspector: Inspector) -> None:
    view = inspector.read(TEXT)
    token = int(view.next_words()["token_id"][0])
    answer = page.ask("map", page.view(TEXT, measure="direct", queries=[6], token_id=token)).json
    assert answer == {"values": view.head_map("direct", queries=[6], token_id=token).tolist(), "unit": "logits"}


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({}, {}),
        ({"seed": 3, "max_tokens": 12, "temperature": 0.7}, {"max_tokens": 12, "temperature": 0.7, "seed": 3}),
        ({"greedy": True, "temperature": 0.7, "seed": 3}, {"greedy": True}),
    ],
    ids=["as it is", "sampled", "greedy"],
)
def test_lines_to_take_along_say_how_the_text_is_written(
    chosen: dict[str, Any], said: dict[str, Any], page: Page, inspector: Inspector
) -> None:
    view = inspector.read(TEXT)
    for route in ("look", "write"):
        take = page.ask(route, page.view(TEXT, **chosen)).event("take")
        assert (take["command"], take["python"]) == (view.command(**said), view.python(**said))


@pytest.mark.parametrize("options", [{"seed": 3}, {"greedy": True}], ids=["sampled", "greedy"])
def test_a_text_is_that_of_an_inspection(options: dict[str, Any], page: Page, inspector: Inspector) -> None:
    answer = page.ask("write", page.view(TEXT, edits=[EDITS[1][0]], max_tokens=12, **options))
    view = inspector.read(TEXT)
    expected: dict[str, str] = {"baseline": "", "edited": ""}
    for piece in view.write(edits_of(EDITS[1], view), max_tokens=12, **options):
        expected[piece.arm] += piece.text
    got: dict[str, str] = {"baseline": "", "edited": ""}
    for one in answer.events[1:-1]:
        got[one["arm"]] += one["text"]
    assert got == expected
    assert answer.events[-1] == {"event": "end"}


def test_an_edit_is_downloaded_as_the_file_that_reads_back(page: Page, tmp_path: Path) -> None:
    answer = page.ask("edit_file", page.view(TEXT, edits=[EDITS[1][0], {"heads": "1:2", "kind": "mean"}], index=1))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="mean_1_2.safetensors"'
    path = tmp_path / "edit.safetensors"
    path.write_bytes(answer.body)
    with safe_open(path, "np") as file:
        assert list(file.keys())
    assert load_edit(path).heads == "1:2"


def test_a_prompt_is_kept_once(page: Page, explored: Path) -> None:
    first = page.ask("keep", page.view("I am so thankful for the bread.", concept="gratitude"))
    assert first.json["path"] == str(explored / "prompts.jsonl")
    again = page.ask("keep", page.view("I am so thankful for the bread.", concept="gratitude"))
    assert (again.status, again.json["fix"]) == (422, "nothing was written")
    assert len(load_profile(explored).prompts_of("gratitude")) == 1


# --- what can be wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"edits": [{"heads": "9:0", "kind": "zero"}]}, "9:0 does not exist"),
        ({"edits": [{"heads": "nonsense", "kind": "zero"}]}, "head"),
        ({"edits": [MEAN, {"heads": "3:3", "kind": "zero"}]}, "head 3:3 is edited twice"),
        ({"edits": [{"heads": "1:1", "kind": "scale"}]}, "needs a factor"),
        ({"edits": [{"heads": "1:1", "kind": "add", "dose": 1, "concept": "joy"}]}, 'no concept "joy"'),
        ({"concept": "joy"}, 'no concept "joy"'),
        ({"prompt": {"id": "joy-001"}}, 'no prompt "joy-001"'),
        ({"prompt": {"text": "the soup " * 200}}, "longer than the model's context|too long"),
        ({"chat": True}, "no chat template"),
        ({"prompt": {"messages": [{"role": "user", "content": "Hi"}]}}, "no chat template"),
    ],
)
def test_what_the_model_cannot_be_asked_gets_a_sentence(more: dict[str, Any], told: str, page: Page) -> None:
    answer = page.ask("look", page.view() | more)
    error = answer.event("error")
    assert answer.kinds[-1] == "error"
    assert re.search(told, error["error"]), error
    assert "Traceback" not in answer.body.decode()
    assert page.ask("look", page.view()).kinds[-1] == "end"


@pytest.mark.parametrize(
    ("route", "more"),
    [
        ("attention", {"layer": 9, "head": 0}),
        ("attention", {"layer": 0, "head": 0, "queries": [99]}),
        ("map", {"measure": "attention", "queries": [99], "keys": [0]}),
        ("edit_file", {"index": 0}),
        ("keep", {"concept": "joy"}),
        ("look", {"more": 1}),
    ],
)
def test_what_cannot_be_asked_is_422_with_a_sentence(route: str, more: dict[str, Any], page: Page) -> None:
    answer = page.ask(route, page.view() | more)
    assert answer.status == 422
    assert answer.json["error"]
    assert set(answer.json) <= {"error", "expected", "got", "where", "fix"}


def test_broken_json_is_422_with_a_sentence(page: Page) -> None:
    answer = page.request("POST", "/api/look", b"{")
    assert (answer.status, answer.json["error"]) == (422, "the request is no JSON")


@pytest.mark.parametrize(
    "text",
    [
        '<script>alert("x")</script>',
        "\u202eשלום עולם\u202c",
        "👩‍👩‍👧‍👦 ok",
        "a\u2028b\u2029c",
        "  lead and trail  ",
        "</script><!--",
    ],
)
def test_a_hostile_text_comes_back_as_itself(text: str, page: Page) -> None:
    tokens = page.ask("look", page.view(text)).event("tokens")["tokens"]
    assert "".join(one["text"] for one in tokens if not one["special"]) == text


def test_an_empty_text_is_a_beginning_of_text_alone(page: Page) -> None:
    answer = page.ask("look", page.view(""))
    assert [one["special"] for one in answer.event("tokens")["tokens"]] == [True]
    assert answer.kinds[-1] == "end"


def test_ten_thousand_characters_get_an_answer_or_a_sentence(page: Page) -> None:
    answer = page.ask("look", page.view("a" * 10_000))
    assert answer.status == 200
    assert answer.event("error")["got"]


@pytest.mark.parametrize("route", ["look", "map"])
def test_a_fault_goes_to_the_console_in_full_and_the_page_gets_a_sentence(
    route: str, page: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("secret of the inside")

    monkeypatch.setattr(Inspection, "likeliest", broken)
    monkeypatch.setattr(Inspection, "head_map", broken)
    with caplog.at_level(logging.ERROR):
        answer = page.ask(route, page.view(TEXT) | ({} if route == "look" else {"measure": "attention"}))
        until = time.monotonic() + DEADLINE_SECONDS  # the page is answered first
        while "ZeroDivisionError: secret of the inside" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert (answer.event("error") if route == "look" else answer.json)["error"] == FAULT
    assert answer.status == (200 if route == "look" else 500)
    assert b"secret" not in answer.body
