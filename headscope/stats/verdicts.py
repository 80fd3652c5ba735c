"""What a head is to a concept, in one word and one sentence, from the tables of a run.

1. No verdict where the model does not show the concept, or where six templates are lacking.
2. The effect of removal (deciding edit ``mean``): its simultaneous interval wholly beyond the smallest effect that
   matters, wholly inside it, or neither: causal, no effect, undecided (with the templates that would decide).
3. A causal effect counts only where the agreeing edit ``zero`` has the same sign: else undecided (edit-dependent).
4. Causal heads, first rule that holds: general damage; undecided (damage not bounded); suppressor (removal raises the
   concept); shared carrier (causal for two or more concepts); causal, not specific; undecided where specificity is;
   then by where the head looks (``stats.attending``): carrier (attends to the concept's words); carrier, reading
   elsewhere (shown not to attend to them); undecided (where it reads).
5. Heads without effect: attends only, or no effect.
6. Sets: redundant where the set is causal, no member is causal alone, and the joint effect is larger than the sum of
   the members' effects; else causal (set), or as single heads.

Damage (``stats.damage``) overrides specificity: in a model that is harmed, words of one concept may suffer more than
those of another for reasons that have nothing to do with the head.
"""

from __future__ import annotations

import math

import pandas as pd

from headscope.stats.attending import NO, UNKNOWN, YES
from headscope.stats.evidence import Criteria as Criteria
from headscope.stats.evidence import Evidence, gather, templates_to_decide
from headscope.stats.regions import places_read
from headscope.tables import TABLES
from headscope.terms import REGION_WORDS

CARRIER = "carrier"
CARRIER_UNTESTED = "carrier (specificity not tested)"
SHARED_CARRIER = "shared carrier"
READING_ELSEWHERE = "carrier, reading elsewhere"
ELSEWHERE_UNTESTED = "carrier, reading elsewhere (specificity not tested)"
NOT_SPECIFIC = "causal, not specific"
SUPPRESSOR = "suppressor"
REDUNDANT = "redundant"
CAUSAL_SET = "causal (set)"
GENERAL_DAMAGE = "general damage"
ATTENDS_ONLY = "attends only"
NO_EFFECT = "no effect"
UNDECIDED = "undecided"
EDIT_DEPENDENT = "undecided (edit-dependent)"
READING_UNDECIDED = "undecided (where it reads)"
DAMAGE_UNBOUNDED = "undecided (damage not bounded)"
NO_VERDICT = "no verdict"
VERDICTS = (
    CARRIER, CARRIER_UNTESTED, SHARED_CARRIER, READING_ELSEWHERE, ELSEWHERE_UNTESTED, NOT_SPECIFIC, SUPPRESSOR,
    REDUNDANT, CAUSAL_SET, GENERAL_DAMAGE, ATTENDS_ONLY, NO_EFFECT, UNDECIDED, EDIT_DEPENDENT, READING_UNDECIDED,
    DAMAGE_UNBOUNDED, NO_VERDICT,
)  # fmt: skip

_OF_WHAT = {"attention_without_sinks": "of the attention that is not on sinks", "attention": "of all attention"}
PLACES = REGION_WORDS


