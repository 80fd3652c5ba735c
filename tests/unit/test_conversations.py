"""Laws of conversations in chat templates: where each message stands, what the model goes on with, what is refused."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest

from headscope.chat import Chat
from headscope.errors import RequestError
from headscope.profiles.conversations import BETWEEN
from headscope.profiles.types import Message, Prompt
from headscope.tokens import Encoder
from tests.unit.test_chat import CHATML, WITH_SYSTEM, tokenizer_with

# As a family that folds the system message into a user's turn; the last one, so that contents change their order.
FOLDED = (
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content ~ '\n\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
    "{{ bos_token }}{% for m in turns %}{% if m.role == 'user' %}[INST] "
    "{% if turns[loop.index0 + 1:] | selectattr('role', 'equalto', 'user') | list | length == 0 %}{{ system }}"
    "{% endif %}{{ m.content }}[/INST]{% else %} {{ m.content }}<end_of_turn>{% endif %}{% endfor %}"
)
THINKS = CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n{% endif %}"
CONVERSATION = (
    ("system", "You answer in one word."),
    ("user", "user: where is Mary?"),
    ("assistant", "In the kitchen."),
    ("user", "And you are"),
)


def prompt_of(*turns: tuple[str, str]) -> Prompt:
    messages: list[Message] = []
    start = 0
    for role, content in turns:
        messages.append(Message(role, start, start + len(content)))
        start = messages[-1].end + len(BETWEEN)
    return Prompt("talk", BETWEEN.join(content for _, content in turns), "joy", messages=tuple(messages))


def as_transformers_renders(tokenizer: Any, turns: Any, **options: Any) -> str:
    """Transformers' own rendering, a prefill by its own rule."""
    messages = [{"role": role, "content": content} for role, content in turns]
    ends = turns[-1][0] != "assistant"
    return tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=ends, continue_final_message=not ends, **options
    )


@pytest.mark.parametrize("template", [CHATML, WITH_SYSTEM, FOLDED])
@pytest.mark.parametrize("n_turns", [2, 3, 4])
def test_a_conversation_is_what_transformers_renders_and_every_place_says_the_same(template: str, n_turns: int) -> None:
    tokenizer: Any = tokenizer_with(template)
    encoder = Encoder(tokenizer, tokenizer.bos_token_id, chat_template=True)
    turns = CONVERSATION[:n_turns]
    prompt = prompt_of(*turns)
    tokens = encoder.encode_prompt(prompt)
    assert tokens.text == as_transformers_renders(tokenizer, turns)
    assert tokens.ids.count(tokenizer.bos_token_id) == 1
    for part, (_, content) in zip(prompt.parts, turns, strict=True):
        for word in re.finditer(r"\w+", content):
            place = encoder.place_span(prompt, (part.start + word.start(), part.start + word.end()))
            assert tokens.text[slice(*place)] == word[0]
            spelled = [tokens.ids[index] for index in tokens.of_span(place)]
            assert tokenizer.decode(spelled).strip() == word[0]


def test_contents_that_a_template_puts_in_another_order_keep_their_places() -> None:
    encoder = Encoder(tokenizer_with(FOLDED), None, chat_template=True)
    prompt = prompt_of(*CONVERSATION)
    text = encoder.encode_prompt(prompt).text
    assert text.index("where is Mary") < text.index("You answer")
    assert text[slice(*encoder.place_span(prompt, (4, 10)))] == "answer"


def test_a_place_over_two_messages_reaches_over_what_stands_between_them() -> None:
    encoder = Encoder(tokenizer_with(CHATML), None, chat_template=True)
    prompt = prompt_of(("system", "Be brief."), ("user", "Hello?"))
    text = encoder.encode_prompt(prompt).text
    start, end = encoder.place_span(prompt, (3, len(prompt.text)))
    assert text[start:end] == "brief.<|im_end|>\n<|im_start|>user\nHello?"
    assert encoder.place_span(prompt, (0, 0)) == (text.index("Be"),) * 2


def test_an_assistants_words_that_come_last_are_gone_on_with() -> None:
    tokenizer = tokenizer_with(CHATML)
    encoder = Encoder(tokenizer, None, chat_template=True)
    prompt = prompt_of(("user", "How are you?"), ("assistant", "I am so"))
    alone = encoder.encode_prompt(prompt)
    assert alone.text.endswith("assistant\nI am so")
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") not in alone.ids[-8:]
    readout = encoder.continuation(alone.text, "glad")
    after = encoder.encode_prompt(prompt, readout)
    assert after.text.endswith("I am so glad")
    assert after.ids[: len(alone)] == alone.ids


def test_an_answer_begins_the_assistants_turn_where_no_words_of_it_are_given() -> None:
    encoder = Encoder(tokenizer_with(CHATML), None, chat_template=True)
    prompt = prompt_of(("system", "Be brief."), ("user", "How are you?"))
    assert encoder.encode_prompt(prompt, "Fine").text.endswith("<|im_start|>assistant\nFine")


