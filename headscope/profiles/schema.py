"""The shape of a profile's files: ``profile.yaml`` and one row of prompts.

These models are the format's definition; ``docs/schema/`` holds the JSON Schemas made from them. A prompt is a text,
or a conversation in its place (``_Said``).
"""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

FORMAT = "headscope-profile/1"


def _writable(text: str) -> str:
    """``text``, if it can be written to any file: no half of a surrogate pair, no control character but white space."""
    if not text.isprintable():
        for character in text:
            if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
                raise ValueError(f"text without U+{ord(character):04X}, which is no character to read")
    return text


Readable = Annotated[str, AfterValidator(_writable)]
# A concept's name stands in file names, table cells and "outcome:concept", so no slash, comma, colon or space in it.
Name = Annotated[str, StringConstraints(pattern=r"^[^\W_][\w.-]*$", max_length=64)]
Word = Annotated[str, StringConstraints(pattern=r"^\S+$", max_length=100), AfterValidator(_writable)]
# An entry of a lexicon may be several words: "thank you".
Entry = Annotated[str, StringConstraints(pattern=r"^\S+(\s+\S+)*$", max_length=100), AfterValidator(_writable)]
Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_writable)]
WordsByPart = dict[Readable, Annotated[list[Entry], Field(min_length=1)]]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MessageSpan(_Strict):
    """A place in a message of a conversation."""

    message: Annotated[int, Field(ge=0)] = Field(description="which message, counted from 0")
    start: int = Field(description="its first character, counted in the message's content")
    end: int = Field(description="the character after its last one")


Span = Annotated[list[int], Field(min_length=2, max_length=2)] | MessageSpan


class MessageRow(_Strict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Readable = Field(description="what is said; text alone")


def _one_conversation(messages: list[MessageRow]) -> list[MessageRow]:
    roles = [message.role for message in messages]
    if "system" in roles[1:]:
        raise ValueError("at most one system message, and it comes first")
    if roles == ["system"]:
        raise ValueError("a message of a user or an assistant")
    return messages


Messages = Annotated[list[MessageRow], Field(min_length=1), AfterValidator(_one_conversation)]


class _Said(_Strict):
    """What is put to the model: a text or messages, one of the two."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": ["messages"]}]})

    messages: Messages | None = Field(
        default=None,
        description="a conversation in place of the text, rendered by the tokenizer's chat template; where the last "
        "message is an assistant's, the model goes on with it; one message of a user alone is a plain text",
    )
    text: Readable | None = Field(default=None, validate_default=True, description="the prompt as the model sees it")

    @field_validator("text")
    @classmethod
    def _one_of_two(cls, text: str | None, info: ValidationInfo) -> str | None:
        if "messages" in info.data and text is None and info.data["messages"] is None:
            raise ValueError("this field, or messages in its place")
        if text is not None and info.data.get("messages") is not None:
            raise ValueError("no text beside messages, which stand in its place")
        return text


class CorruptedText(_Said):
    """The partner of a task's prompt: the same template, where another answer is right or none."""

    span: Span | None = Field(default=None, description="the place that matches the clean prompt's span")
    spans: dict[Name, Span] | None = Field(default=None, description="the places that match its named spans")


class PromptRow(_Said):
    """One line of a JSONL file (or of a CSV file, with ``span_start`` and ``span_end`` for ``span``)."""

    concept: Name | None = Field(
        default=None, description="the class: a concept or the control; may be left out where a file holds one class"
    )
    id: Text | None = Field(default=None, description="unique in the profile; class and number if left out")
    span: Span | None = Field(
        default=None,
        description="start and end character (end exclusive) of the word that carries the concept, in a conversation "
        "with its message; found with the lexicon if left out",
    )
    template: Text | None = Field(default=None, description="the frame it was made from; the same id in all classes")
    pair: Text | None = Field(default=None, description="id of the matched control prompt; not on control prompts")
    implicit: bool = Field(default=False, description="true where the span is no word of the lexicon")
    spans: dict[Name, Span] | None = Field(
        default=None,
        description="named places, start and end character (end exclusive); of a task's prompt, where left out, the "
        "words in which it differs from its corrupted partner",
    )
    answers: Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None,
        description="continuations of the text that count as right, exactly as they follow it (a space before them "
        "included); makes the class a task",
    )
    foils: Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None, description="continuations that count as wrong"
    )
    corrupted: Readable | CorruptedText | None = Field(
        default=None, description="the corrupted partner, in place of a row of its own and a pair"
    )


class PromptList(_Strict):
    """The Phase 6 study's file: one class a file, texts only."""

    prompts: Annotated[list[Readable], Field(min_length=1)]


class ConceptSection(_Strict):
    """A concept in ``profile.yaml``."""

    lexicon: WordsByPart | Annotated[list[Entry], Field(min_length=1)] = Field(
        description="the concept's words by part of speech, or a plain list"
    )
    control_lexicon: WordsByPart | Annotated[list[Entry], Field(min_length=1)] | None = Field(
        default=None, description="words of the same kinds that do not carry the concept; the profile's if left out"
    )


class TaskSection(_Strict):
    """A task in ``profile.yaml``: its prompts have answers."""

    description: Readable = Field(default="", description="what it asks, a sentence")


class ProfileFile(_Strict):
    """``profile.yaml``."""

    format: Literal["headscope-profile/1"] = FORMAT
    name: Name
    description: Readable = ""
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")] = Field(
        default="en", description="ISO 639 code of the prompts"
    )
    control: Name | None = Field(
        default=None,
        description="name of the class of prompts that carry no concept; left out: neutral, of tasks corrupted",
    )
    prompts: Text | Annotated[dict[Name, Text], Field(min_length=1)] = Field(
        description="one file with a class on every row, or a mapping class -> file, of any form that is read"
    )
    readouts: list[Text] | None = Field(
        default=None, description="continuations after which the next word tells; left out: the bundled ones; []: none"
    )
    control_lexicon: WordsByPart | Annotated[list[Entry], Field(min_length=1)] | None = Field(
        default=None, description="control words for every concept without its own; left out: the bundled ones"
    )
    reference_words: list[Word] = Field(
        default_factory=list, description="words that decide which first tokens are specific; empty: the bundled list"
    )
    concepts: dict[Name, ConceptSection] = Field(default_factory=dict, description="what is asked by words")
    tasks: dict[Name, TaskSection] = Field(
        default_factory=dict, description="what is asked by each prompt's answers; a profile holds concepts or tasks"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> ProfileFile:
        if bool(self.concepts) == bool(self.tasks):
            raise ValueError("concepts or tasks, one of the two")
        return self
