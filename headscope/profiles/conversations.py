"""A conversation as a prompt: one text of its messages, places in a message as places in that text, and its checks.

1. The text is the messages' contents in order, parted by a blank line; each message knows where its content stands in
   it. So whatever compares, counts or shows prompts reads a conversation like any other text.
2. A place given in a message is moved by where that content begins. No place reaches over two messages.
3. One message of a user, alone, is a plain text: what the model gets is then for ``--chat-template`` to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from headscope.errors import ProfileError
from headscope.profiles.findings import Finding, listed
from headscope.profiles.schema import CorruptedText, MessageSpan, PromptRow
from headscope.profiles.schema import Span as GivenSpan
from headscope.profiles.types import Message, Profile, Prompt
from headscope.profiles.words import first_word

BETWEEN = "\n\n"
Span = tuple[int, int]


def said(row: PromptRow | CorruptedText) -> tuple[str, tuple[Message, ...]]:
    """The text of a row, and where its messages stand in it; none for a plain text."""
    if row.messages is None:
        return row.text or "", ()
    if [message.role for message in row.messages] == ["user"]:
        return row.messages[0].content, ()
    messages: list[Message] = []
    start = 0
    for message in row.messages:
        messages.append(Message(message.role, start, start + len(message.content)))
        start = messages[-1].end + len(BETWEEN)
    return BETWEEN.join(message.content for message in row.messages), tuple(messages)


def span_of(given: GivenSpan | None, prompt: Prompt, where: str) -> Span | None:
    """A place in the prompt's text, as its file gives it; None for none.

    Raises:
        ProfileError: no such message, a place outside it, or in a conversation one that names no message.
    """
    if given is None:
        return None
    if not isinstance(given, MessageSpan):
        if prompt.messages:
            raise ProfileError(
                f"prompt {prompt.id} is a conversation, and a place in it names no message",
                expected='{"message": 1, "start": 4, "end": 11}: counted from 0, characters of its content',
                got=str(given), where=where,
            )  # fmt: skip
        return given[0], given[1]
    if given.message >= len(prompt.parts):
        raise ProfileError(
            f"prompt {prompt.id} has no message {given.message} to mark a place in",
            expected=f"0 to {len(prompt.parts) - 1}", got=str(given.message), where=where,
        )  # fmt: skip
    part = prompt.parts[given.message]
    if not 0 <= given.start < given.end <= part.end - part.start:
        raise ProfileError(
            f"span of prompt {prompt.id} is outside its message {given.message}",
            expected=f"0 <= start < end <= {part.end - part.start}", got=f"[{given.start}, {given.end}]", where=where,
        )  # fmt: skip
    return part.start + given.start, part.start + given.end


def spans_of(given: Mapping[str, GivenSpan] | None, prompt: Prompt, where: str) -> dict[str, Span]:
    """Named places in the prompt's text; raises as ``span_of``."""
    found = {name: span_of(one, prompt, where) for name, one in (given or {}).items()}
    return {name: span for name, span in found.items() if span is not None}


def as_given(span: Span, prompt: Prompt) -> list[int] | dict[str, int]:
    """A place in the prompt's text as a file gives it."""
    if not prompt.messages:
        return list(span)
    index, part = next((i, one) for i, one in enumerate(prompt.messages) if one.start <= span[0] and span[1] <= one.end)
    return {"message": index, "start": span[0] - part.start, "end": span[1] - part.start}


def lexicon_span(prompt: Prompt, words: Sequence[str]) -> Span | None:
    """The first whole word of ``words``, message by message; None where there is none."""
    for part in prompt.parts:
        if found := first_word(prompt.text[part.start : part.end], words):
            return part.start + found[0], part.start + found[1]
    return None


def in_one_part(span: Span, prompt: Prompt) -> bool:
    """Whether a place lies within one message."""
    return any(part.start <= span[0] and span[1] <= part.end for part in prompt.parts)


def conversation_findings(profile: Profile, _: Mapping[str, str]) -> Iterator[Finding]:
    """What an author of conversations should know; nothing where there are none."""
    if not profile.has_messages:
        return
    plain = [prompt.id for prompt in profile.prompts if not prompt.messages]
    yield from listed(
        "warning", "are plain texts beside conversations, so each is put to the model as one turn of a user", plain
    )
    yield from listed(
        "warning",
        "end in an assistant's words, which the model goes on with",
        [prompt.id for prompt in profile.prompts if profile.goes_on(prompt)],
    )
    controls = {prompt.roles for prompt in profile.controls}
    for name in profile.concepts:
        other = [prompt.id for prompt in profile.prompts_of(name) if prompt.roles not in controls]
        yield from listed(
            "warning",
            f"of {name} have turns that no prompt of {profile.control} has, so they differ in more than what is asked",
            other,
        )


def told_apart(prompts: Sequence[Prompt]) -> list[tuple[str, Span | None]]:
    """Each prompt's text and first marked place without the messages that every conversation shares.

    Such messages, one system message say, make prompts of any frame look alike. The place is None where it stood in one
    of them; a prompt of which nothing would be left stays whole.
    """
    talks = [set(prompt.turns) for prompt in prompts if prompt.messages]
    shared = talks[0].intersection(*talks[1:]) if len(talks) > 1 else set[tuple[str, str]]()
    return [_without(prompt, shared) for prompt in prompts]


def _without(prompt: Prompt, shared: set[tuple[str, str]]) -> tuple[str, Span | None]:
    kept = [part for part, turn in zip(prompt.parts, prompt.turns, strict=True) if turn not in shared]
    marked = next(iter(prompt.marked), None)
    if not prompt.messages or len(kept) in (0, len(prompt.parts)):
        return prompt.text, marked
    text, span = "", None
    for part in kept:
        text += BETWEEN if text else ""
        if marked is not None and part.start <= marked[0] and marked[1] <= part.end:
            span = marked[0] - part.start + len(text), marked[1] - part.start + len(text)
        text += prompt.text[part.start : part.end]
    return text, span
