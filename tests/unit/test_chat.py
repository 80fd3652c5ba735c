"""Laws of chat templates: where a prompt stands, which template is taken, what ends an answer, what is refused."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from headscope.chat import Chat
from headscope.errors import RequestError
from headscope.profiles.types import Prompt
from headscope.tokens import Encoder

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITH_SYSTEM = "<|im_start|>system\nYou are here to help the user.<|im_end|>\n" + CHATML


def tokenizer_with(template: str | dict[str, str] | None) -> PreTrainedTokenizerFast:
    """Bytes and special tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|endoftext|>", bos_token="<s>")
    made.add_tokens([AddedToken(text, special=True) for text in ("<|im_start|>", "<|im_end|>", "<end_of_turn>")])
    made.add_tokens([AddedToken("  ", special=False)])
    made.chat_template = template
    return made


def slowly(template: str, prompt: str) -> tuple[str, int]:
    """The template rendered by Jinja itself, and where the *user's* turn begins: after the last turn's header."""
    import jinja2

    text = jinja2.Template(template).render(
        messages=[{"role": "user", "content": prompt}], add_generation_prompt=True, bos_token="<s>"
    )
    header = "<|im_start|>user\n"
    return text, text.rindex(header) + len(header)


@pytest.mark.parametrize(
    "prompt", ["help", "You are", "user", "here to help the user.", "assistant", "I am glad.", "\n"]
)
def test_a_prompt_stands_in_the_users_turn_whatever_else_the_template_says(prompt: str) -> None:
    encoder = Encoder(tokenizer_with(WITH_SYSTEM), None, chat_template=True)
    text, start = slowly(WITH_SYSTEM, prompt)
    tokens = encoder.encode(prompt)
    assert tokens.text == text
    assert encoder.place_span(Prompt("a", prompt, "joy"), (0, len(prompt))) == (start, start + len(prompt))
    spelled = [tokens.ids[i] for i in tokens.of_span((start, start + len(prompt)))]
    assert encoder.tokenizer.decode(spelled).split() == "".join(prompt.split()).split(), "spaces are in no span"


def test_an_answer_begins_without_a_space_after_the_line_that_opens_it() -> None:
    encoder = Encoder(tokenizer_with(CHATML), None, chat_template=True)
    tokens = encoder.encode("Hello.")
    assert encoder.continuation(tokens.text, "I am") == "I am"
    assert encoder.continuation("Hello.", "I am") == " I am"
    assert encoder.continuation("Hello.<|im_end|>", "I am") == "I am", "nor after a special token"
    assert encoder.space_before("glad", "Hello.<|im_end|>") == ""
    assert encoder.continuation("Hello. ", "I am") == " I am", "the space that a prompt ends in stays its own token"


def test_a_template_that_writes_the_bos_itself_keeps_that_one() -> None:
    tokenizer = tokenizer_with("{{ bos_token }}" + CHATML)
    with_its_own = Encoder(tokenizer, tokenizer.bos_token_id, chat_template=True).encode("Hello.")
    assert with_its_own.ids.count(tokenizer.bos_token_id) == 1
    tokenizer.chat_template = CHATML
    assert Encoder(tokenizer, tokenizer.bos_token_id, chat_template=True).encode("Hello.").ids == with_its_own.ids


def test_a_template_is_rendered_once_so_that_a_clock_in_it_does_not_tick_within_a_run(monkeypatch) -> None:
    days = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    tokenizer = tokenizer_with("unused")
    encoder = Encoder(tokenizer, None, chat_template=True)

    def render(turns, **_):
        return f"{today[0]}: {turns[0]['content']}!"

    today = [next(days)]
    monkeypatch.setattr(tokenizer, "apply_chat_template", render)
    assert encoder.encode("Hello").text == "A: Hello!"
    before = Chat.of(tokenizer, True).fingerprint()
    today = [next(days)]
    assert encoder.encode("Bye").text == "A: Bye!", "one run, one date"
    assert Chat.of(tokenizer, True).fingerprint() == before
    fresh = tokenizer_with("unused")
    monkeypatch.setattr(fresh, "apply_chat_template", render)
    assert Chat.of(fresh, True).fingerprint() != before, "another run, another date, another request"


