"""What is asked of a model: concepts, their words, the prompts that carry them, and the controls that do not.

Plain frozen records; reading and checking them is ``loading.py``'s work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headscope.errors import RequestError


@dataclass(frozen=True)
class Prompt:
    """One text put to the model.

    Attributes:
        id: unique in its profile, e.g. ``gratitude-017``.
        text: the prompt as the model sees it.
        concept: the class it belongs to, a concept's name or the control's.
        span: start and end character of the words that carry the concept (end exclusive); in a control prompt, of
            the neutral words in the same slot; None where no such place is known.
        template: id of the frame the prompt was made from, shared by all classes; None where unknown.
        pair: id of the matched control prompt (same template, neutral words in the slot); None where there is none
            and always None on control prompts.
        implicit: True where the span is no word of the concept's lexicon.
    """

    id: str
    text: str
    concept: str
    span: tuple[int, int] | None = None
    template: str | None = None
    pair: str | None = None
    implicit: bool = False

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
    """What is looked for: its name, its words, and control words of the same kinds that do not carry it."""

    name: str
    lexicon: Lexicon
    control_lexicon: Lexicon


@dataclass(frozen=True)
class Profile:
    """Everything that is asked.

    Attributes:
        name: e.g. ``baseline``.
        description: one sentence.
        language: ISO 639-1 code of the prompts.
        control: name of the control class (``neutral``).
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
