"""Lines to paste: the command and the Python that give an inspected prompt again, and the command that tests its edit.

An edit is written as one word beside its heads: ``zero``, ``mean``, ``bos``, ``scale=0.5``, ``add=4``, or
``add=4:gratitude`` along the vector of another concept than the prompt's.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from headscope.errors import RequestError
from headscope.heads import HeadSet
from headscope.models.editing import HeadEdit
from headscope.profiles.types import Prompt
from headscope.stats.dosing import NEUTRAL_DOSES
from headscope.study import Study
from headscope.verbs.inspect_edits import KINDS

_MEASURED = ("zero", "mean", "bos")
_FORMS = "zero, mean, bos, scale=FACTOR, add=DOSE or add=DOSE:CONCEPT"


@dataclass(frozen=True)
class AskedEdit:
    """What ``Inspection.edit`` is asked.

    Attributes:
        heads: which.
        kind: ``zero``, ``mean``, ``bos``, ``scale`` or ``add``.
        factor: of ``scale``.
        dose: of ``add``.
        concept: of ``add``; None for the prompt's.
    """

    heads: str
    kind: str
    factor: float | None = None
    dose: float | None = None
    concept: str | None = None

    @classmethod
    def read(cls, heads: str, word: str) -> AskedEdit:
        """Of a word such as ``scale=0.5``.

        Raises:
            RequestError: it has another form.
        """
        kind, equals, value = word.partition("=")
        number, colon, concept = value.partition(":")
        try:
            amount = float(number) if equals else None
        except ValueError:
            raise _malformed(word) from None
        if (
            kind not in KINDS
            or (amount is not None) != (kind in NEUTRAL_DOSES)
            or (colon and (kind != "add" or not concept))
        ):
            raise _malformed(word)
        if kind == "scale":
            return cls(heads, kind, factor=amount)
        return cls(heads, kind, dose=amount, concept=concept or None)

    @classmethod
    def of(cls, edit: HeadEdit, concept: str, heads_per_layer: Sequence[int]) -> AskedEdit:
        """Of an edit of a prompt that is asked ``concept``.

        Raises:
            RequestError: its values were given, so no line holds them.
        """
        heads = shortened(HeadSet.parse(edit.heads, heads_per_layer), heads_per_layer)
        kind = str(edit.about.get("inspected", edit.kind))
        if kind == "scale":
            return cls(heads, kind, factor=edit.factor)
        if kind == "add" and "dose" in edit.about:
            other = str(edit.about["concept"])
            return cls(heads, kind, dose=float(edit.about["dose"]), concept=None if other == concept else other)
        if kind in _MEASURED and edit.value_bias == "zero" and (kind == "zero" or "inspected" in edit.about):
            return cls(heads, kind)
        raise RequestError(
            "no line to paste holds this edit, because its values or its value bias were given",
            expected="an edit that Inspection.edit made, or headscope.zero or headscope.scale", got=edit.kind,
            fix="save it (model.save_edit)",
        )  # fmt: skip

    @property
    def word(self) -> str:
        """As it stands on a command line."""
        if self.factor is not None:
            return f"{self.kind}={self.factor!r}"
        if self.dose is not None:
            return f"{self.kind}={self.dose!r}" + (f":{self.concept}" if self.concept else "")
        return self.kind

    @property
    def call(self) -> str:
        """As it stands in Python, on a ``view``."""
        values = {"factor": self.factor, "dose": self.dose, "concept": self.concept}
        more = "".join(f", {name}={value!r}" for name, value in values.items() if value is not None)
        return f"view.edit({self.heads!r}, {self.kind!r}{more})"


def shortened(heads: HeadSet, heads_per_layer: Sequence[int]) -> str:
    """The shortest spec of a set: whole layers as ``5:*``, three heads or more in a row as ``5:0-2``."""
    parts: list[str] = []
    for layer, of_layer in groupby(heads, lambda head: head.layer):
        numbers = [head.head for head in of_layer]
        if len(numbers) == heads_per_layer[layer] and len(numbers) > 1:
            parts.append(f"{layer}:*")
            continue
        for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
            members = [number for _, number in run]
            ranged = [f"{layer}:{members[0]}-{members[-1]}"] if len(members) > 2 else []
            parts += ranged or [f"{layer}:{number}" for number in members]
    return ",".join(parts)


@dataclass(frozen=True)
class Lines:
    """The lines of one prompt.

    Attributes:
        study: the model and the profile.
        prompt: what is put to the model.
        is_typed: whether it is none of the profile's.
        concept: what is asked of it; empty without a profile.
        loaded: keywords of ``load_model`` that the model was loaded with, beside its name.
    """

    study: Study
    prompt: Prompt
    is_typed: bool
    concept: str
    loaded: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def command(self, edits: Sequence[HeadEdit], writing: Mapping[str, Any]) -> str:
        """``headscope inspect ...``."""
        words = ["headscope", "inspect", *self._asked()]
        for edit in self._edits(edits):
            words += ["--heads", edit.heads, "--edit", edit.word]
        for name, value in writing.items():
            words += _option(name, value)
        if not self.is_typed:
            words += ["--prompt-id", self.prompt.id]
        elif self.prompt.messages:
            words += ["--messages", json.dumps(self._messages, ensure_ascii=False)]
        else:
            words += ["--", self.prompt.text] if self.prompt.text.startswith("-") else [self.prompt.text]
        return shlex.join(words)

    def python(self, edits: Sequence[HeadEdit], writing: Mapping[str, Any], *, reads_log_odds: bool) -> str:
        """Lines of Python that print what the command prints."""
        settings, profile = self.study.settings, self._profile
        load = "".join(f", {name}={value!r}" for name, value in self.loaded.items())
        if not self.is_typed:
            asked = [f"prompt={self.prompt.id!r}"]
        else:
            asked = [f"messages={self._messages!r}" if self.prompt.messages else repr(self.prompt.text)]
        asked += [f"profile={profile!r}", f"concept={self.concept!r}"] if profile else []
        asked += [f"chat_template={settings.chat_template!r}"] if settings.chat_template else []
        asked += [f"thinking={settings.thinking!r}"] if settings.thinking else []
        written = "".join(f", {name}={value!r}" for name, value in writing.items())
        return "\n".join([
            "import headscope as hs",
            "",
            f"model = hs.load_model({self.study.model.name!r}{load})",
            f"view = hs.inspect(model, {', '.join(asked)})",
            f"edits = [{', '.join(edit.call for edit in self._edits(edits))}]",
            "print(view.next_words(edits))",
            *(["print(view.log_odds(edits))"] if reads_log_odds else []),
            f"print(view.texts(edits{written}))",
        ])  # fmt: skip

    def test_command(self, edits: Sequence[HeadEdit]) -> str:
        """The commands that measure the edits on the whole profile, a line each; without edits that try every head."""
        asked = [edit for edit in self._edits(edits) if (edit.kind, edit.factor) != ("scale", NEUTRAL_DOSES["scale"])]
        if not asked:
            return shlex.join(["headscope", "sweep", *self._asked()])
        lines: list[str] = []
        for edit in asked:
            words = ["--heads", edit.heads, "--edit", edit.kind]
            if edit.kind in _MEASURED:
                lines.append(shlex.join(["headscope", "ablate", *self._asked(), *words]))
                continue
            amount = edit.factor if edit.dose is None else edit.dose
            target = ["--target", "concept"] if edit.kind == "scale" else []
            words += [f"--doses={amount!r}", *target]
            lines.append(shlex.join(["headscope", "steer", *self._asked(edit.concept), *words]))
        return "\n".join(lines)

    def _edits(self, edits: Sequence[HeadEdit]) -> list[AskedEdit]:
        return [AskedEdit.of(edit, self.concept, self.study.model.heads_per_layer) for edit in edits]

    def _asked(self, concept: str | None = None) -> list[str]:
        """Model, profile, concept, and how texts are put to the model."""
        settings, asked = self.study.settings, concept or self.concept
        words = ["--model", self.study.model.name]
        for name, value in self.loaded.items():
            words += _option(name, value)
        words += ["--profile", self._profile] if self._profile else []
        words += ["--concept", asked] if asked else []
        if isinstance(settings.chat_template, str):
            words += ["--chat-template-name", settings.chat_template]
        elif settings.chat_template:
            words.append("--chat-template")
        return words + (["--thinking", settings.thinking] if settings.thinking else [])

    @property
    def _profile(self) -> str:
        """As ``load_profile`` takes it; empty without one."""
        profile = self.study.profile
        return profile.name if profile.source == "bundled" else profile.source

    @property
    def _messages(self) -> list[dict[str, str]]:
        return [{"role": role, "content": content} for role, content in self.prompt.turns]


def _option(name: str, value: Any) -> list[str]:
    """An option of a command line, its value where it is no switch."""
    flag = "--" + name.replace("_", "-")
    return [flag] if value is True else [] if value in (None, False) else [flag, str(value)]


def _malformed(word: str) -> RequestError:
    return RequestError(f'the edit "{word}" is malformed', expected=_FORMS, got=word)
