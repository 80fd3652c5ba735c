"""One thing a check of a profile found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from headscope.profiles.explaining import some_of

Severity = Literal["error", "strict", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing a check found, with the parts of an error message."""

    severity: Severity
    problem: str
    expected: str | None = None
    got: str | None = None
    where: str | None = None
    fix: str | None = None

    def is_error(self, *, strict: bool) -> bool:
        """Whether the finding refuses the profile."""
        return self.severity == "error" or (strict and self.severity == "strict")

    @property
    def sentence(self) -> str:
        """The finding on one line, as it stands among a profile's warnings."""
        return "; ".join(part for part in (self.problem, self.got, self.where) if part)


def listed(severity: Severity, relation: str, names: Sequence[str]) -> Iterator[Finding]:
    """A finding on prompts, where there are any: how many, and the first names."""
    if names:
        yield Finding(severity, f"{len(names)} prompts {relation}: {some_of(names)}")
