"""What is asked of a model: concepts, their words, the prompts that carry them, and the controls that do not.

Plain frozen records; reading and checking them is ``loading.py``'s work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headscope.errors import RequestError


@dataclass(frozen=True)
class Message:
    """A turn of a conversation: who speaks (``system``, ``user``, ``assistant``), and where in the prompt's text."""

    role: str
    start: int
    end: int


@dataclass(frozen=True)
class Prompt:
    """One text put to the model.

    Attributes:
        id: unique in its profile, e.g. ``gratitude-017``.
        text: the prompt as the model sees it; of a conversation the contents of its messages, in order, parted by a
            blank line (the model sees them in the tokenizer's chat template).
        concept: the class it belongs to, a concept's name or the control's.
        span: start and end character of the words that carry the concept (end exclusive); in a control prompt, of
            the neutral words in the same slot; None where no such place is known.
        template: id of the frame the prompt was made from, shared by all classes; None where unknown.
        pair: id of the matched control prompt (same template, neutral words in the slot); None where there is none
            and always None on control prompts.
        implicit: True where the span is no word of the concept's lexicon.
        spans: named places in the text (``io``, ``subject``), start and end character, in the order given.
        answers: continuations of the text that count as right, as they follow it, a space before them included; a task
            has them, a concept has none. A corrupted prompt is read with those of its clean partner.
        foils: continuations that count as wrong.
        messages: of a conversation, in order; where the last one is an assistant's, the model goes on with it. Empty
            for a plain text.
    """

    id: str
    text: str
    concept: str
    span: tuple[int, int] | None = None
    template: str | None = None
    pair: str | None = None
    implicit: bool = False
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]], hash=False)
    answers: tuple[str, ...] = ()
    foils: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()

    @property
    def parts(self) -> tuple[Message, ...]:
        """The messages; a plain text as a user's."""
        return self.messages or (Message("user", 0, len(self.text)),)

    @property
    def roles(self) -> tuple[str, ...]:
        """Who speaks, in order."""
        return tuple(part.role for part in self.parts)

    @property
    def turns(self) -> tuple[tuple[str, str], ...]:
        """Role and content of each message; a plain text as a user's."""
        return tuple((part.role, self.text[part.start : part.end]) for part in self.parts)

    @property
    def marked(self) -> tuple[tuple[int, int], ...]:
        """Every place that carries what is asked, each once, from left to right: the span and the named ones."""
        places = {*self.spans.values()} if self.span is None else {self.span, *self.spans.values()}
        return tuple(sorted(places))

    @property
    def continuations(self) -> tuple[str, ...]:
        """Answers, then foils."""
        return self.answers + self.foils

    @property
    def span_text(self) -> str | None:
        """The characters of the span, None where there is none."""
        return None if self.span is None else self.text[self.span[0] : self.span[1]]


@dataclass(frozen=True)
class Lexicon:
    """Words by part of speech, e.g. ``{"adjective": ("grateful", "thankful"), "noun": ("gratitude",)}``."""

    by_part_of_speech: Mapping[str, tuple[str, ...]]

    @property
    def words(self) -> tuple[str, ...]:
        """Every word once, in the order given."""
        return tuple(dict.fromkeys(word for words in self.by_part_of_speech.values() for word in words))


@dataclass(frozen=True)
class Concept:
    """What is looked for: a concept, asked by words that are the same for every prompt, or a task, by prompts' answers.

    Attributes:
        name: of the class of prompts.
        lexicon: a concept's words; a task has none.
        control_lexicon: words of the same kinds that do not carry the concept.
        is_task: whether its prompts have answers.
        description: what it asks, a sentence; may be empty.
    """

    name: str
    lexicon: Lexicon
    control_lexicon: Lexicon
    is_task: bool = False
    description: str = ""


@dataclass(frozen=True)
class Profile:
    """Everything that is asked.

    Attributes:
        name: e.g. ``baseline``.
        description: one sentence.
        language: ISO 639-1 code of the prompts.
        control: name of the control class (``neutral``; of tasks ``corrupted``).
        concepts: by name, in the profile's order; the control class is not among them.
        prompts: concepts' prompts first, in order, then the control's.
        readouts: continuations after which the next word tells; the same for every prompt and arm; may be empty.
        reference_words: words that decide whether a word's first token is specific to it; empty: the bundled list.
        source: folder or file the profile was read from, or ``bundled``.
        fingerprint: SHA-256 of the profile's content in canonical form.
        warnings: what validation let pass, in plain sentences.
    """

    name: str
    description: str
    language: str
    control: str
    concepts: Mapping[str, Concept]
    prompts: tuple[Prompt, ...]
    readouts: tuple[str, ...]
    reference_words: tuple[str, ...]
    source: str
    fingerprint: str
    warnings: tuple[str, ...] = ()

    @property
    def has_messages(self) -> bool:
        """Whether a prompt is a conversation; then every one stands in the chat template, a plain one as a user's."""
        return any(prompt.messages for prompt in self.prompts)

    def goes_on(self, prompt: Prompt) -> bool:
        """Whether what follows a prompt goes on with its last words; else it begins an assistant's turn.

        False says nothing of a run with ``--chat-template``, which a profile does not know of.
        """
        return prompt.roles[-1] == "assistant" if self.has_messages else True

    @property
    def has_tasks(self) -> bool:
        """Whether answers of each prompt are asked for, in place of a concept's words; never both in one profile."""
        return any(concept.is_task for concept in self.concepts.values())

    def prompts_of(self, concept: str) -> tuple[Prompt, ...]:
        """The prompts of one class, a concept or the control, in order."""
        return tuple(prompt for prompt in self.prompts if prompt.concept == concept)

    @property
    def controls(self) -> tuple[Prompt, ...]:
        """The control class's prompts, in order."""
        return self.prompts_of(self.control)

    def chosen(self, concepts: Sequence[str] | str | None) -> tuple[str, ...]:
        """The concepts asked for, in the profile's order; all of them where None.

        Raises:
            RequestError: one is not in the profile, or the control class is asked for.
        """
        if concepts is None:
            return tuple(self.concepts)
        asked = (concepts,) if isinstance(concepts, str) else tuple(concepts)
        for name in asked:
            if name not in self.concepts:
                raise RequestError(
                    f'profile "{self.name}" has no concept "{name}"',
                    expected=", ".join(self.concepts),
                    got=name,
                    fix="headscope profiles show lists a profile's concepts",
                )
        return tuple(name for name in self.concepts if name in asked)
