"""One prompt on one model, unedited and under edits: what is tried out before it is tested.

``Inspector`` is a model and a profile, and what any prompt needs of them: control states, steering vectors, laid out by
the same study as the verbs use. A prompt of the profile keeps its id and template; a typed text is a prompt of a
template of its own, so that control states leave nothing out of it. ``Inspection`` is one prompt.

One prompt is an example, not evidence: ``Inspection.test_command`` gives the line that tests the edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Unpack

from headscope.errors import RequestError
from headscope.models.head_model import HeadModel
from headscope.profiles.conversations import BETWEEN
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Message, Profile, Prompt
from headscope.settings import StudyOptions
from headscope.study import Study
from headscope.verbs.inspect_lines import Lines
from headscope.verbs.inspect_tokens import WrittenToken as WrittenToken
from headscope.verbs.inspect_tools import Tools
from headscope.verbs.inspection import TYPED, Inspection


class Inspector:
    """A model and a profile, ready to read any prompt.

    Attributes:
        model: the model.
        study: the same as the verbs', of all concepts of the profile; without a profile it has none.
    """

    def __init__(
        self, model: HeadModel, profile: Profile | None = None, *, loaded: Mapping[str, Any] | None = None,
        **options: Unpack[StudyOptions],
    ) -> None:  # fmt: skip
        """Settle what is asked; nothing runs yet.

        Args:
            model: the model.
            profile: gives readouts, lexicons, control prompts and vectors; without one there are none.
            loaded: keywords of ``load_model`` that the model was loaded with, for the lines to paste; ``bos`` it shows
                itself.
            options: of ``Study``, e.g. ``chat_template``, or ``progress``, told how far control states are.

        Raises:
            RequestError: the tokenizer has no such chat template.
        """
        self._start(Study(model, profile or _NO_PROFILE, **options), loaded)

    @classmethod
    def of(cls, study: Study, *, loaded: Mapping[str, Any] | None = None) -> Inspector:
        """Of a study that there is already."""
        self = object.__new__(cls)
        self._start(study, loaded)
        return self

    def _start(self, study: Study, loaded: Mapping[str, Any] | None) -> None:
        self.study, self.model = study, study.model
        self._loaded = _shown_by(study.model) | dict(loaded or {})
        self._tools = Tools(study, has_profile=study.profile is not _NO_PROFILE)

    @cached_property
    def prompts(self) -> Mapping[str, Prompt]:
        """The prompts of the profile by id."""
        return {prompt.id: prompt for prompt in self.study.profile.prompts}

    def read(
        self, text: str | None = None, *, prompt: str | None = None,
        messages: Sequence[Mapping[str, str]] | None = None, concept: str | None = None,
    ) -> Inspection:  # fmt: skip
        """One prompt: a text, the id of a ``prompt`` of the profile, or the ``messages`` of a conversation.

        ``concept``: the concept that is asked of it; by default the prompt's own, else the profile's first.

        Raises:
            RequestError: none or several of them, no such prompt or concept, or messages of another form.
            ProfileError: it is empty or longer than the model's context.
        """
        if sum(one is not None for one in (text, prompt, messages)) != 1:
            raise RequestError(
                "one prompt is inspected", expected="a text, a prompt's id, or messages: one of the three"
            )
        if messages is not None and self.study.encoder.chat is None:
            raise RequestError("a conversation needs a chat template", fix="ask for it (chat_template=True)")
        names = self.study.profile.chosen(concept)
        asked = next(iter(names), "")
        if prompt is None:
            said, parts = _conversation(messages or ()) if text is None else (text, ())
            return self._inspection(Prompt(TYPED, said, asked, messages=parts), asked, is_typed=True)
        if prompt not in self.prompts:
            raise RequestError(
                f'profile "{self.study.profile.name}" has no prompt "{prompt}"',
                expected="the id of one of its prompts", got=prompt, fix="headscope profiles show NAME lists them",
            )  # fmt: skip
        own = self.prompts[prompt]
        return self._inspection(own, own.concept if concept is None and own.concept in names else asked, is_typed=False)

    def _inspection(self, prompt: Prompt, concept: str, *, is_typed: bool) -> Inspection:
        lines = Lines(self.study, prompt, is_typed, concept, self._loaded)
        return Inspection(lines, self._tools)


def inspect(
    model: HeadModel, text: str | None = None, profile: Profile | str | None = None, concept: str | None = None, *,
    prompt: str | None = None, messages: Sequence[Mapping[str, str]] | None = None,
    chat_template: bool | str = False, thinking: str | None = None,
) -> Inspection:  # fmt: skip
    """One prompt on one model, unedited and under edits; for several prompts see ``verbs.inspect.Inspector``.

    Args:
        model: the model.
        text: the prompt.
        profile: a profile, or its name or folder: gives the log-odds, and the edits ``mean`` and ``add``.
        concept: the concept that is asked of the prompt; its own, or the profile's first, by default.
        prompt: in place of a text, the id of one of the profile's prompts.
        messages: in place of a text, a conversation: ``[{"role": "user", "content": "..."}]``.
        chat_template: wrap a text in the tokenizer's chat template; a name takes one of several.
        thinking: tell the chat template that the model is to think before it answers (``on``), or is not to (``off``).

    Raises:
        RequestError: none or several prompts, no such prompt, concept or template.
        ProfileError: the prompt is empty or longer than the model's context, or there is no such profile.
    """
    asked = load_profile(profile) if isinstance(profile, str) else profile
    template = chat_template if messages is None else chat_template or True
    inspector = Inspector(model, asked, chat_template=template, thinking=thinking)
    return inspector.read(text, prompt=prompt, messages=messages, concept=concept)


def _shown_by(model: HeadModel) -> dict[str, Any]:
    """What the model itself shows of how it was loaded: without its BOS every figure is another."""
    leaves_out = model.bos == "never" and getattr(model.tokenizer, "bos_token_id", None) is not None
    return {"bos": "never"} if leaves_out else {}


_NO_PROFILE = Profile("none", "", "", "", {}, (), (), (), "", "")


def _conversation(messages: Sequence[Mapping[str, str]]) -> tuple[str, tuple[Message, ...]]:
    """The text of a conversation, and where its messages stand in it."""
    parts: list[Message] = []
    start = 0
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role not in ("system", "user", "assistant") or not isinstance(content, str):
            raise RequestError(
                "a message has another form", expected='{"role": "system", "user" or "assistant", "content": "..."}',
                got=repr(dict(message)),
            )  # fmt: skip
        parts.append(Message(role, start, start + len(content)))
        start = parts[-1].end + len(BETWEEN)
    if not parts:
        raise RequestError("a conversation has no message", expected="one or more")
    return BETWEEN.join(message["content"] for message in messages), tuple(parts)
