"""What profiles there are, and what is in one: the rows that ``headscope profiles list`` and ``show`` print."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from headscope.profiles.columns import Reading
from headscope.profiles.loading import unchecked_profile
from headscope.profiles.types import Profile
from headscope.profiles.validation import Finding, find

SHOWN_CHARACTERS = 160


@dataclass(frozen=True)
class ClassSummary:
    """The prompts of one class, a concept or the control, counted.

    ``n_spans`` have a span or a named place. Implicit are those whose span is no word of the lexicon; ``n_words`` are
    the lexicon's, 0 for the control. ``n_answers`` and ``n_foils`` are a task's, each distinct one counted once.
    """

    name: str
    n_prompts: int
    n_spans: int
    n_implicit: int
    n_pairs: int
    n_templates: int
    n_words: int
    n_answers: int
    n_foils: int


def summarize(profile: Profile) -> list[ClassSummary]:
    """A summary of each concept, in order, then of the control."""
    summaries: list[ClassSummary] = []
    for name in (*profile.concepts, profile.control):
        prompts = profile.prompts_of(name)
        summaries.append(
            ClassSummary(
                name=name,
                n_prompts=len(prompts),
                n_spans=sum(bool(prompt.marked) for prompt in prompts),
                n_implicit=sum(prompt.implicit for prompt in prompts),
                n_pairs=sum(prompt.pair is not None for prompt in prompts),
                n_templates=len({prompt.template for prompt in prompts} - {None}),
                n_words=len(profile.concepts[name].lexicon.words) if name in profile.concepts else 0,
                n_answers=len({answer for prompt in prompts for answer in prompt.answers}),
                n_foils=len({foil for prompt in prompts for foil in prompt.foils}),
            )
        )
    return summaries


@dataclass(frozen=True)
class TaskSummary:
    """What a task asks: ``places`` counts the prompts that have each named place."""

    name: str
    description: str
    example: str
    places: dict[str, int]


def summarize_tasks(profile: Profile) -> list[TaskSummary]:
    """A summary of each task, in order; none for a profile of concepts."""
    return [
        TaskSummary(
            name=task.name,
            description=task.description,
            example=example(profile, task.name),
            places=dict(Counter(place for prompt in profile.prompts_of(task.name) for place in prompt.spans)),
        )
        for task in profile.concepts.values()
        if task.is_task
    ]


def example(profile: Profile, name: str) -> str:
    """The first prompt of a class with what is right and wrong after it, on one line; of a long one the end."""
    first = profile.prompts_of(name)[0]
    text = first.text if len(first.text) <= SHOWN_CHARACTERS else f"… {first.text[-SHOWN_CHARACTERS:]}"
    if not first.answers:
        return _quoted(text)
    right = f"{_quoted(text)} -> {_one_of(first.answers)}"
    return f"{right}, not {_one_of(first.foils)}" if first.foils else right


def _one_of(continuations: tuple[str, ...]) -> str:
    first, *others = continuations
    return _quoted(first) + (f" (one of {len(continuations)})" if others else "")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def findings(name_or_path: str | Path, reading: Reading | None = None) -> list[Finding]:
    """Everything ``headscope profiles validate`` has to say, errors first.

    Raises:
        ProfileError: there is no such profile, or it cannot be read far enough to be checked.
    """
    profile, origins = unchecked_profile(name_or_path, reading)
    order = {"error": 0, "strict": 1, "warning": 2}
    notes = [Finding("warning", note) for note in profile.warnings]
    return sorted([*find(profile, origins), *notes], key=lambda finding: order[finding.severity])