@pytest.mark.parametrize(
    ("template", "prompt", "words"),
    [
        ("{{ messages[0].content | trim }}>", "Hello ", "changes the prompt's text"),
        ("{{ messages[0].content | upper }}>", "Hello", "changes the prompt's text"),
        ("{{ messages[0].content | e }}>", "A < B", "changes the prompt's text"),
        ("{{ messages[0].content }}{{ messages[0].content }}>", "Hello", "changes the prompt's text"),
        (
            "{% if 'Hello' in messages[0].content %}Hi!{% endif %}{{ messages[0].content }}>",
            "Hello",
            "changes the prompt",
        ),
        ("no words of the user", "Hello", "changes the prompt's text"),
        ("{{ messages[0].content", "Hello", "cannot be rendered"),
        ("{{ messages[0].content.nothing.there }}", "Hello", "cannot be rendered"),
        ("{{ messages[0].content + 1 }}", "Hello", "cannot be rendered"),
        ("{{ 1 / 0 }}", "Hello", "cannot be rendered"),
        ("{{ messages[7].content.x }}", "Hello", "cannot be rendered"),
        ("{{ raise_exception('a system message must come first') }}", "Hello", "a system message must come first"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "Hello", "cannot be rendered"),
        ("{{ ''.__class__.__mro__ }}{{ messages[0].content }}", "Hello", "cannot be rendered"),
    ],
)
def test_a_template_that_does_more_than_put_the_prompt_in_its_place_is_refused(template, prompt, words) -> None:
    with pytest.raises(RequestError, match=words) as raised:
        Encoder(tokenizer_with(template), None, chat_template=True).encode(prompt)
    assert raised.value.exit_code == 2


def test_one_of_several_templates_is_taken_by_its_name() -> None:
    named = {"default": "D {{ messages[0].content }}", "rag": "R {{ messages[0].content }}"}
    for asked, text in ((True, "D x"), ("default", "D x"), ("rag", "R x")):
        assert Encoder(tokenizer_with(named), None, chat_template=asked).encode("x").text == text
    single = tokenizer_with("S {{ messages[0].content }}")
    for asked in (True, "default"):
        assert Encoder(single, None, chat_template=asked).encode("x").text == "S x"


@pytest.mark.parametrize(
    ("template", "asked", "words"),
    [
        ({"rag": "R", "tool_use": "T"}, True, ["none is the default", "rag, tool_use", "--chat-template-name"]),
        ({"rag": "R", "tool_use": "T"}, "chat", ['no chat template named "chat"', "rag, tool_use"]),
        ("S {{ messages[0].content }}", "chat", ['no chat template named "chat"', "default"]),
        (None, True, ["has no chat template"]),
        (None, "chat", ["has no chat template"]),
        ({}, True, ["has no chat template"]),
    ],
)
def test_a_template_that_is_not_there_is_named(template, asked, words) -> None:
    with pytest.raises(RequestError) as raised:
        Encoder(tokenizer_with(template), None, chat_template=asked).encode("x")
    assert all(word in str(raised.value) for word in words), raised.value


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}<end_of_turn>\n{% endfor %}", "<end_of_turn>"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}", "<|endoftext|>"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}  \n{% endfor %}", None),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}Bot:", None),
        ("{% if messages | length > 1 %}{{ raise_exception('users only') }}{% endif %}{{ messages[0].content }}", None),
    ],
)
def test_an_answer_ends_with_the_first_special_token_after_it(template: str, end: str | None) -> None:
    tokenizer = tokenizer_with(template)
    found = Chat.of(tokenizer, True).end_of_turn()
    assert (None if found is None else tokenizer.convert_ids_to_tokens(found)) == end
