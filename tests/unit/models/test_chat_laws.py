"""What the load check says of a chat template: a row for each law, one that does not hold says so and refuses none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import AddedToken

from headscope.models.chat_laws import chat_laws
from headscope.models.law_report import Law, LawReport
from headscope.models.loading import load_model
from tests.laws.families import make, word_tokenizer
from tests.unit.test_chat import CHATML, tokenizer_with

NAMES = {
    "bos": "chat: one BOS, and not two",
    "twice": "chat: rendered twice = once",
    "span": "chat: a span's text stays",
    "system": "chat: a system message is kept",
    "continued": "chat: an assistant's words are gone on with",
}


def laws_of(template: Any, *, bos: bool = True) -> dict[str, Law]:
    tokenizer = tokenizer_with(template)
    model: Any = SimpleNamespace(tokenizer=tokenizer, bos_token_id=tokenizer.bos_token_id if bos else None)
    return {law.name: law for law in chat_laws(model)}


@pytest.mark.parametrize("template", [CHATML, "{{ bos_token }}" + CHATML, {"default": CHATML, "rag": "{{ no }}"}])
def test_a_sound_template_passes_every_law(template: Any) -> None:
    laws = laws_of(template)
    assert list(laws) == list(NAMES.values())
    assert all(law.passed and law.difference == 0 for law in laws.values())


def test_without_a_bos_its_law_does_not_apply() -> None:
    laws = laws_of(CHATML, bos=False)
    assert (laws[NAMES["bos"]].passed, laws[NAMES["bos"]].note) == (None, "no BOS is put before texts")
    assert sum(law.passed is True for law in laws.values()) == 4


NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
CLOCK = "{{ range(99999) | random }}{{ range(99999) | random }}"
DROPPED = "{% for m in messages if m.role != 'system' %}{{ m.role }} {{ m.content }}<end_of_turn>{% endfor %}"
# template, the laws that do not hold, words of the note on the first of them
BROKEN = {
    "two BOS": ("{{ bos_token }}{{ bos_token }}" + CHATML, {"bos", "span", "continued"}, "writes the BOS twice"),
    "a clock": (CLOCK + CHATML, {"bos", "twice", "span", "continued"}, "changes the prompt"),
    "no system role": (NO_SYSTEM + CHATML, {"system"}, "System role not supported"),
    "system dropped": (DROPPED, {"system"}, "it leaves it out"),
    "other letters": (CHATML.replace("m.content", "m.content | upper"), {"bos", "span", "continued", "system", "twice"},
                      "changes the prompt's text"),
    "users only": ("{{ messages[0].content }}{% if messages | length > 1 %}{{ raise_exception('one') }}{% endif %}",
                   {"system", "continued"}, "one"),
    "nothing that can be rendered": ("{{ messages[0].content", set(NAMES), "cannot be rendered"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_does_not_hold_is_said_and_refuses_no_model(name: str) -> None:
    template, wrong, words = BROKEN[name]
    laws = laws_of(template)
    assert {short for short, law in NAMES.items() if laws[law].passed is None} == wrong
    assert all(law.passed is not False for law in laws.values())
    assert words in next(law.note for law in laws.values() if law.passed is None)
    LawReport(tuple(laws.values()), checked=True).require("it")


def test_a_token_that_holds_a_content_and_the_templates_own_words_is_told() -> None:
    tokenizer: Any = tokenizer_with("{% for m in messages %}[{{ m.content }}]{% endfor %}")
    tokenizer.add_tokens([AddedToken("?]", special=False)])
    model: Any = SimpleNamespace(tokenizer=tokenizer, bos_token_id=None)
    law = next(law for law in chat_laws(model) if law.name == NAMES["span"])
    assert (law.difference, law.passed, law.note) == (2, None, "tokens of a span hold words of the template too")


def test_several_templates_without_a_default_are_told() -> None:
    (law,) = laws_of({"rag": CHATML, "tool": CHATML}).values()
    assert (law.passed, "none is the default" in law.note) == (None, True)


def test_a_tokenizer_without_a_template_has_no_rows() -> None:
    assert laws_of(None) == {}


def test_the_rows_stand_in_the_load_checks_table() -> None:
    tokenizer = word_tokenizer()
    plain = load_model(make("llama"), tokenizer=tokenizer, device="cpu")
    tokenizer = word_tokenizer()
    tokenizer.chat_template = CHATML
    chat = load_model(make("llama"), tokenizer=tokenizer, device="cpu")
    names = [law.name for law in chat.laws.laws]
    assert names == [*(law.name for law in plain.laws.laws), *NAMES.values()]
    assert chat.laws.passed
