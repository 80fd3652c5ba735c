"""One prompt on one model, unedited and under edits: what is tried out before it is tested.

``Inspector`` is a model and a profile, and what any prompt needs of them: control states, steering vectors, laid out by
the same study as the verbs use. A prompt of the profile keeps its id and template; a typed text is a prompt of a
template of its own, so that control states leave nothing out of it. ``Inspection`` is one prompt.

One prompt is an example, not evidence: ``Inspection.test_command`` gives the line that tests the edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from headscope.errors import RequestError
from headscope.models.head_model import HeadModel
from headscope.profiles.conversations import BETWEEN
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Message, Profile, Prompt
from headscope.study import Study
from headscope.verbs.inspect_edits import EditMaker
from headscope.verbs.inspect_tokens import TokenTexts
from headscope.verbs.inspection import TYPED, Inspection
from headscope.verbs.inspection import WrittenToken as WrittenToken


class Inspector:
    """A model and a profile, ready to read any prompt.

    Attributes:
        study: the same as the verbs', of all concepts of the profile; without a profile it has none.
        profile: what was handed over; None where nothing was.
    """

    def __init__(
        self, model: HeadModel, profile: Profile | None = None, *, chat_template: bool | str = False,
        progress: Callable[[str, int, int], None] | None = None, **study: Any,
    ) -> None:  # fmt: skip
        """Settle what is asked; nothing runs yet.

        Args:
            model: the model.
            profile: gives readouts, lexicons, control prompts and vectors; without one there are none.
            chat_template: wrap prompts in the tokenizer's chat template.
            progress: told how far control states are, as ``progress(stage, done, total)``.
            study: further options of ``Study``.

        Raises:
            RequestError: the tokenizer has no such chat template.
        """
        self.model, self.profile = model, profile
        asked = _NO_PROFILE if profile is None else profile
        self.study = Study(model, asked, chat_template=chat_template, progress=progress, **study)
        self._edits = EditMaker(self.study, has_profile=profile is not None)
        self._texts = TokenTexts(model.tokenizer)

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
        names = self.study.names
        if concept is not None:
            self.study.profile.chosen(concept)
        if prompt is not None:
            if prompt not in self.prompts:
                raise RequestError(
                    f'profile "{self.study.profile.name}" has no prompt "{prompt}"',
                    expected="the id of one of its prompts", got=prompt, fix="headscope profiles show NAME lists them",
                )  # fmt: skip
            own = self.prompts[prompt]
            asked = concept or (own.concept if own.concept in names else next(iter(names), ""))
            return Inspection(self.study, own, asked, self._edits, self._texts)
        asked = concept or next(iter(names), "")
        said, parts = _conversation(messages or ()) if text is None else (text, ())
        typed = Prompt(TYPED, said, asked, messages=parts)
        return Inspection(self.study, typed, asked, self._edits, self._texts)


def inspect(
    model: HeadModel, text: str | None = None, profile: Profile | str | None = None, concept: str | None = None,
    *, prompt: str | None = None, chat_template: bool | str = False,
    messages: Sequence[Mapping[str, str]] | None = None,
) -> Inspection:  # fmt: skip
    """One prompt on one model, unedited and under edits; see ``verbs.inspect.Inspection``."""
    asked = load_profile(profile) if isinstance(profile, str) else profile
    template = chat_template if messages is None else chat_template or True
    return Inspector(model, asked, chat_template=template).read(text, prompt=prompt, messages=messages, concept=concept)


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
