"""A conversation is measured as the text that its chat template makes of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from headscope.errors import RequestError
from headscope.measure.regions import PUNCTUATION, divide
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.profiles.conversations import BETWEEN
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Message, Profile, Prompt
from headscope.study import Study
from headscope.verbs.attribute import attribute
from headscope.verbs.screen import screen
from headscope.verbs.sweep import sweep
from tests.small_tasks import task_profile

TEMPLATE = (
    "{% for m in messages %}### {{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}### assistant: I{% endif %}"
)
BEFORE, AFTER = "Say what you feel.", "Well, to be honest, I"


@pytest.fixture(scope="module")
def model() -> HeadModel:
    """The bundled model, its tokenizer with a chat template."""
    demo = load_model("demo", device="cpu")
    tokenizer = copy.deepcopy(demo.tokenizer)
    tokenizer.chat_template = TEMPLATE
    return replace(demo, tokenizer=tokenizer)


def talking(prompt: Prompt, *, prefilled: bool) -> Prompt:
    """The prompt between a system message and, where ``prefilled``, the beginning of an answer."""
    start = len(BEFORE + BETWEEN)
    messages = [Message("system", 0, len(BEFORE)), Message("user", start, start + len(prompt.text))]
    text = BEFORE + BETWEEN + prompt.text
    if prefilled:
        messages.append(Message("assistant", len(text + BETWEEN), len(text + BETWEEN + AFTER)))
        text += BETWEEN + AFTER
    span = None if prompt.span is None else (prompt.span[0] + start, prompt.span[1] + start)
    return replace(prompt, text=text, span=span, messages=tuple(messages))


def profile_of(change: Callable[[Prompt], Prompt]) -> Profile:
    """Seven templates of anger and its controls, changed."""
    bundled = load_profile("baseline")
    kept = sorted({prompt.template or "" for prompt in bundled.controls})[:7]
    prompts = [one for one in bundled.prompts if one.template in kept and one.concept in ("anger", "neutral")]
    return replace(
        bundled, concepts={"anger": bundled.concepts["anger"]}, prompts=tuple(map(change, prompts)),
        readouts=bundled.readouts[:2],
    )  # fmt: skip


def written_out(prompt: Prompt, study: Study) -> Prompt:
    """The text that the template makes of a prompt, as a plain one."""
    span = None if prompt.span is None else study.encoder.place_span(prompt, prompt.span)
    spans = {name: study.encoder.place_span(prompt, place) for name, place in prompt.spans.items()}
    return replace(prompt, text=study.encoder.encode_prompt(prompt).text, span=span, spans=spans, messages=())


@pytest.mark.parametrize("prefilled", [False, True])
def test_a_conversation_is_measured_as_the_text_that_its_template_makes_of_it(
    model: HeadModel, prefilled: bool
) -> None:
    profile = profile_of(lambda prompt: talking(prompt, prefilled=prefilled))
    study = Study(model, profile)
    assert study.settings.chat_template is True
    plain = Study(model, replace(profile, prompts=tuple(written_out(prompt, study) for prompt in profile.prompts)))
    assert plain.settings.chat_template is False
    verbs: list[Callable[[Study], Any]] = [
        screen, lambda asked: sweep(asked, heads="1:2"), lambda asked: attribute(asked, verify=0),
    ]  # fmt: skip
    for verb in verbs:
        pd.testing.assert_frame_equal(verb(study).table, verb(plain).table)


@pytest.mark.parametrize(("beginning", "answers"), [(None, ("Anna", "Tom")), ("It was", (" Anna", " Tom"))])
def test_answers_begin_the_assistants_turn_or_go_on_with_its_beginning(
    model: HeadModel, beginning: str | None, answers: tuple[str, str]
) -> None:
    def said(name: str, other: str, verb: str) -> list[dict[str, str]]:
        question = f"{name} and {other} {verb}. Then {other} gave it to someone. To whom?"
        turns = [
            ("system", "Say a name."),
            ("user", question),
            *([] if beginning is None else [("assistant", beginning)]),
        ]
        return [{"role": role, "content": content} for role, content in turns]

    rows = [
        {
            "id": f"p{t}", "template": f"t{t}", "answers": [answers[0]], "foils": [answers[1]],
            "messages": said("Anna", "Tom", verb), "spans": {"io": {"message": 1, "start": 0, "end": 4}},
            "corrupted": {"messages": said("Kate", "Tom", verb)},
        }
        for t, verb in enumerate(("walked", "sang all day", "ate lunch", "read a book", "slept", "came home late"))
    ]  # fmt: skip
    profile = task_profile(rows)
    study = Study(model, profile)
    assert [prompt.span_text or prompt.text[slice(*prompt.spans["io"])] for prompt in profile.controls] == ["Kate"] * 6
    layout = study.layouts[0]
    assert layout.answers.continuations[0].text == answers[0]
    assert layout.tokens.text.endswith("### assistant: I" if beginning is None else "### assistant: It was")
    plain = Study(model, replace(profile, prompts=tuple(written_out(prompt, study) for prompt in profile.prompts)))
    for verb in (screen, lambda asked: sweep(asked, heads="1:2")):
        pd.testing.assert_frame_equal(verb(study).table, verb(plain).table)


def test_plain_prompts_beside_conversations_are_a_users_turn(model: HeadModel) -> None:
    plain = profile_of(lambda prompt: prompt)
    mixed = replace(plain, prompts=(talking(plain.prompts[0], prefilled=False), *plain.prompts[1:]))
    asked = [Study(model, mixed), Study(model, plain, chat_template=True)]
    texts = [[layout.tokens.text for layout in study.layouts] for study in asked]
    assert texts[0][1:] == texts[1][1:]
    assert texts[0][0] != texts[1][0]
    assert texts[0][1].startswith("### user: ")


def test_the_final_punctuation_of_a_conversation_is_its_last_messages(model: HeadModel) -> None:
    text = "Stop!\n\n?!"
    prompt = Prompt("a", text, "anger", messages=(Message("system", 0, 5), Message("user", 7, 9)))
    study = Study(model, profile_of(lambda one: talking(one, prefilled=False)))
    found = divide(study.encoder, prompt, "so")
    tokens = study.encoder.encode_prompt(prompt)
    marked = [tokens.offsets[index] for index in (found.regions == PUNCTUATION).nonzero()[0]]
    assert "".join(tokens.text[slice(*offset)] for offset in marked).strip() == "?!"


def test_a_template_or_thinking_that_is_not_there_is_refused_before_anything_is_laid_out(model: HeadModel) -> None:
    demo = load_model("demo", device="cpu")
    conversations = profile_of(lambda prompt: talking(prompt, prefilled=False))
    plain = profile_of(lambda prompt: prompt)
    for other, profile, thinking, words in (
        (demo, conversations, None, "no chat template"),
        (model, conversations, "on", "does not know thinking"),
        (model, plain, "on", "add --chat-template"),
    ):
        with pytest.raises(RequestError, match=words):
            Study(other, profile, thinking=thinking)
