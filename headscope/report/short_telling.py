"""What may and what may not be concluded about a concept, in a few short sentences; the evidence has more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headscope.report.evidence import Effect
from headscope.report.findings import CARRIERS, ConceptFindings, SetFindings
from headscope.report.numbers import interval, number
from headscope.report.telling import KINDS_OF_CARRIERS, NAMED, Teller, head_names
from headscope.report.words import capital
from headscope.stats.verdicts import NOT_SPECIFIC, READING_UNDECIDED

MOST_SETS = 2
"""Sets of a concept that the short report tells of."""


def told_sets(found: ConceptFindings) -> list[SetFindings]:
    """The sets of a concept that are told: those that were asked for last, because the others were chosen by effect."""
    return sorted(found.sets, key=lambda one: one.role != "joint_top")[:MOST_SETS]


class ShortTeller(Teller):
    """The short sentences about a run's findings in one language."""

    def points(self, found: ConceptFindings) -> list[str]:
        """What may be said of one concept: of single heads, and of a set together."""
        if found.assay_shown is False and found.assay is not None:
            return [self.words("short.unshown", evidence=self.evidence(found.assay))]
        points = [self.words("short.alone", text=self._alone_in_short(found))] if len(found.alone) > 1 else []
        if found.looked and not found.alone and any(found.answers.values()):
            points.append(self.words("short.only_looks", len(found.attending), of=len(found.decisive)))
        points += [self._set(one, found) for one in told_sets(found)[:1]]
        return [point for point in points if point]

    def _alone_in_short(self, found: ConceptFindings) -> str:
        """Which heads carry the concept; where no head was judged, how many lower it by more than matters."""
        if found.has_verdicts:
            return self._shown_to_carry(found)
        blind = "" if found.lowering else self._blind_below(found)
        return self.words("short.lowering", len(found.lowering), of=len(found.alone), blind=blind)

    def _shown_to_carry(self, found: ConceptFindings) -> str:
        """The heads that are shown to carry the concept, by kind; or that none is."""
        words = self.words
        rows = {kind: found.judged(*verdicts) for kind, verdicts in KINDS_OF_CARRIERS.items()}
        named = {
            kind: words.listed([self._judged(row, found) for row in each], NAMED, by="items")
            for kind, each in rows.items()
            if each
        }
        told = [words(f"short.carry.{kind}", heads=heads) for kind, heads in named.items()]
        if not told:
            return capital(words.sentences(*self._who_carries(found)))
        told += [] if rows["own"] or rows["elsewhere"] else [words("short.carry.only_shared")]
        return words("short.carry.shown", kinds=words.listed(told))

    def _set(self, one: SetFindings, found: ConceptFindings) -> str:
        """What a set does, what it is called for that, and what is written without it."""
        words, effect = self.words, one.primary
        if effect is None:
            return ""
        beyond = {-1: "fall", 1: "rise", 0: "within"}[effect.beyond(one.threshold_nats)]
        ends = interval(effect.sim_low, effect.sim_high)
        told = words(f"short.{beyond}", heads=head_names(one.heads), size=number(effect.estimate), ends=ends)
        ways = [
            words(f"short.written.{name}", way=words(f"short.ways.{way}")) for name, way in map(_way, one.generated)
        ]
        written = words("short.in_text", ways=words.listed(ways, by="items")) if ways else ""
        return words.sentences(told, self.verdict_of(one, found), written)

    def verdict_of(self, one: SetFindings, found: ConceptFindings) -> str:
        """The verdict on a set, in a sentence, or why it has none; empty where no verdicts were given."""
        if found.assay_shown is False:
            return self.words("short.not_interpreted")
        for row in found.verdicts:
            if str(row["heads"]) == one.heads:
                return self.words(
                    "short.verdict", verdict=self.words.known("verdicts", row["verdict"]) or row["verdict"]
                )
        return ""

    def next_heads(self, found: ConceptFindings) -> str:
        """Which heads to patch next, by name, and whether only their looks speak for them."""
        words = self.words
        if found.assay_shown is False:
            return words("candidates.unshown")
        causal = [row["heads"] for row in found.judged(*CARRIERS, READING_UNDECIDED, NOT_SPECIFIC)]
        if heads := causal or [one.heads for one in found.lowering]:
            return words.listed([head_names(head) for head in heads], NAMED, by="items")
        if not found.attending:
            return words("candidates.none")
        looks = words.listed([head_names(one.heads) for one in found.attending], NAMED, by="items")
        return words("candidates.looks", heads=looks)

    def _judged(self, row: Mapping[str, Any], found: ConceptFindings) -> str:
        """A head by its name; the table of heads has its numbers."""
        return head_names(str(row["heads"]))


def _way(effect: Effect) -> tuple[str, str]:
    """What was scored in written text, and whether it detectably falls, rises or neither."""
    what = "keywords" if effect.outcome.startswith("keyword") else "sentiment"
    return what, {-1: "fall", 1: "rise", 0: "same"}[effect.direction]
