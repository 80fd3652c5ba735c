"""A run to be told: what the sections of the report are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from headscope.report.document import Heading, Text
from headscope.report.escaping import plain
from headscope.report.facts import RunFacts
from headscope.report.findings import ConceptFindings, SetFindings
from headscope.report.numbers import number
from headscope.report.telling import Teller
from headscope.report.words import Words
from headscope.stats.evidence import MINIMUM_SHARE


@dataclass(frozen=True)
class RunReport:
    """A run to be told in one language: its tables with rows, its facts and its findings."""

    tables: Mapping[str, pd.DataFrame]
    facts: RunFacts
    findings: list[ConceptFindings]
    words: Words
    numbers: Mapping[str, int] = field(default_factory=dict[str, int])

    @cached_property
    def teller(self) -> Teller:
        """The sentences about the findings."""
        return Teller(self.words)

    @property
    def sets(self) -> list[SetFindings]:
        """Every set of heads that was edited together."""
        return [one for found in self.findings for one in found.sets]

    @property
    def smallest_share(self) -> float:
        """The smallest attention that matters."""
        return next((found.threshold_share for found in self.findings), MINIMUM_SHARE)

    @property
    def limits(self) -> str:
        """The smallest effect that matters of each concept with verdicts; empty without verdicts."""
        judged = [found for found in self.findings if found.verdicts]
        return self.words.listed(
            [
                self.words(
                    "judged.limit", concept=plain(found.concept), size=number(found.verdicts[0]["threshold_nats"])
                )
                for found in judged
            ],
            by="items",
        )

    def say(self, key: str, n: int | None = None, **values: object) -> Text:
        """A paragraph; sections are named in it by their keys."""
        return Text(self.words(key, n, **values, **self.numbers))

    def concept(self, found: ConceptFindings) -> Heading:
        """A heading that is a concept."""
        return Heading(plain(found.concept))

    def remarks(self, table: str) -> list[str]:
        """What a table remarks in its column ``note``, each remark once."""
        rows = self.tables.get(table)
        if rows is None or "note" not in rows.columns:
            return []
        return [str(note) for note in dict.fromkeys(rows["note"].dropna()) if str(note)]
