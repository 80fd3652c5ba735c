"""What both languages need to turn findings into sentences: names of heads, lists, and the choice of language."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headscope.report.evidence import Effect
from headscope.report.findings import ConceptFindings, SetFindings

NAMED = 4
"""How many heads a sentence names before it says how many more there are."""


class Language(Protocol):
    """The sentences of one language. Each claim comes with an interval or a p, or says that there is none."""

    code: str

    def outcome(self, name: str) -> str:
        """An outcome's name, for a table."""
        ...

    def unit(self, name: str) -> str:
        """A unit's name."""
        ...

    def edit(self, name: str) -> str:
        """An edit's name."""
        ...

    def verdict(self, name: str) -> str:
        """A verdict's name."""
        ...

    def attends(self, answer: str) -> str:
        """Whether a head attends to the concept's words, for a table."""
        ...

    def reads(self, shares: Mapping[str, float]) -> str:
        """Where a head reads, from its shares of attention by region; empty where that was not measured."""
        ...

    def missing(self, effect: Effect) -> str:
        """Why an effect has no p, as a clause."""
        ...

    def evidence(self, effect: Effect) -> str:
        """Size, unit, interval and the deciding p of an effect."""
        ...

    def headline(self, found: ConceptFindings) -> str:
        """The result on one concept in one or two sentences."""
        ...

    def discussion(self, found: ConceptFindings) -> list[str]:
        """What may and what may not be concluded about one concept."""
        ...

    def candidates(self, found: ConceptFindings) -> str:
        """Which heads to patch next, and on what ground."""
        ...

    def direction(self, name: str) -> str:
        """The name of a direction of patching."""
        ...

    def set_title(self, found: SetFindings) -> str:
        """Heading of the section on one set of heads."""
        ...

    def file(self, name: str) -> str:
        """What a file of the run folder holds; empty where it is not known."""
        ...

    def option(self, name: str) -> str:
        """A setting's name."""
        ...

    def figure(self, name: str) -> str:
        """Caption of a figure, from its file name without extension."""
        ...


def named(heads: str) -> str:
    """``1:10,3:2`` as ``L1H10, L3H2``, shortened where there are many."""
    names = [re.sub(r"^(\d+):(\d+)$", r"L\1H\2", head) for head in heads.split(",")]
    return ", ".join(names)


def one_of(values: Sequence[str]) -> str:
    """The only value of several that agree; empty where they differ or there is none."""
    return values[0] if values and len(set(values)) == 1 else ""


def is_phase6_count(outcome: str) -> bool:
    """Whether an outcome counts the prompt's own words, as the Phase 6 study did."""
    return outcome.startswith("keyword_count_phase6_")


def figure_kind(name: str, kinds: Sequence[str]) -> tuple[str, str]:
    """(kind, rest) of a figure's file name; the longest kind that fits."""
    for kind in sorted(kinds, key=len, reverse=True):
        if name == kind or name.startswith(f"{kind}_"):
            return kind, name[len(kind) + 1 :]
    return "", name


def text_of(value: Any) -> str:
    """A setting's value as text, in both languages the same."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