def judge(
    effects: pd.DataFrame,
    screen: pd.DataFrame | None,
    assay: pd.DataFrame,
    *,
    regions: pd.DataFrame | None = None,
    criteria: Criteria | None = None,
) -> pd.DataFrame:
    """The ``verdicts`` table: every single head and every tested set, for each concept they were measured on.

    Args:
        effects: ``effects`` table with rows of the deciding edit (primary outcome, with simultaneous intervals), of
            the agreeing edit, ``perplexity_ratio`` rows, and ``specificity_nats:<other>`` rows.
        screen: ``screen`` table; None where no screen was made.
        assay: ``assay`` table; a concept without a row there gets no verdict.
        regions: ``attention_by_region`` table; its shares stand in the reasons, and decide nothing.
        criteria: what decides.

    Returns:
        One row a concept and head or set, in the order of ``effects``. Missing evidence never makes a verdict more
        favorable: the row says what is missing.
    """
    rules = criteria or Criteria()
    evidence = gather(effects, screen, assay, regions, rules)
    causal: dict[str, list[str]] = {}
    for item in evidence:
        if item.shown and item.answer == "lowers" and item.edits_agree:
            causal.setdefault(item.heads, []).append(item.concept)
    single = {(item.concept, item.heads): (item.estimate, item.answer) for item in evidence if not item.is_set}
    rows: list[tuple[object, ...]] = []
    for item in evidence:
        item.causal_for = tuple(causal.get(item.heads, ()))
        if item.is_set:
            names = item.heads.split(",")
            item.members = {name: single[item.concept, name] for name in names if (item.concept, name) in single}
        verdict, reason, needed = _decide(item, rules)
        spec = item.specificity[item.closest] if item.specificity else (math.nan, math.nan, math.nan)
        known = (item.concept, item.heads, verdict, reason, item.estimate, item.low, item.high, item.threshold)
        looks = item.attention
        limit = math.nan if item.is_set else rules.minimum_attention_share
        known = (*known, looks.answer, looks.measure, looks.estimate, looks.low, looks.high, limit)
        rows.append((*known, *spec, item.damage.low, item.damage.high, needed))
    return pd.DataFrame(rows, columns=TABLES["verdicts"].columns)


def _decide(item: Evidence, rules: Criteria) -> tuple[str, str, float]:
    """Verdict, reason, templates that would decide (NaN where that is not the question)."""
    if math.isnan(item.low) or math.isnan(item.high):
        return NO_VERDICT, f"descriptive only: {item.n_templates} templates, no simultaneous interval", math.nan
    if not item.shown:
        shown = f"the model does not show this {item.noun} on these prompts"
        lack = "the assay is missing" if item.shown is None else shown
        return NO_VERDICT, f"{lack}, so no head can be said to carry it", math.nan
    effect = _effect_words(item)
    if item.answer == "undecided":
        needed = _needed_for_effect(item, rules)
        return UNDECIDED, f"{effect}; {needed_words(needed)}", needed
    if item.answer == "no effect":
        looks = _attention_words(item, rules)
        if item.attention.answer == YES:
            return ATTENDS_ONLY, f"{looks}, but {effect}", math.nan
        return NO_EFFECT, f"{effect}; {looks}" if looks else effect, math.nan
    if not item.edits_agree:
        other = "was not made" if math.isnan(item.agreeing) else f"gives {item.agreeing:+.3g} nats"
        return EDIT_DEPENDENT, f"{effect}; edit {rules.agreeing_edit} {other}", math.nan
    if not item.damage.measured:
        return UNDECIDED, f"{effect}; damage to control text was not measured", math.nan
    if item.damage.shown(rules.max_perplexity_ratio):
        return GENERAL_DAMAGE, f"{effect}; {item.damage}, above 1", math.nan
    if not item.damage.bounded(rules.max_perplexity_ratio):
        needed = item.damage.templates_needed(rules.max_perplexity_ratio, rules.alpha)
        harm = f"{item.damage}: harm over {rules.max_perplexity_ratio:g} is neither shown nor ruled out"
        return DAMAGE_UNBOUNDED, f"{effect}; {harm}; {needed_words(needed)}", needed
    if item.answer == "raises":
        return SUPPRESSOR, effect, math.nan
    if item.is_set:
        return _decide_set(item, effect)
    return _decide_carrier(item, rules, effect)


def _decide_set(item: Evidence, effect: str) -> tuple[str, str, float]:
    total = item.sum_of_singles  # on the set's own prompts where the table has it
    if math.isnan(total):
        total = sum(estimate for estimate, _ in item.members.values())
    if len(item.members) < item.heads.count(",") + 1:
        return CAUSAL_SET, f"{effect}; not every member was removed alone", math.nan
    alone = [name for name, (_, answer) in item.members.items() if answer in ("lowers", "raises")]
    if alone:
        return CAUSAL_SET, f"{effect}; causal alone: {', '.join(alone)}; sum of single effects {total:+.3g}", math.nan
    if item.high < total:
        return REDUNDANT, f"{effect}; no member is causal alone, their effects sum to {total:+.3g} only", math.nan
    return CAUSAL_SET, f"{effect}; no member is causal alone, but their effects sum to {total:+.3g}", math.nan


