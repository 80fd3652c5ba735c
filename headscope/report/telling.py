"""Findings as sentences of a language: each claim with an interval or a p, or with what says that there is none.

What is said, and on what condition, stands here once for all languages; how it is said stands in ``words``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite, isnan
from typing import Any

from headscope.report.escaping import plain
from headscope.report.evidence import Effect
from headscope.report.facts import RunFacts
from headscope.report.findings import CARRIERS, ELSEWHERE, OWN_CARRIERS, WAY, ConceptFindings, SetFindings
from headscope.report.numbers import as_float, count, equation, interval, number, share
from headscope.report.words import Words, capital
from headscope.stats.attending import UNKNOWN
from headscope.stats.regions import places_read
from headscope.stats.verdicts import CARRIER_UNTESTED, ELSEWHERE_UNTESTED, READING_UNDECIDED, SHARED_CARRIER

KINDS_OF_CARRIERS = {"own": OWN_CARRIERS, "elsewhere": ELSEWHERE, "shared": (SHARED_CARRIER,)}
NAMED = 4
"""How many heads a sentence names before it says how many more there are."""
_COUNTED = (
    "attends only",
    READING_UNDECIDED,
    "causal, not specific",
    "suppressor",
    "general damage",
    "undecided (damage not bounded)",
)
_TOP = 10


def head_names(heads: object) -> str:
    """``1:10,3:2`` as ``L1H10, L3H2``."""
    return ", ".join(re.sub(r"^(\d+):(\d+)$", r"L\1H\2", head) for head in str(heads).split(","))


class Teller:
    """The sentences about a run's findings in one language."""

    def __init__(self, words: Words, facts: RunFacts | None = None) -> None:
        self.words = words
        self._facts = facts
        self.too_small = words("missing.too_small") if facts and facts.n_not_measured else ""
        """Why a head has no second edit and no damage, as a clause; empty where every head has them."""

    def awaits(self, stage: str) -> bool:
        """Whether a stage of the run is still open."""
        return bool(self._facts and self._facts.awaits(stage))

    def missing(self, effect: Effect) -> str:
        """Why an effect has no p, as a clause; empty where it has one."""
        return self.words(f"missing.{effect.missing}", effect.n_templates) if effect.missing else ""

    def evidence(self, effect: Effect) -> str:
        """Size, unit, interval and the deciding p of an effect."""
        words, unit = self.words, plain(self.words.unit(effect.unit))
        behind = unit if unit.startswith(" ") else ""
        parts = [unit] if unit and not behind else []
        parts.append(words("no_ci") if isnan(effect.low) else words("ci", ends=interval(effect.low, effect.high)))
        kind, p_value = effect.strictest_p
        parts.append(self.missing(effect) or equation(words(f"p_values.{kind}"), p_value))
        return words("evidence", estimate=number(effect.estimate), unit=behind, parts=words.listed(parts, by="items"))

    def places(self, shares: Mapping[str, float]) -> str:
        """Where a head reads, from its shares of attention by region; empty where that was not measured."""
        words, most = self.words, places_read(shares)
        if not most:
            return ""
        named = [words("reads.place", place=words(f"places.{place}"), share=number(value)) for place, value in most]
        places = words("reads.both").join(named)
        if "span" in dict(most):
            return places
        return words("reads.besides", places=places, place=words("places.span"), share=number(shares["span"]))

    def headline(self, found: ConceptFindings) -> str:
        """The result on one concept in one or two sentences."""
        words, name = self.words, f"**{plain(found.concept)}**"
        if found.assay_shown is False and found.assay is not None:
            key = "headline.untestable" if isnan(found.assay.low) else "headline.unshown"
            return words(key, found.assay.n_templates, name=name, evidence=self.evidence(found.assay))
        parts = [self._carried(found, name)] if found.has_verdicts else []
        top_sets = [one for one in found.sets if one.role == "joint_top"]
        chosen = words("headline.by_halves" if len(top_sets) > 1 else "headline.by_both")
        for one in top_sets:
            parts.append(words.sentences(self._together(one, "" if parts else name, chosen), self._among(one)))
        parts += [] if parts else [self._together(one, name) for one in found.sets]
        if not parts and found.looked and not found.alone:
            key = "headline.looking_awaits" if self.awaits("sweep") else "headline.looking"
            parts.append(words(key, name=name, looking=self._looking(found)))
        if not parts and (found.alone or found.predicted or found.patched):
            texts = [self._alone(found)] if found.alone else []
            texts += [self._predicted(found)] if found.predicted and not found.looked else []
            texts += [self._patched(found)] if found.patched else []
            texts += [words("headline.awaits_verdicts")] if self.awaits("verdicts") else []
            text = words.sentences(texts[0], *map(capital, texts[1:]))
            parts.append(words("glue.named", name=name, text=text))
        if not parts and found.assay is not None:
            return words("headline.shown", name=name, evidence=self.evidence(found.assay))
        return words.sentences(*parts) or words("headline.nothing", name=name)

    def _carried(self, found: ConceptFindings, name: str) -> str:
        words, texts = self.words, self._who_carries(found)
        counted = [words(f"counted.{verdict}", n) for verdict in _COUNTED if (n := len(found.judged(verdict)))]
        if counted:
            last = [words.listed(counted[:-1], by="items")] if len(counted) > 1 else []
            texts.append(words("carried.rest", counted=words("glue.last").join([*last, counted[-1]])))
        texts.append(self._undecided(found))
        return words("glue.named", name=name, text=words.sentences(*texts))

    def _who_carries(self, found: ConceptFindings) -> list[str]:
        """How many heads carry a concept and which, a sentence a kind of carrier; or that none is shown to."""
        words = self.words
        n_judged = sum("," not in str(row["heads"]) for row in found.verdicts)
        rows = {key: found.judged(*verdicts) for key, verdicts in KINDS_OF_CARRIERS.items()}
        texts = [
            words(f"carried.{key}", len(heads), of=n_judged, heads=self._carriers(heads, found))
            for key, heads in rows.items()
            if heads
        ]
        if rows["shared"] and not (rows["own"] or rows["elsewhere"]):
            texts.append(words("carried.only_shared"))
        if not texts:
            texts.append(words("carried.none", of=n_judged, blind=self._blind_below(found)))
        return texts

    def _carriers(self, rows: list[Mapping[str, Any]], found: ConceptFindings) -> str:
        return self.words.listed([self._judged(row, found) for row in rows], NAMED)

    def _undecided(self, found: ConceptFindings) -> str:
        rows = found.judged("undecided", "undecided (edit-dependent)")
        needed = [value for row in rows if isfinite(value := as_float(row["templates_needed"]))]
        if not rows or not needed:
            return self.words("undecided.unknown", len(rows)) if rows else ""
        low, high = count(min(needed)), count(max(needed))
        templates = low if min(needed) == max(needed) else self.words("glue.range", low=low, high=high)
        return self.words("undecided.known", len(rows), templates=templates)

    def _judged(self, row: Mapping[str, Any], found: ConceptFindings) -> str:
        """A head with what its verdict rests on."""
        words = self.words
        parts = [words("head.untested")] if row["verdict"] in (CARRIER_UNTESTED, ELSEWHERE_UNTESTED) else []
        parts.append(words("head.effect", size=number(row["estimate"]), ends=interval(row["sim_low"], row["sim_high"])))
        if isfinite(as_float(row["specificity"])):
            ends = interval(row["specificity_low"], row["specificity_high"])
            parts.append(words("head.specificity", size=number(row["specificity"]), ends=ends))
        if isfinite(as_float(row["perplexity_ratio_high"])):
            ends = interval(row["perplexity_ratio_low"], row["perplexity_ratio_high"])
            parts.append(words("head.damage", ends=ends))
        if row["attends"] != UNKNOWN:
            parts.append(
                words(
                    "looks",
                    attends=words(f"attends.{row['attends']}"),
                    size=number(row["attention_share"]),
                    of_what=words(f"of_what.{row['attention_measure']}"),
                    ends=interval(row["attention_share_low"], row["attention_share_high"]),
                )
            )
        places = self.places(found.reads.get(str(row["heads"]), {}))
        parts += [words("reads.mostly", places=places)] if places else []
        return words("glue.with", name=head_names(str(row["heads"])), parts=words.listed(parts))

    def _blind_below(self, found: ConceptFindings) -> str:
        detectable = [one.mde for one in found.silent if isfinite(one.mde)]
        return self.words("carried.blind", size=number(max(detectable))) if detectable else ""

    def _together(self, one: SetFindings, name: str, chosen: str = "") -> str:
        effect, words = one.primary, self.words
        if effect is None:
            return ""
        beyond = effect.beyond(one.threshold_nats)
        done = {-1: "lowers", 1: "raises", 0: "same"}[beyond or effect.direction] + ("_beyond" if beyond else "")
        text = words(
            "together.unseen" if effect.direction == 0 else "together.shown",
            who=words(f"together.{'other' if one.n_heads > 1 else 'one'}", heads=head_names(one.heads), chosen=chosen),
            done=words(f"together.{done}", limit=number(one.threshold_nats)),
            evidence=self.evidence(effect),
            power=self._power(effect),
        )
        return words("glue.named", name=name, text=text) if name else capital(text)

    def _power(self, effect: Effect) -> str:
        words = self.words
        if isnan(effect.mde) and isnan(effect.templates_needed):
            return words("power.unknown")
        parts: list[str] = []
        if isfinite(effect.mde):
            parts.append(words("power.mde", effect.n_templates, mde=number(effect.mde)))
        if isfinite(effect.templates_needed):
            needed = {"templates": count(effect.templates_needed), "prompts": count(effect.prompts_needed)}
            parts.append(words("power.needed", **needed))
        return words.listed(parts, by="power") or words("power.never")

    def _sized(self, effect: Effect) -> str:
        """Δ of the attention that decides, with its simultaneous interval."""
        of_what = self.words(f"of_what.{effect.outcome}")
        ends = interval(effect.sim_low, effect.sim_high)
        return self.words("sized", size=number(effect.estimate), of_what=of_what, ends=ends)

    def _looking(self, found: ConceptFindings) -> str:
        words, strongest, n_heads = self.words, found.decisive[0], len(found.decisive)
        head = head_names(strongest.heads)
        if not any(found.answers.values()):
            return words("looking.untested", of=n_heads, head=head, evidence=self.evidence(strongest))
        text = words("looking.attending", len(found.attending), of=n_heads, limit=number(found.threshold_share))
        text += words("looking.open", found.n_attending_open) if found.n_attending_open else ""
        text += words("looking.less", len(found.averse)) if found.averse else ""
        return text + words("looking.largest", head=head, sized=self._sized(strongest))

    def discussion(self, found: ConceptFindings) -> list[str]:
        """What may and what may not be concluded about one concept."""
        words, unshown = self.words, found.assay_shown is False
        points: list[str] = []
        if found.assay is not None:
            told = {"evidence": self.evidence(found.assay), "share": share(found.share_right)}
            says = "" if found.assay_shown else words("discussion_of.unshown")
            points.append(words.sentences(words("discussion_of.assay", **told), says))
        if found.looked:
            points.append(words("discussion_of.looking", text=capital(self._looking(found))))
        if found.alone and not unshown:
            points.append(self._doing(found))
        if found.agreement is not None:
            points.append(self._looking_and_doing(found))
        if found.predicted and not unshown:
            points.append(words("discussion_of.predicting", text=capital(self._predicted(found))))
        if found.patched and not unshown:
            points.append(words("discussion_of.patching", text=capital(self._patched(found))))
        for one in found.sets:
            points += self._on_set(one)
        return points

    def _doing(self, found: ConceptFindings) -> str:
        text = self.words("discussion_of.doing", text=capital(self._alone(found)))
        both = [one for one in (*found.lowering, *found.raising) if one.heads in found.alone_zero]
        same = sum(one.estimate * found.alone_zero[one.heads].estimate > 0 for one in both)
        return self.words.sentences(text, self.words("discussion_of.zero", same=same, of=len(both)) if both else "")

    def _alone(self, found: ConceptFindings) -> str:
        words = self.words
        strongest = words("alone.no_strongest", blind=self._blind_below(found))
        for one in found.lowering[:1]:
            strongest = words("alone.strongest", head=head_names(one.heads), evidence=self.evidence(one))
        about = {"of": len(found.alone), "limit": number(found.threshold_nats), "strongest": strongest}
        text = words("alone.lowering", len(found.lowering), **about)
        return text + words("alone.raising", len(found.raising), detectable=found.n_detectable)

    def _looking_and_doing(self, found: ConceptFindings) -> str:
        agreement, top = found.agreement, min(_TOP, len(found.looked))
        if agreement is None:
            return ""
        return self.words(
            "discussion_of.looking_and_doing",
            found.shared_top(top),
            heads=agreement.n,
            rho=number(agreement.rho),
            ends=interval(agreement.low, agreement.high),
            top=top,
            limit=number(found.threshold_nats),
        )

    def _predicted(self, found: ConceptFindings) -> str:
        """What gradients predict, and of how many heads it was checked."""
        heads, value = found.predicted[0]
        about = {"head": head_names(heads), "size": number(value), "removed": len(found.alone)}
        return self.words("predicted", len(found.predicted), **about)

    def _patched(self, found: ConceptFindings) -> str:
        """How many heads or sets bring or take the concept, and the strongest of each."""
        words = self.words
        parts: list[str] = []
        for direction, patches in found.patched.items():
            shown = [one for one in patches if one.direction == WAY[direction]]
            strongest = (shown or patches)[0]
            parts.append(
                words(
                    "patched.part",
                    len(shown),
                    of=len(patches),
                    what=words("patched.sets" if any("," in one.heads for one in patches) else "patched.heads"),
                    done=words(f"patched.{direction}"),
                    label=words("patched.strongest" if shown else "patched.largest"),
                    heads=head_names(strongest.heads),
                    evidence=self.evidence(strongest),
                )
            )
        return words("patched.all", parts=words.listed(parts))

    def _on_set(self, one: SetFindings) -> list[str]:
        words, heads = self.words, head_names(one.heads)
        points: list[str] = []
        if one.primary is not None:
            total = one.total if one.n_heads > 1 else None
            summed = "" if total is None else words("discussion_of.sum", evidence=self.evidence(total))
            text = words.sentences(self._together(one, ""), summed, self._among(one))
            points.append(words("discussion_of.set", heads=heads, text=text))
        points += [self._written(one, effect) for effect in one.generated]
        damage = one.effect("perplexity_ratio")
        if damage is not None:
            size = {"size": number(damage.estimate), "ends": interval(damage.low, damage.high)}
            points.append(words("discussion_of.damage", heads=heads, **size))
        return points

    def _among(self, one: SetFindings) -> str:
        """Where a set stands among random ones; empty where that was not measured."""
        if one.null is None or not isfinite(as_float(one.null["percentile"])):
            return ""
        return self.words(
            "discussion_of.among",
            count(one.null["n_random"]),
            matched=self.words("discussion_of.matched" if one.null["layer_matched"] else "discussion_of.unmatched"),
            p=equation("p", 1 - as_float(one.null["percentile"]) / 100),
            floor=number(one.null["floor"]),
        )

    def _written(self, one: SetFindings, effect: Effect) -> str:
        what = "keywords" if effect.outcome.startswith("keyword") else "sentiment"
        return self.words(
            "written.unseen" if effect.direction == 0 else "written.shown",
            heads=head_names(one.heads),
            what=self.words(f"written.{what}"),
            done=self.words(f"written.{ {-1: 'fall', 1: 'rise', 0: 'same'}[effect.direction] }"),
            evidence=self.evidence(effect),
            power=self._power(effect),
        )

    def candidates(self, found: ConceptFindings) -> str:
        """Which heads to patch next, and on what ground."""
        words = self.words
        if found.assay_shown is False:
            return words("candidates.unshown")
        causal = found.judged(*CARRIERS, READING_UNDECIDED, "causal, not specific")
        if causal:
            return self._carriers(causal, found)
        if found.lowering:
            effects = ((head_names(one.heads), self.evidence(one)) for one in found.lowering)
            return words.listed([words("candidates.effect", head=head, evidence=told) for head, told in effects], NAMED)
        if found.attending:
            looks = ((head_names(one.heads), self._sized(one)) for one in found.attending)
            heads = words.listed([words("candidates.look", head=head, sized=sized) for head, sized in looks], NAMED)
            return words("candidates.looks", heads=heads)
        return words("candidates.none")

    def set_title(self, one: SetFindings) -> str:
        """Heading of the part on one set of heads."""
        return self.words(f"set.{one.role}", heads=head_names(one.heads), concept=plain(one.concept))
