"""What the page may ask has a shape and limits; everything else gets a sentence that says what was expected."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headscope.errors import RequestError
from headscope.explore.asked import (
    TEXT_LIMIT_CHARACTERS,
    AttentionAsked,
    EditFileAsked,
    KeepAsked,
    MapAsked,
    View,
    WriteAsked,
    read,
)

VIEW: dict[str, Any] = {"client": "abc", "prompt": {"text": "Thank you"}}
SAID = {"role": "user", "content": "Hello"}


def body(**more: Any) -> bytes:
    return json.dumps({**VIEW, **more}).encode()


def test_what_is_left_out_has_the_defaults_of_the_contract() -> None:
    view = read(body(), WriteAsked)
    assert (view.chat, view.concept, view.edits) == (False, None, [])
    assert (view.max_tokens, view.temperature, view.top_p, view.greedy, view.seed) == (30, 1.0, 0.9, False, 0)


@pytest.mark.parametrize("prompt", [{"text": ""}, {"messages": [SAID]}, {"id": "gratitude-003"}])
def test_a_prompt_is_a_text_a_conversation_or_an_id(prompt: dict[str, Any]) -> None:
    assert read(body(prompt=prompt), View).prompt.model_dump(exclude_none=True) == prompt


def test_a_text_as_long_as_is_allowed_is_read() -> None:
    assert len(read(body(prompt={"text": "x" * TEXT_LIMIT_CHARACTERS}), View).prompt.text or "") == 20_000


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"prompt": {}}, "one of text, messages and id"),
        ({"prompt": {"text": "a", "id": "b"}}, "one of text, messages and id"),
        ({"prompt": {"text": "x" * (TEXT_LIMIT_CHARACTERS + 1)}}, "at most 20,000 characters; it has 20,001"),
        ({"prompt": {"messages": [{"role": "user", "content": "x" * 11_000}] * 2}}, "20,000 characters together"),
        ({"prompt": {"messages": [SAID] * 21}}, "at most 20 items"),
        ({"prompt": {"messages": [{"role": "tool", "content": "a"}]}}, "'system', 'user' or 'assistant'"),
        ({"prompt": {"text": "a\x00b"}}, r"U\+0000"),
        ({"client": "../../etc"}, "match pattern"),
        ({"more": 1}, "no field of this name"),
        ({"edits": [{"heads": "@/etc/passwd", "kind": "zero"}]}, "files of heads are for the command line"),
        ({"edits": [{"heads": " @x", "kind": "zero"}]}, "files of heads are for the command line"),
        ({"edits": [{"heads": "1:1", "kind": "shuffle"}]}, "'zero', 'mean', 'bos', 'scale' or 'add'"),
        ({"edits": [{"heads": "1:1", "kind": "zero"}] * 201}, "at most 200 items"),
        ({"edits": [{"heads": "1:1", "kind": "scale", "factor": 10**400}]}, "finite|valid number"),
        ({"chat": "yes"}, "valid boolean"),
        ({"max_tokens": 0}, "greater than or equal to 1"),
        ({"max_tokens": 201}, "less than or equal to 200"),
        ({"temperature": 0}, "greater than 0"),
        ({"top_p": 1.5}, "less than or equal to 1"),
        ({"seed": -1}, "greater than or equal to 0"),
    ],
)
def test_what_is_beyond_the_shape_gets_a_sentence(more: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError, match=told) as raised:
        read(body(**more), WriteAsked)
    assert "cannot be asked like this" in raised.value.problem


@pytest.mark.parametrize(
    "sent", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"client": NaN}', body()[:-3], b'{"client": "\\ud800"}']
)
def test_what_is_no_json_gets_a_sentence(sent: bytes) -> None:
    with pytest.raises(RequestError, match="the request is no JSON"):
        read(sent, View)


@pytest.mark.parametrize("sent", [b"null", b"[]", b'"x"', b"{}"])
def test_json_of_another_kind_gets_a_sentence(sent: bytes) -> None:
    with pytest.raises(RequestError, match="cannot be asked like this"):
        read(sent, View)


@pytest.mark.parametrize(
    ("shape", "more"),
    [
        (AttentionAsked, {"layer": -1, "head": 0}),
        (AttentionAsked, {"layer": 0}),
        (MapAsked, {"measure": "importance"}),
        (MapAsked, {"measure": "attention", "queries": [-1]}),
        (EditFileAsked, {"index": -1}),
        (KeepAsked, {}),
        (KeepAsked, {"concept": "../x"}),
    ],
)
def test_each_route_has_its_own_shape(shape: type[View], more: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="cannot be asked like this"):
        read(body(**more), shape)