def _decide_carrier(item: Evidence, rules: Criteria, effect: str) -> tuple[str, str, float]:
    if len(item.causal_for) > 1:
        return SHARED_CARRIER, f"{effect}; causal for {', '.join(item.causal_for)}{_reading_words(item)}", math.nan
    looks = _attention_words(item, rules) or "whether it attends was not measured"
    looks += _reading_words(item)
    tested = item.n_concepts > 1 or bool(item.specificity)
    if not tested:
        words = f"the profile has no other {item.noun} to compare with"
    elif len(item.specificity) < item.n_concepts - 1 or any(math.isnan(s[1]) for s in item.specificity.values()):
        return UNDECIDED, f"{effect}; {looks}; its effect on other {item.noun}s was not measured", math.nan
    else:
        estimate, low, high = item.specificity[item.closest]
        words = f"own change exceeds that of {item.closest} by {estimate:+.3g} nats [{low:+.3g}, {high:+.3g}]"
        if any(upper < item.threshold for _, _, upper in item.specificity.values()):
            return NOT_SPECIFIC, f"{effect}; {looks}; {words}", math.nan
        if not low > item.threshold:
            return UNDECIDED, f"{effect}; {looks}; specificity undecided: {words}", math.nan
    reason = f"{effect}; {looks}; {words}"
    if item.attention.answer == YES:
        return (CARRIER if tested else CARRIER_UNTESTED), reason, math.nan
    if item.attention.answer == NO:
        return (READING_ELSEWHERE if tested else ELSEWHERE_UNTESTED), reason, math.nan
    if item.attention.answer == UNKNOWN:
        return UNDECIDED, reason, math.nan
    return READING_UNDECIDED, reason, _needed_for_attention(item, rules)


def _effect_words(item: Evidence) -> str:
    place = {
        "lowers": f"removal lowers the {item.noun}",
        "raises": f"removal raises the {item.noun}",
        "no effect": "removal has no effect that matters",
        "undecided": "the interval does not decide",
    }[item.answer]
    return (
        f"{place}: {item.estimate:+.3g} nats, simultaneous interval [{item.low:+.3g}, {item.high:+.3g}], "
        f"threshold {item.threshold:.3g}"
    )


def needed_words(needed: float) -> str:
    """How many templates would decide, as a clause; NaN where no number would."""
    if math.isfinite(needed):
        return f"about {needed:.0f} templates would decide"
    return "no number of templates would decide: the estimate lies on the limit"


def _needed_for_effect(item: Evidence, rules: Criteria) -> float:
    distance = abs(item.estimate) - item.threshold
    margins = (distance, math.inf) if distance > 0 else (-distance, item.threshold + abs(item.estimate))
    return templates_to_decide(*margins, item.deviation, item.n_family, rules.alpha)


def _needed_for_attention(item: Evidence, rules: Criteria) -> float:
    looks = item.attention
    distance = abs(looks.estimate - rules.minimum_attention_share)
    return templates_to_decide(distance, math.inf, looks.deviation, looks.n_family, rules.alpha)


def _attention_words(item: Evidence, rules: Criteria) -> str:
    """Whether the head attends, with the size that says so; empty where it was not measured."""
    looks = item.attention
    if looks.answer == UNKNOWN:
        return ""
    words = "the concept's words" if item.noun == "concept" else "the marked words"
    start = {YES: f"attends to {words}", NO: f"does not attend to {words}"}
    text = (
        f"{start.get(looks.answer, 'whether it attends is undecided')}: {looks.estimate:+.3g} "
        f"{_OF_WHAT[looks.measure]}, simultaneous interval [{looks.low:+.3g}, {looks.high:+.3g}], "
        f"limit {rules.minimum_attention_share:g}"
    )
    if looks.n_templates < item.n_templates:
        text += f", on {looks.n_templates} of {item.n_templates} templates"
    return text if looks.answer in start else f"{text}, {needed_words(_needed_for_attention(item, rules))}"


def _reading_words(item: Evidence) -> str:
    """Where the head reads, as a clause; empty where that was not measured."""
    if not item.reads:
        return ""
    most = places_read(item.reads)
    listed = " and ".join(f"{PLACES[place]} ({share:.2g})" for place, share in most)
    words = "" if any(place == "span" for place, _ in most) else f", {item.reads['span']:.2g} at {PLACES['span']}"
    return f"; reads mostly at {listed}{words}"