@pytest.mark.parametrize("turns", [CONVERSATION, CONVERSATION[:3], CONVERSATION[1:2]])
def test_thinking_is_told_to_a_template_that_knows_it(turns: Any) -> None:
    tokenizer = tokenizer_with(THINKS)
    texts = {}
    for thinking, options in ((None, {}), ("on", {"enable_thinking": True}), ("off", {"enable_thinking": False})):
        encoder = Encoder(tokenizer, None, chat_template=True, thinking=thinking)
        texts[thinking] = encoder.encode_prompt(prompt_of(*turns)).text
        assert texts[thinking] == as_transformers_renders(tokenizer, turns, **options)
    assert texts[None] == texts["on"]
    assert (texts["off"] == texts["on"]) == (turns[-1][0] == "assistant"), "words of the assistant are given"
    prints = {Chat(tokenizer, THINKS, thinking).fingerprint() for thinking in (None, "on", "off")}
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("template", "asked", "thinking", "words"),
    [
        (CHATML, True, "on", "does not know thinking"),
        (THINKS, False, "off", "add --chat-template"),
        (THINKS, True, "perhaps", "on, off"),
    ],
)
def test_thinking_where_it_says_nothing_is_refused(template: str, asked: bool, thinking: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        _ = Encoder(tokenizer_with(template), None, chat_template=asked, thinking=thinking).chat


LAST_DROPPED = "{% for m in messages %}{% if m.role != 'assistant' %}{{ m.content }}{% endif %}{% endfor %}>"
REFUSED = {
    "drops the system message": (
        "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}>", CONVERSATION[:2],
        "no place for a system message",
    ),
    "knows no system message": (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML,
        CONVERSATION[:2], "System role not supported",
    ),
    "wants turns to alternate": (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}",
        (("assistant", "Hello."), ("user", "Hello?")), "turns of assistant, user, in this order",
    ),
    "drops the assistant": (LAST_DROPPED, CONVERSATION[1:3], "changes the prompt's text"),
    "trims contents": (
        "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}",
        (("user", "Hello"), ("assistant", "I am ")), "strip white space",
    ),
    "looks at what is said": (
        "{% for m in messages %}{{ m.content.split('</think>')[-1] }}\n{% endfor %}",
        (("user", "Hello"), ("assistant", "</think>I am")), "changes the prompt's text",
    ),
    "says the system message twice": (
        "{{ messages[0].content }}{% for m in messages %}{{ m.content }}{% endfor %}", CONVERSATION[:2],
        "2 times in",
    ),
    "puts the user behind the assistant": (
        "{% for m in messages | sort(attribute='role') %}{{ m.role }} {{ m.content }}{% endfor %}", CONVERSATION[1:3],
        "cannot be gone on with",
    ),
    "cannot take an empty system message": (
        "{% for m in messages %}{% if m.content %}<{{ m.content }}>{% endif %}{% endfor %}",
        (("system", ""), ("user", "Hello")), "changes the prompt's text",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_template_that_does_not_hold_every_message_is_refused(name: str) -> None:
    template, turns, words = REFUSED[name]
    with pytest.raises(RequestError) as raised:
        Encoder(tokenizer_with(template), None, chat_template=True).encode_prompt(prompt_of(*turns))
    assert words in str(raised.value)


def test_an_empty_system_message_takes_the_place_of_the_templates_own() -> None:
    encoder = Encoder(tokenizer_with(CHATML), None, chat_template=True)
    text = encoder.encode_prompt(prompt_of(("system", ""), ("user", "Hello"))).text
    assert text.startswith("<|im_start|>system\n<|im_end|>\n<|im_start|>user\nHello<|im_end|>")


def test_a_conversation_without_a_template_is_refused() -> None:
    with pytest.raises(RequestError, match="a conversation needs a chat template"):
        Encoder(tokenizer_with(CHATML), None).encode_prompt(prompt_of(*CONVERSATION))
    with pytest.raises(RequestError, match="the tokenizer has no chat template"):
        Encoder(tokenizer_with(None), None, chat_template=True).encode_prompt(prompt_of(*CONVERSATION))


def test_a_template_that_writes_the_bos_twice_is_refused() -> None:
    tokenizer: Any = tokenizer_with("{{ bos_token }}{{ bos_token }}" + CHATML)
    with pytest.raises(RequestError, match="writes the BOS twice"):
        Encoder(tokenizer, tokenizer.bos_token_id, chat_template=True).encode("Hello")


def test_a_date_in_a_template_is_rendered_once_for_each_order_of_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every prompt of a run says one date, whatever day it becomes."""
    tokenizer: Any = tokenizer_with("Today is {{ strftime_now('%d %b %Y') }}.\n" + CHATML)
    encoder = Encoder(tokenizer, None, chat_template=True)
    first, other = prompt_of(*CONVERSATION[:2]), prompt_of(("system", "Be brief."), ("user", "Hello?"))
    before = encoder.encode_prompt(first).text
    date = before.splitlines()[0]
    assert str(datetime.now().year) in date
    render = type(tokenizer).apply_chat_template

    def tomorrow(*arguments: Any, **options: Any) -> str:
        return render(*arguments, **options).replace(date, "Today is tomorrow.")

    monkeypatch.setattr(type(tokenizer), "apply_chat_template", tomorrow)
    assert encoder.encode_prompt(other).text.splitlines()[0] == date
    assert encoder.encode_prompt(first).text == before


def test_a_fingerprint_of_plain_prompts_says_nothing_of_conversations() -> None:
    """Requests of before conversations keep their digest; others tell which orders of roles were asked."""
    chat = Chat.of(tokenizer_with(CHATML), True)
    assert chat is not None
    assert chat.fingerprint() == chat.fingerprint({("user",)})
    several = [{("user",)}, {("system", "user")}, {("user",), ("system", "user")}, {("user", "assistant")}]
    assert len({chat.fingerprint(roles) for roles in several}) == len(several)
