"""A tokenizer's chat template: which one, where a prompt stands in it, and what ends an answer.

1. The template is rendered with a sentinel in the place of each message's content. What then stands before, between and
   after the sentinels is put around the contents; a content is never searched for, since the template's own words may
   hold it too. Where an assistant's message comes last, the text ends with its content, and the model goes on with it.
2. That is done once for each tokenizer, template and order of roles, so that a template that prints the date says one
   date throughout a run. Beside it each conversation is rendered for itself: a template that does more with contents
   than put them in their places (one that strips, escapes, or looks at what they say) is refused.
3. An answer ends with the first special token that follows an assistant's words, which are rendered in the same way.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from jinja2 import TemplateError

from headscope.errors import RequestError, one_of
from headscope.vocabulary import special_tokens

DEFAULT = "default"
PLAIN = ("user",)
"""The roles of a plain prompt in a template."""

THINKING = ("on", "off")
_KNOWS_THINKING = re.compile(r"\benable_thinking\b")
_TICKS = 3  # a clock that a template prints may tick between two renderings, not between each two of three
# A template is a program, by whoever made the checkpoint: what Python's own operations raise comes through.
_RAISED = (
    TemplateError, ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
Turns = Sequence[tuple[str, str]]
"""Role and content of each message."""


@dataclass(frozen=True)
class Frame:
    """What a template says around the contents of some roles.

    Attributes:
        before: what stands before each content, in the order of the rendering.
        order: which message each of these is.
        after: what stands after the last content.
        goes_on: whether the text ends with the last content, whatever the template says after it.
    """

    before: tuple[str, ...]
    order: tuple[int, ...]
    after: str
    goes_on: bool

    def rendered(self, contents: Sequence[str]) -> str:
        """What the template gives for these contents."""
        said = (piece + contents[index] for piece, index in zip(self.before, self.order, strict=True))
        return "".join((*said, self.after))

    def filled(self, contents: Sequence[str]) -> tuple[str, tuple[int, ...]]:
        """The text that the model gets, and at which character of it each content begins."""
        text, starts = "", [0] * len(contents)
        for piece, index in zip(self.before, self.order, strict=True):
            text += piece
            starts[index] = len(text)
            text += contents[index]
        return text if self.goes_on else text + self.after, tuple(starts)

    @property
    def pieces(self) -> tuple[str, ...]:
        """The template's own words, in order."""
        return (*self.before, self.after)


