"""The sentences of the English report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, isnan
from typing import Any

from headscope.plots.selecting import PRIMARY_OUTCOME
from headscope.report.escaping import plain
from headscope.report.evidence import Effect
from headscope.report.findings import CARRIERS, ELSEWHERE, OWN_CARRIERS, ConceptFindings, SetFindings
from headscope.report.numbers import MISSING, as_float, count, equation, interval, number, share
from headscope.report.phrases import NAMED, figure_kind, named
from headscope.report.phrases_partial import looks_en, patching_en, prediction_en, reads_en, sized_en
from headscope.stats.verdicts import CARRIER_UNTESTED, ELSEWHERE_UNTESTED, READING_UNDECIDED, SHARED_CARRIER

_UNITS = {
    "attention_share": "of attention",
    "attention_share_per_token": "of attention per span token",
    "residual_norm": "of residual norm",
    "nats_per_token": "nats per token",
    "keywords_per_text": "keywords per text",
    "keywords_per_prompt_and_text": "keywords per prompt and text",
    "sentiment_-1_to_1": "on the scale −1 to 1",
    "share_of_word_pairs": "of word pairs",
    "ratio": "(ratio)",
}
_EDITS = {"zero_keep_bias": "zero, value bias kept", "position_mean": "position mean", "bos": "BOS only"}
_P = {"p_max_t": "family-wise p", "q": "q", "p": "p"}
_COUNTED = (
    ("attends only", "attends without an effect that matters", "attend without an effect that matters"),
    (
        "undecided (where it reads)",
        "is causal and specific while it is open whether it attends to the words",
        "are causal and specific while it is open whether they attend to the words",
    ),
    ("causal, not specific", "acts on other concepts as much", "act on other concepts as much"),
    ("suppressor", "holds the concept back", "hold the concept back"),
    ("general damage", "damages control text too", "damage control text too"),
    (
        "undecided (damage not bounded)",
        "changes it while damage to control text is neither shown nor ruled out",
        "change it while damage to control text is neither shown nor ruled out",
    ),
)
_FILES = {
    "manifest.json": "request, versions, fingerprints, timings, warnings",
    "arrays.safetensors": "every measured number, with named axes",
    "head_scores.json": "screening scores in the format of the Phase 6 study",
    "coverage.csv": "which prompts could be compared, and how",
    "screen.csv": "screening: every head, concept, measure and kind of control",
    "attention_by_region.csv": "where each head reads at the readouts: shares of attention by region of the text",
    "assay.csv": "whether the unedited model shows each concept",
    "effects.csv": "effects of edits, with intervals and tests",
    "ranking.csv": "top heads for each concept and overall",
    "layers.csv": "screening and effects by layer",
    "verdicts.csv": "what each head is to each concept",
    "texts.csv": "continuations of both arms",
    "scores.csv": "fast scores of every head, with the exact effect where it was measured",
    "components.csv": "what adds up to the logit difference, part by part",
    "agreement.csv": "how well each fast score agrees with exact effects",
    "nulls.csv": "sets beside random disjoint sets",
    "patching.csv": "patching between concept prompts and controls, both directions",
    "dissociation.csv": "each concept patched through its own head and through others'",
    "areas.csv": "areas of the cumulative curves",
    "smallest.csv": "the smallest set that removes a share of the concept",
    "orders.csv": "heads as each half of the templates orders them",
    "reliability.csv": "whether other templates would rank the heads alike",
    "stability.csv": "answers with each template left out",
}
_FIGURES = {
    "head_reaction_heatmap": "Δ attention of every head; gray: not detectable (q ≥ 0.05)",
    "value_weighted_heatmap": "Δ value-weighted attention of every head; gray: not detectable (q ≥ 0.05)",
    "top_heads": "heads with the largest Δ attention, 95 % intervals",
    "effect_heatmap": "effect of removing each head alone; gray: not detectable (family-wise p ≥ 0.05)",
    "patch_heatmap": "patching each head alone, both directions, against the control patch; gray: not detectable "
    "(family-wise p ≥ 0.05)",
    "forest": "largest effects of single heads; thick: 95 % interval, thin: simultaneous",
    "ablation_comparison": "baseline beside both edits; bars: means, lines: 95 % interval of the paired difference",
    "curves": "removing the first k heads of the ranking, beside random sets",
    "fast_vs_exact": "what gradients predict against what removing the head does",
    "screening_vs_effect": "looking against doing, one point a head and concept",
}
_OPTIONS = {
    "max_tokens": "new tokens per text (at most)",
    "temperature": "temperature",
    "top_p": "top-p",
    "samples": "texts per prompt and arm",
    "greedy": "greedy decoding",
    "stop_at_eos": "EOS ends a text",
    "keyword_counting": "keyword counting",
    "scope": "scope of the edit",
    "sentiment": "sentiment scorer",
}


class English:
    """See ``phrases.Language``."""

    code = "en"

    def outcome(self, name: str) -> str:
        """An outcome's name, for a table."""
        base, _, other = name.partition(":")
        known = {
            PRIMARY_OUTCOME: "lexicon log-odds",
            "specificity_nats": "own change − change of",
            "kl_nats_per_token": "KL divergence on control prompts",
            "perplexity_ratio": "perplexity ratio on control prompts",
            "distinct_2": "distinct word pairs (distinct-2)",
        }
        if base in known:
            joined = " " if base == "specificity_nats" else " of "
            return known[base] + (joined + plain(other) if other else "")
        for prefix, words in (
            ("keyword_count_phase6_", "keywords as the Phase 6 study counted: "),
            ("keyword_count_", "keywords: "),
            ("sentiment_", "sentiment: "),
        ):
            if base.startswith(prefix):
                return words + plain(base.removeprefix(prefix))
        return plain(name)

    def unit(self, name: str) -> str:
        """A unit's name."""
        return _UNITS.get(name, plain(name))

    def edit(self, name: str) -> str:
        """An edit's name."""
        return _EDITS.get(name, plain(name))

    def verdict(self, name: str) -> str:
        """A verdict's name."""
        return plain(name)

    def attends(self, answer: str) -> str:
        """Whether a head attends to the concept's words, for a table."""
        return answer or MISSING

    def reads(self, shares: Mapping[str, float]) -> str:
        """Where a head reads, from its shares of attention by region; empty where that was not measured."""
        return reads_en(shares).removeprefix("reads mostly at ")

    def missing(self, effect: Effect) -> str:
        """Why an effect has no p, as a clause."""
        return {
            "too_few_templates": f"no test: {effect.n_templates} templates are fewer than the 6 a test needs",
            "no_test_of_divergence": "no test: a divergence is never below 0",
            "not_measured": "not measured",
            None: "",
        }[effect.missing]

    def evidence(self, effect: Effect) -> str:
        """Size, unit, interval and the deciding p of an effect."""
        ends = interval(effect.low, effect.high)
        parts = [f"95 % CI {ends}" if not isnan(effect.low) else "no interval"]
        kind, p_value = effect.strictest_p
        parts.append(self.missing(effect) or equation(_P[kind], p_value))
        return f"{number(effect.estimate)} {self.unit(effect.unit)} ({', '.join(parts)})"

    def headline(self, found: ConceptFindings) -> str:
        """The result on one concept in one or two sentences."""
        name = f"**{plain(found.concept)}**"
        if found.assay_shown is False and found.assay is not None:
            return (
                f"{name}: the unedited model does not tell these prompts from their controls "
                f"(gap {self.evidence(found.assay)}), so nothing can be said about any head."
            )
        parts = [self._carried(found, name)] if found.has_verdicts else []
        top_sets = [one for one in found.sets if one.role == "joint_top"]
        chosen = (
            "chosen on one half of the templates, measured on the other"
            if len(top_sets) > 1
            else "as both halves of the templates choose them"
        )
        parts += [self._together(one, name if not parts else "", f" ({chosen})") + self._among(one) for one in top_sets]
        if not parts and found.sets:
            parts += [self._together(one, name) for one in found.sets]
        if not parts and found.looked:
            parts.append(
                f"{name}: {self._looking(found)} Whether removing them changes anything was not measured in this run."
            )
        if not parts:
            parts = [f"{name}: {text}" for text in self._without_verdicts(found)]
        return " ".join(parts) or f"{name}: nothing was measured."

    def _without_verdicts(self, found: ConceptFindings) -> list[str]:
        """What a run says that neither judges nor screens heads."""
        texts = [self._alone(found)] if found.alone else []
        texts += [prediction_en(found)] if found.predicted else []
        texts += [patching_en(found, self)] if found.patched else []
        return [" ".join([texts[0], *map(_capital, texts[1:])])] if texts else []

    def _carried(self, found: ConceptFindings, name: str) -> str:
        own, elsewhere, shared = (found.judged(*these) for these in (OWN_CARRIERS, ELSEWHERE, (SHARED_CARRIER,)))
        n_judged = sum("," not in str(row["heads"]) for row in found.verdicts)
        texts: list[str] = []
        if own:
            words = f"{len(own)} of {n_judged} heads {_plural(len(own), 'carries', 'carry')} it — "
            texts.append(f"{words}{_listed([self._verdict_words(row, found) for row in own])}.")
        if elsewhere:
            words = f"{len(elsewhere)} of {n_judged} heads {_plural(len(elsewhere), 'carries', 'carry')} it and "
            words += f"{_plural(len(elsewhere), 'reads', 'read')} it elsewhere than at its words — "
            texts.append(f"{words}{_listed([self._verdict_words(row, found) for row in elsewhere])}.")
        if shared:
            words = (
                f"{len(shared)} of {n_judged} heads {_plural(len(shared), 'carries', 'carry')} it and other concepts"
            )
            words += f" too (shared {_plural(len(shared), 'carrier', 'carriers')}) — "
            texts.append(f"{words}{_listed([self._verdict_words(row, found) for row in shared])}.")
        if shared and not (own or elsewhere):
            texts.append("None is shown to carry this concept and no other.")
        if not (own or elsewhere or shared):
            texts.append(f"no single head of {n_judged} is shown to carry it{self._blind_below(found)}.")
        text = f"{name}: {' '.join(texts)}"
        others = [(len(found.judged(verdict)), one, many) for verdict, one, many in _COUNTED]
        counted = [f"{n} {_plural(n, one, many)}" for n, one, many in others if n]
        if counted:
            text += f" Of the rest, {_joined(counted)} (by simultaneous 95 % intervals)."
        return text + self._undecided(found)

    def _undecided(self, found: ConceptFindings) -> str:
        open_rows = found.judged("undecided", "undecided (edit-dependent)")
        if not open_rows:
            return ""
        needed = [as_float(row["templates_needed"]) for row in open_rows]
        needed = [value for value in needed if isfinite(value)]
        text = f" {len(open_rows)} {_plural(len(open_rows), 'is', 'are')} undecided"
        if needed:
            span = count(min(needed)) if min(needed) == max(needed) else f"{count(min(needed))} to {count(max(needed))}"
            text += f"; deciding {_plural(len(open_rows), 'it', 'them')} would take about {span} templates"
        return text + "."

    def _verdict_words(self, row: Mapping[str, Any], found: ConceptFindings) -> str:
        parts = ["specificity not tested"] if row["verdict"] in (CARRIER_UNTESTED, ELSEWHERE_UNTESTED) else []
        parts.append(
            f"{number(row['estimate'])} nats, simultaneous 95 % CI {interval(row['sim_low'], row['sim_high'])}"
        )
        if isfinite(as_float(row["specificity"])):
            ends = interval(row["specificity_low"], row["specificity_high"])
            parts.append(f"loss beyond that of any other concept {number(row['specificity'])} {ends}")
        if isfinite(as_float(row["perplexity_ratio_high"])):
            ends = interval(row["perplexity_ratio_low"], row["perplexity_ratio_high"])
            parts.append(f"perplexity ratio of control text {ends}")
        looks, reads = looks_en(row), reads_en(found.reads.get(str(row["heads"]), {}))
        return f"{named(str(row['heads']))} ({'; '.join([*parts, *filter(None, (looks, reads))])})"

    def _blind_below(self, found: ConceptFindings) -> str:
        detectable = [one.mde for one in found.silent if isfinite(one.mde)]
        if not detectable:
            return ""
        return f" (effects smaller than {number(max(detectable))} nats could have gone unseen)"

    def _together(self, one: SetFindings, name: str, chosen: str = "") -> str:
        effect = one.primary
        start = f"{name}: " if name else ""
        if effect is None:
            return ""
        who = f"{'removing' if name else 'Removing'} {named(one.heads)}{' together' if one.n_heads > 1 else ''}{chosen}"
        done = {-1: "lowers its log-odds", 1: "raises its log-odds", 0: "does not detectably change its log-odds"}
        way = effect.beyond(one.threshold_nats)
        words = f"{done[way]} by more than {number(one.threshold_nats)} nats" if way else done[effect.direction]
        words += " detectably" if effect.direction and not way else ""
        text = f"{start}{who} {words}: {self.evidence(effect)}"
        return text + (f"; {self._power(effect)}" if effect.direction == 0 else "") + "."

    def _power(self, effect: Effect) -> str:
        if isnan(effect.mde) and isnan(effect.templates_needed):
            return "its power is unknown"
        parts: list[str] = []
        if isfinite(effect.mde):
            parts.append(f"with {effect.n_templates} templates, an effect below {number(effect.mde)} could go unseen")
        if isfinite(effect.templates_needed):
            parts.append(
                f"one of the size found would need about {count(effect.templates_needed)} templates "
                f"({count(effect.prompts_needed)} prompts)"
            )
        return "; ".join(parts) or "no number of templates would show an effect of this size"

    def _looking(self, found: ConceptFindings) -> str:
        n_heads, limit = len(found.decisive), number(found.threshold_share)
        strongest = found.decisive[0]
        if not any(found.answers.values()):
            return (
                f"the largest of {n_heads} differences in attention is {named(strongest.heads)}'s, "
                f"{self.evidence(strongest)}; without simultaneous intervals no head is said to attend."
            )
        n_more = len(found.attending)
        text = (
            f"{n_more} of {n_heads} heads {_plural(n_more, 'attends', 'attend')} to its words: more than to the "
            f"neutral ones in their place, by more than {limit} of the attention that is not on sinks (simultaneous 95 "
            "% intervals)"
        )
        text += f"; of {found.n_attending_open} this is undecided" if found.n_attending_open else ""
        n_less = len(found.averse)
        text += f"; {n_less} {_plural(n_less, 'looks', 'look')} less by as much" if n_less else ""
        return f"{text}. The largest Δ is {named(strongest.heads)}'s, {sized_en(strongest)}."

    def discussion(self, found: ConceptFindings) -> list[str]:
        """What may and what may not be concluded about one concept."""
        points: list[str] = []
        if found.assay is not None:
            points.append(self._assay(found))
        if found.looked:
            points.append(f"*Looking.* {_capital(self._looking(found))} A look is no cause.")
        if found.alone and found.assay_shown is not False:
            points.append(self._doing(found))
        if found.agreement is not None:
            points.append(self._looking_and_doing(found))
        if found.predicted and found.assay_shown is not False:
            points.append(f"*Predicting.* {_capital(prediction_en(found))}")
        if found.patched and found.assay_shown is not False:
            points.append(f"*Patching.* {_capital(patching_en(found, self))}")
        for one in found.sets:
            points += self._on_set(one)
        return points

    def _assay(self, found: ConceptFindings) -> str:
        if found.assay is None:
            return ""
        text = "*Assay.* The unedited model's log-odds differ between its prompts and their controls by "
        text += f"{self.evidence(found.assay)}; {share(found.share_right)} of the prompts are on the right side."
        return text + ("" if found.assay_shown else " The concept is not shown, so no effect below is interpreted.")

    def _doing(self, found: ConceptFindings) -> str:
        text = f"*Doing.* {_capital(self._alone(found))}"
        shown = [*found.lowering, *found.raising]
        both = [one for one in shown if one.heads in found.alone_zero]
        if both:
            same = sum(one.estimate * found.alone_zero[one.heads].estimate > 0 for one in both)
            text += f" Zero ablation has the same sign for {same} of these {len(both)}."
        return text

    def _alone(self, found: ConceptFindings) -> str:
        n_heads = len(found.alone)
        strongest = [f"{named(one.heads)}, {self.evidence(one)}" for one in found.lowering[:1]]
        text = f"removed alone, {len(found.lowering)} of {n_heads} heads "
        text += f"{_plural(len(found.lowering), 'lowers', 'lower')} the log-odds by more than "
        text += f"{number(found.threshold_nats)} nats (simultaneous 95 % intervals"
        text += f"; strongest: {strongest[0]})" if strongest else f"){self._blind_below(found)}"
        return f"{text}, {len(found.raising)} {_plural(len(found.raising), 'raises', 'raise')} them by more; " + (
            f"of {found.n_detectable} an effect of any size is detectable."
        )

    def _looking_and_doing(self, found: ConceptFindings) -> str:
        agreement = found.agreement
        if agreement is None:
            return ""
        top = min(10, len(found.looked))
        both = found.shared_top(top)
        return (
            f"*Looking against doing.* Over {agreement.n} heads, Δ attention and the loss on removal have rank "
            f"correlation {number(agreement.rho)} (95 % CI {interval(agreement.low, agreement.high)}; heads of one "
            f"model are no independent sample, so this describes and does not generalize). Of the {top} heads with "
            f"the largest Δ, {both} {_plural(both, 'lowers', 'lower')} the log-odds by more than "
            f"{number(found.threshold_nats)} nats when removed."
        )

    def _on_set(self, one: SetFindings) -> list[str]:
        points: list[str] = []
        primary = one.primary
        if primary is not None:
            points.append(f"*{named(one.heads)}.* {self._together(one, '')}{self._beside(one)}")
        points += [self._generated(one, effect) for effect in one.generated]
        damage = one.effect("perplexity_ratio")
        if damage is not None:
            points.append(
                f"*Damage by {named(one.heads)}.* On control prompts the perplexity becomes "
                f"{number(damage.estimate)} times the baseline's (95 % CI {interval(damage.low, damage.high)})."
            )
        return points

    def _beside(self, one: SetFindings) -> str:
        text, primary = "", one.primary
        if one.total is not None and primary is not None and one.n_heads > 1:
            text += f" The same heads removed one at a time sum to {self.evidence(one.total)}."
        return text + self._among(one)

    def _among(self, one: SetFindings) -> str:
        """Where a set stands among random ones; empty where that was not measured."""
        if one.null is None or not isfinite(as_float(one.null["percentile"])):
            return ""
        matched = "in the same layers" if one.null["layer_matched"] else "from any layer"
        beyond = 1 - as_float(one.null["percentile"]) / 100
        return (
            f" Among {count(one.null['n_random'])} random disjoint sets of its size ({matched}) it stands at "
            f"{equation('p', beyond)} (smallest reachable {number(one.null['floor'])})."
        )

    def _generated(self, one: SetFindings, effect: Effect) -> str:
        done = {-1: "detectably fall", 1: "detectably rise", 0: "do not detectably change"}[effect.direction]
        what = "its keywords in generated text" if effect.outcome.startswith("keyword") else "sentiment scores"
        text = f"*Text without {named(one.heads)}.* {_capital(what)} {done}: {self.evidence(effect)}"
        return text + (f"; {self._power(effect)}." if effect.direction == 0 else ".")

    def candidates(self, found: ConceptFindings) -> str:
        """Which heads to patch next, and on what ground."""
        if found.assay_shown is False:
            return "none: the model does not show the concept"
        causal = found.judged(*CARRIERS, READING_UNDECIDED, "causal, not specific")
        if causal:
            return _listed([self._verdict_words(row, found) for row in causal])
        if found.lowering:
            return _listed([f"{named(one.heads)}, {self.evidence(one)}" for one in found.lowering])
        if found.attending:
            listed = _listed([f"{named(one.heads)}, Δ {sized_en(one)}" for one in found.attending])
            return f"by attention only, no effect that matters is shown: {listed}"
        return "none, neither by attention nor by an effect that matters"

    def direction(self, name: str) -> str:
        """The name of a direction of patching."""
        return name

    def set_title(self, found: SetFindings) -> str:
        """Heading of the section on one set of heads."""
        how = "the heads that were asked for" if found.role == "requested" else "top heads together"
        return f"{named(found.heads)} on {plain(found.concept)} prompts ({how})"

    def file(self, name: str) -> str:
        """What a file of the run folder holds; empty where it is not known."""
        return _FILES.get(name.split("/")[-1], "")

    def option(self, name: str) -> str:
        """A setting's name."""
        return _OPTIONS.get(name, plain(name))

    def figure(self, name: str) -> str:
        """Caption of a figure, from its file name without extension."""
        kind, rest = figure_kind(name, tuple(_FIGURES))
        return _FIGURES.get(kind, "") + (f" ({plain(rest.replace('_', ' '))})" if kind and rest else "")


def _plural(n: int, one: str, many: str) -> str:
    return one if n == 1 else many


def _listed(items: Sequence[str]) -> str:
    shown = list(items[:NAMED])
    return "; ".join(shown) + (f"; and {len(items) - NAMED} more" if len(items) > NAMED else "")


def _joined(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
