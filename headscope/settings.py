"""What is asked of a study beside its model and profile: each option once, for the library and the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict


@dataclass(frozen=True)
class StudySettings:
    """What all verbs of one study share.

    Attributes:
        concepts: only these; all by default.
        chat_template: wrap prompts in the tokenizer's chat template; a text names one of several.
        pack: lay sequences that begin alike into one row where the model allows it; either way numbers agree within the
            load check's tolerance.
        seed: of everything random.
        batch_tokens: most tokens of a batch; what fits the model's memory budget by default.
        progress: told how far the work is, as ``progress(stage, done, total)``.
        engine: runs the passes and keeps their results (``engines.engine.Engine``); this process by default, nothing
            kept.
        outcomes: names of registered outcomes of one's own that are measured too (``headscope.outcome``).
    """

    concepts: Sequence[str] | str | None = None
    chat_template: bool | str = False
    pack: bool = True
    seed: int = 0
    batch_tokens: int | None = None
    progress: Callable[[str, int, int], None] | None = None
    engine: Any = None
    outcomes: Sequence[str] = ()


class StudyOptions(TypedDict, total=False):
    """``StudySettings`` as keywords."""

    concepts: Sequence[str] | str | None
    chat_template: bool | str
    pack: bool
    seed: int
    batch_tokens: int | None
    progress: Callable[[str, int, int], None] | None
    engine: Any
    outcomes: Sequence[str]


@dataclass(frozen=True)
class Writing:
    """How texts are written and scored.

    Attributes:
        max_tokens: most new tokens a text.
        temperature: of sampling.
        top_p: of sampling.
        samples: texts for each prompt and arm.
        greedy: most probable tokens instead of sampling.
        scope: of the edit while writing: ``all``, or ``generated`` tokens only. Fixed text is always edited throughout.
        stop_at_eos: whether EOS ends a text; in a chat the end of a turn as well.
        stop_tokens: further tokens that end a text.
        sentiment: ``vader``, or a transformers classifier's name or folder.
        keyword_counting: ``continuation`` (whole words of the continuation), or ``phase6`` (the study's substring
            count over prompt and continuation) beside it.
    """

    max_tokens: int = 30
    temperature: float = 1.0
    top_p: float = 0.9
    samples: int = 1
    greedy: bool = False
    scope: str = "all"
    stop_at_eos: bool = True
    stop_tokens: Sequence[str] = ()
    sentiment: str = "vader"
    keyword_counting: str = "continuation"


class WritingOptions(TypedDict, total=False):
    """``Writing`` as keywords."""

    max_tokens: int
    temperature: float
    top_p: float
    samples: int
    greedy: bool
    scope: str
    stop_at_eos: bool
    stop_tokens: Sequence[str]
    sentiment: str
    keyword_counting: str


@dataclass(frozen=True)
class Keeping:
    """Where and how a run keeps its results.

    Attributes:
        out: the run folder; ``runs/<model>-<profile>-<digest>`` by default.
        resume: ``auto``: an unfinished run goes on; ``never``: it begins anew; ``require``: there must be one.
        force: derived files may be replaced.
        sources: where each option came from, for the record.
        command: the command line, for the record.
    """

    out: str | Path | None = None
    resume: str = "auto"
    force: bool = False
    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    command: Sequence[str] = ()