_FRAMES: WeakKeyDictionary[Any, dict[tuple[str, str | None, tuple[str, ...]], Frame]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Chat:
    """One chat template of a tokenizer.

    Attributes:
        tokenizer: whose template it is.
        template: its Jinja source.
        thinking: whether the model is to think before it answers, ``on`` or ``off``; None: as the template has it.
    """

    tokenizer: Any
    template: str
    thinking: str | None = None

    @classmethod
    def of(cls, tokenizer: Any, asked: bool | str, thinking: str | None = None) -> Chat | None:
        """The template that is asked for: by its name, or (True) the tokenizer's only or default one; None for False.

        Raises:
            RequestError: the tokenizer has none, or none of that name, or several of which none is the default; or
                thinking is asked of a template that does not know it, or of none.
        """
        if thinking is not None:
            one_of("thinking", thinking, THINKING)
        if asked is False:
            if thinking is not None:
                raise RequestError("--thinking is of a chat template", fix="add --chat-template, or leave it out")
            return None
        named = named_templates(tokenizer)
        name = DEFAULT if asked is True else asked
        if not named:
            raise RequestError(
                "the tokenizer has no chat template",
                expected="a tokenizer whose files hold one",
                got=type(tokenizer).__name__,
                fix="run without --chat-template and on prompts without messages, or use the model's chat version",
            )
        if name not in named:
            raise RequestError(
                "the tokenizer has several chat templates and none is the default"
                if asked is True
                else f'the tokenizer has no chat template named "{name}"',
                expected=f"one of {', '.join(sorted(named))}",
                got="no name" if asked is True else name,
                fix="--chat-template-name NAME",
            )
        if thinking is not None and not _KNOWS_THINKING.search(named[name]):
            raise RequestError(
                "the chat template does not know thinking",
                expected="a template that reads enable_thinking",
                got=f"--thinking {thinking}",
                fix="leave it out",
            )
        return cls(tokenizer, named[name], thinking)

    def place(self, turns: Turns) -> tuple[str, tuple[int, ...]]:
        """The text that the model gets for ``turns``, and at which character of it each content begins.

        Where an assistant's turn comes last, the text ends with its content; else with the beginning of an answer.

        Raises:
            RequestError: the template cannot be rendered, leaves a message out, or changes one.
        """
        contents = [content for _, content in turns]
        frame = self.frame(tuple(role for role, _ in turns))
        if not any(self._holds(turns) for _ in range(_TICKS)):
            raise RequestError(
                "the chat template changes the prompt's text, so spans cannot be moved along",
                expected="a template that holds the prompt word for word, and says the same around every prompt",
                got=f"{self._said(turns)[:200]!r} for {' / '.join(contents)[:60]!r}",
                fix="run without --chat-template, or strip white space at the ends of the prompts",
            )
        return frame.filled(contents)

    def frame(self, roles: tuple[str, ...]) -> Frame:
        """What the template says around the contents of these roles, the same each time it is asked for."""
        known = _FRAMES.setdefault(self.tokenizer, {})
        key = self.template, self.thinking, roles
        if key not in known:
            known[key] = self.rendered_anew(roles)
        return known[key]

    def end_of_turn(self) -> int | None:
        """The id of the special token that ends an answer; None where none follows one, or only users are let speak."""
        try:
            after = self.frame(("user", "assistant")).after
        except RequestError:
            return None
        special = special_tokens(self.tokenizer)
        ids = self.tokenizer(after, add_special_tokens=False)["input_ids"]
        return next((int(token) for token in ids if token in special and special[token] in after), None)

    def fingerprint(self, roles: Collection[tuple[str, ...]] = (PLAIN,)) -> str:
        """SHA-256, in hexadecimal, of the template and of what it says around such prompts (a date, say)."""
        said = [piece for each in sorted(set(roles)) for piece in self.frame(each).pieces]
        asked = [] if self.thinking is None else [f"thinking {self.thinking}"]
        return hashlib.sha256("\0".join((self.template, *said, *asked)).encode("utf-8", "surrogatepass")).hexdigest()

    def rendered_anew(self, roles: tuple[str, ...]) -> Frame:
        """``frame`` as the template gives it now.

        Raises:
            RequestError: the template cannot be rendered with these roles, leaves one out, or says one twice.
        """
        sentinels = [_sentinel(index) for index in range(len(roles))]
        rendered = self._said(list(zip(roles, sentinels, strict=True)))
        counts = [rendered.count(sentinel) for sentinel in sentinels]
        if wrong := [
            count for count, role in zip(counts, roles, strict=True) if count != 1 and (count or role != "system")
        ]:
            raise RequestError(
                "the chat template changes the prompt's text, so spans cannot be moved along",
                expected="a template that holds the prompt word for word, once",
                got=f"{wrong[0]} times in {rendered[:200]!r}",
                fix="run without --chat-template",
            )
        if 0 in counts:
            raise RequestError(
                "the chat template has no place for a system message: it leaves it out",
                expected="a template that holds every message word for word, once",
                got=repr(rendered[:200]),
                fix="put what it says into the first message of the user",
            )
        order = sorted(range(len(roles)), key=lambda index: rendered.index(sentinels[index]))
        before: list[str] = []
        for index in order:
            piece, _, rendered = rendered.partition(sentinels[index])
            before.append(piece)
        goes_on = roles[-1] == "assistant"
        if goes_on and order[-1] != len(roles) - 1:
            raise RequestError(
                "the chat template puts another message behind the assistant's last one, so it cannot be gone on with",
                expected="a template that keeps the messages' order",
                got=", ".join(roles[index] for index in order),
                fix="end the messages with one of the user",
            )
        return Frame(tuple(before), tuple(order), rendered, goes_on)

    def _holds(self, turns: Turns) -> bool:
        frame = self.rendered_anew(tuple(role for role, _ in turns))
        return self._said(turns) == frame.rendered([content for _, content in turns])

    def _said(self, turns: Turns) -> str:
        """The rendering; after another's words than the assistant's with the beginning of an answer."""
        roles = [role for role, _ in turns]
        asked = {} if self.thinking is None else {"enable_thinking": self.thinking == "on"}
        options = {"tokenize": False, "add_generation_prompt": roles[-1] != "assistant", **asked}
        messages = [{"role": role, "content": content} for role, content in turns]
        try:
            return str(self.tokenizer.apply_chat_template(messages, chat_template=self.template, **options))
        except _RAISED as error:
            plain = tuple(roles) == PLAIN
            raise RequestError(
                "the chat template cannot be rendered",
                expected="a template that takes "
                + ("one turn of a user" if plain else f"turns of {', '.join(roles)}, in this order"),
                got=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
                fix="run without --chat-template, or mend chat_template in the tokenizer's files"
                if plain
                else "write the messages as the template takes them, or mend chat_template in the tokenizer's files",
            ) from error


def named_templates(tokenizer: Any) -> dict[str, str]:
    """The tokenizer's templates by name; a single one is the default."""
    held = getattr(tokenizer, "chat_template", None)
    if isinstance(held, dict):
        return {str(name): str(template) for name, template in held.items()}
    return {DEFAULT: str(held)} if held else {}


def _sentinel(index: int) -> str:
    """What stands for a message's content; none is in another, nor in any template."""
    return f"qzxheadscopesays{index}zxq"
