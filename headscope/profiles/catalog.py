"""What profiles there are, and what is in one: the rows that ``headscope profiles list`` and ``show`` print."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headscope.profiles.columns import Reading
from headscope.profiles.loading import unchecked_profile
from headscope.profiles.types import Profile
from headscope.profiles.validation import Finding, find


@dataclass(frozen=True)
class ClassSummary:
    """The prompts of one class, a concept or the control, counted.

    Implicit are those whose span is no word of the lexicon; ``n_words`` are the lexicon's, 0 for the control.
    """

    name: str
    n_prompts: int
    n_spans: int
    n_implicit: int
    n_pairs: int
    n_templates: int
    n_words: int


def summarize(profile: Profile) -> list[ClassSummary]:
    """A summary of each concept, in order, then of the control."""
    summaries: list[ClassSummary] = []
    for name in (*profile.concepts, profile.control):
        prompts = profile.prompts_of(name)
        summaries.append(
            ClassSummary(
                name=name,
                n_prompts=len(prompts),
                n_spans=sum(prompt.span is not None for prompt in prompts),
                n_implicit=sum(prompt.implicit for prompt in prompts),
                n_pairs=sum(prompt.pair is not None for prompt in prompts),
                n_templates=len({prompt.template for prompt in prompts} - {None}),
                n_words=len(profile.concepts[name].lexicon.words) if name in profile.concepts else 0,
            )
        )
    return summaries


def findings(name_or_path: str | Path, reading: Reading | None = None) -> list[Finding]:
    """Everything ``headscope profiles validate`` has to say, errors first.

    Raises:
        ProfileError: there is no such profile, or it cannot be read far enough to be checked.
    """
    profile, origins = unchecked_profile(name_or_path, reading)
    order = {"error": 0, "strict": 1, "warning": 2}
    notes = [Finding("warning", note) for note in profile.warnings]
    return sorted([*find(profile, origins), *notes], key=lambda finding: order[finding.severity])
