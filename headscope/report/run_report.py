"""A run to be told: what the sections of the report are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from headscope.plots.steered import Steered, steered_of
from headscope.report.document import Heading, Text
from headscope.report.escaping import plain
from headscope.report.facts import RunFacts, facts_of
from headscope.report.findings import ConceptFindings, SetFindings, findings_of
from headscope.report.numbers import number
from headscope.report.telling import Teller
from headscope.report.words import Words, words_of
from headscope.stats.evidence import MINIMUM_SHARE
from headscope.stats.ranking import rank_heads, single_effects


@dataclass(frozen=True)
class RunContent:
    """A run to be told in any language: its tables with rows, its facts and its findings."""

    tables: Mapping[str, pd.DataFrame]
    facts: RunFacts
    findings: list[ConceptFindings]

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """Every head by its effect with its screening and its verdict, concept by concept; empty without effects."""
        effects = self.tables.get("effects")
        if single_effects(effects).empty:
            return pd.DataFrame({"concept": []})
        verdicts = self.tables.get("verdicts")
        screen, probes = self.tables.get("screen"), self.tables.get("probes")
        return rank_heads(screen, effects, verdicts, top_n=None, probes=probes, by="effect")

    @cached_property
    def steered(self) -> list[Steered]:
        """Every head or set that was turned up."""
        return steered_of(self.tables)

    @property
    def asks_benchmarks(self) -> bool:
        """Whether the run asked benchmarks, and nothing else."""
        return "evaluation" in self.tables

    @property
    def only_steers(self) -> bool:
        """Whether turning heads up is all that the run did."""
        return bool(self.steered) and not any(
            name in self.tables for name in ("screen", "effects", "patching", "scores")
        )

    @property
    def only_probes(self) -> bool:
        """Whether probes are all that the run did."""
        return "probes" in self.tables and not any(
            name in self.tables for name in ("screen", "assay", "effects", "patching", "scores", "steering")
        )

    @property
    def n_swept(self) -> int:
        """Heads that were removed one at a time under the deciding edit."""
        return len({one.heads for found in self.findings for one in found.alone})

    def told_in(self, language: str) -> RunReport:
        """The run in a language. Raises RequestError where there is no such language."""
        return RunReport(self, words_of(language, tasks=self.facts.asks_answers))


def content_of(tables: Mapping[str, pd.DataFrame], facts: Mapping[str, Any]) -> RunContent:
    """A run from its tables, by name, and its manifest as a mapping; see ``facts_of``."""
    present = {name: table for name, table in tables.items() if len(table)}
    return RunContent(present, facts_of(facts, present), findings_of(present))


@dataclass(frozen=True)
class RunReport:
    """A run to be told in one language.

    ``numbers`` are those of the evidence's sections, and ``targets`` what a link to one names, by their keys.
    """

    content: RunContent
    words: Words
    numbers: Mapping[str, int] = field(default_factory=dict[str, int])
    targets: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The run's tables with rows, by name."""
        return self.content.tables

    @property
    def facts(self) -> RunFacts:
        """What its manifest says."""
        return self.content.facts

    @property
    def findings(self) -> list[ConceptFindings]:
        """What it found, concept by concept."""
        return self.content.findings

    @cached_property
    def teller(self) -> Teller:
        """The sentences about the findings."""
        return Teller(self.words, self.facts)

    @property
    def sets(self) -> list[SetFindings]:
        """Every set of heads that was edited together."""
        return [one for found in self.findings for one in found.sets]

    @property
    def title(self) -> str:
        """The key of the words that name the report."""
        if self.content.asks_benchmarks:
            return "evaluation.report"
        if self.content.only_probes:
            return "intro.probing_title"
        return "intro.steering_title" if self.content.only_steers else "intro.title"

    @property
    def fine(self) -> str:
        """The key of the words that say what the page's numbers are."""
        if self.content.asks_benchmarks:
            return "page.fine_evaluation"
        if self.content.only_probes:
            return "page.fine_probes"
        return "page.fine_steering" if self.content.only_steers else "page.fine"

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

    def link(self, key: str, text: str = "") -> str:
        """A link to a section of the evidence, by its title where no text is given; empty where there is none."""
        target = self.targets.get(key)
        shown = text or self.words(f"{key}.title").partition(self.words("glue.title"))[0]
        return f"[{shown}]({target})" if target else ""

    def concept(self, found: ConceptFindings) -> Heading:
        """A heading that is a concept."""
        return Heading(plain(found.concept))

    def remarks(self, table: str) -> list[str]:
        """What a table remarks in its column ``note``, each remark once."""
        rows = self.tables.get(table)
        if rows is None or "note" not in rows.columns:
            return []
        return [str(note) for note in dict.fromkeys(rows["note"].dropna()) if str(note)]
