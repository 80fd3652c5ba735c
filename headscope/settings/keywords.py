"""The groups as keyword arguments, spelled out for editors and type checkers; a test holds them equal to the groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict


class StudyOptions(TypedDict, total=False):
    """``StudySettings``."""

    concepts: Sequence[str] | str | None
    chat_template: bool | str
    thinking: str | None
    pack: bool
    seed: int
    batch_tokens: int | None
    progress: Callable[[str, int, int], None] | None
    engine: Any
    outcomes: Sequence[str]


class WritingOptions(TypedDict, total=False):
    """Of ``Writing`` what every verb that writes can be asked."""

    max_tokens: int
    temperature: float
    top_p: float
    samples: int
    greedy: bool
    stop_tokens: Sequence[str]
    sentiment: str


class AblatedWriting(WritingOptions, total=False):
    """All of ``Writing``."""

    scope: str
    stop_at_eos: bool
    keyword_counting: str


class AblateOptions(StudyOptions, AblatedWriting, total=False):
    """Of the study, and all of ``Writing``."""


class PatchingOptions(WritingOptions, total=False):
    """Of writing, and ``Patching``."""

    directions: Sequence[str] | str
    each: bool | None
    what: str
    source: str
    target: str
    alpha: float
    alignment: str
    n_random: int


class PatchOptions(StudyOptions, PatchingOptions, total=False):
    """Of the study, of writing, and ``Patching``."""


class SteeringOptions(WritingOptions, total=False):
    """Of writing, and ``Steering``."""

    edit: str
    doses: Sequence[float] | float | str | None
    vector: str
    target: str
    steering_scope: str
    each: bool
    n_random: int


class SteerOptions(StudyOptions, SteeringOptions, total=False):
    """Of the study, of writing, and ``Steering``."""


class RunOptions(StudyOptions, WritingOptions, total=False):
    """Of the study, of writing, ``RunSettings`` and ``Keeping``."""

    query: str | None
    budget: str
    edits: Sequence[str]
    top_k: int
    top_n: int
    n_random: int
    sets: bool
    share: float
    patching: bool
    complete: bool
    until: str | None
    time: str | None
    negative_control: bool
    allow_low_coverage: bool
    languages: Sequence[str]
    resume: str
    force: bool
    sources: Mapping[str, str]
    command: Sequence[str]
