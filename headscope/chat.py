"""A tokenizer's chat template: which one, where a prompt stands in it, and what ends an answer.

1. The template is rendered around a sentinel that stands for the user's words. What then stands before and after it is
   put around each prompt; a prompt is never searched for, since the template's own words may hold it too.
2. That is done once for each tokenizer and template, so that a template that prints the date says one date throughout
   a run. Beside it each prompt is rendered for itself: a template that does more with it than put it in its place (one
   that strips, escapes, or looks at what it says) is refused.
3. An answer ends with the first special token that follows an assistant's words, which are rendered in the same way.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from jinja2 import TemplateError

from headscope.errors import RequestError
from headscope.vocabulary import special_tokens

DEFAULT = "default"
_USER, _ASSISTANT = "qzxheadscopeaskszxq", "qzxheadscopeanswerszxq"
_TICKS = 3  # a clock that a template prints may tick between two renderings, not between each two of three
# A template is a program, by whoever made the checkpoint: what Python's own operations raise comes through.
_RAISED = (
    TemplateError, ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
_AROUND: WeakKeyDictionary[Any, dict[str, tuple[str, str]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Chat:
    """One chat template of a tokenizer.

    Attributes:
        tokenizer: whose template it is.
        template: its Jinja source.
    """

    tokenizer: Any
    template: str

    @classmethod
    def of(cls, tokenizer: Any, asked: bool | str) -> Chat | None:
        """The template that is asked for: by its name, or (True) the tokenizer's only or default one; None for False.

        Raises:
            RequestError: the tokenizer has none, or none of that name, or several of which none is the default.
        """
        if asked is False:
            return None
        named = _named(tokenizer)
        name = DEFAULT if asked is True else asked
        if not named:
            raise RequestError(
                "the tokenizer has no chat template",
                expected="a tokenizer whose files hold one",
                got=type(tokenizer).__name__,
                fix="run without --chat-template, or use the model's chat version",
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
        return cls(tokenizer, named[name])

    def place(self, prompt: str) -> tuple[str, int]:
        """The text that the model gets for ``prompt``, and at which character of it the prompt begins.

        Raises:
            RequestError: the template cannot be rendered, or changes the prompt.
        """
        before, after = self.around()
        if not any(self._holds(prompt) for _ in range(_TICKS)):
            raise RequestError(
                "the chat template changes the prompt's text, so spans cannot be moved along",
                expected="a template that holds the prompt word for word, and says the same around every prompt",
                got=f"{self._user(prompt)[:200]!r} for {prompt[:60]!r}",
                fix="run without --chat-template, or strip white space at the ends of the prompts",
            )
        return before + prompt + after, len(before)

    def _holds(self, prompt: str) -> bool:
        before, after = _parted(self._user(_USER), _USER)
        return self._user(prompt) == before + prompt + after

    def around(self) -> tuple[str, str]:
        """What stands before and after a user's words, the beginning of the answer included."""
        known = _AROUND.setdefault(self.tokenizer, {})
        if self.template not in known:
            known[self.template] = _parted(self._user(_USER), _USER)
        return known[self.template]

    def end_of_turn(self) -> int | None:
        """The id of the special token that ends an answer; None where none follows one, or only users are let speak."""
        turns = [{"role": "user", "content": _USER}, {"role": "assistant", "content": _ASSISTANT}]
        try:
            _, after = _parted(self._render(turns, begin_answer=False), _ASSISTANT)
        except RequestError:
            return None
        special = special_tokens(self.tokenizer)
        ids = self.tokenizer(after, add_special_tokens=False)["input_ids"]
        return next((int(token) for token in ids if token in special and special[token] in after), None)

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the template and of what it says around a prompt (a date, say)."""
        return hashlib.sha256("\0".join((self.template, *self.around())).encode("utf-8", "surrogatepass")).hexdigest()

    def _user(self, content: str) -> str:
        return self._render([{"role": "user", "content": content}], begin_answer=True)

    def _render(self, turns: list[dict[str, str]], *, begin_answer: bool) -> str:
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    turns, chat_template=self.template, tokenize=False, add_generation_prompt=begin_answer
                )
            )
        except _RAISED as error:
            raise RequestError(
                "the chat template cannot be rendered",
                expected="a template that takes one turn of a user",
                got=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
                fix="run without --chat-template, or mend chat_template in the tokenizer's files",
            ) from error


def _named(tokenizer: Any) -> dict[str, str]:
    """The tokenizer's templates by name; a single one is the default."""
    held = getattr(tokenizer, "chat_template", None)
    if isinstance(held, dict):
        return {str(name): str(template) for name, template in held.items()}
    return {DEFAULT: str(held)} if held else {}


def _parted(rendered: str, sentinel: str) -> tuple[str, str]:
    """What stands before and after the sentinel."""
    if rendered.count(sentinel) != 1:
        raise RequestError(
            "the chat template changes the prompt's text, so spans cannot be moved along",
            expected="a template that holds the prompt word for word, once",
            got=f"{rendered.count(sentinel)} times in {rendered[:200]!r}",
            fix="run without --chat-template",
        )
    before, _, after = rendered.partition(sentinel)
    return before, after
