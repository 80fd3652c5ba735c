"""What turning heads up does to a concept, in one word and one sentence; first rule that holds.

The doses that are judged are those above the neutral one; where there are none, those below it. *One way* is up where
larger doses raise the concept and smaller ones lower it, down where it is the other way round.

1. *no verdict*: six templates are lacking, or the model does not show the concept.
2. *undecided*: a dose has no simultaneous interval.
3. *no effect that matters*: at every dose the interval lies inside the smallest effect that matters, ±δ.
4. *undecided*: no dose's interval lies beyond ±δ.
5. *undecided (not one way)*: some dose moves the concept one way beyond δ, another dose, or the slope, the other way.
6. *undecided*: the slope's simultaneous interval includes 0, or no judged dose is beyond δ.
7. *undecided (vector)*: the vector that was fitted is not shown to hold on templates left out
   (``steering_vectors.holds_elsewhere``). A vector fitted to noise exceeds random ones too often, because a head's
   noise lies where the model heeds it; but it holds elsewhere in 5 % of cases only.
8. *moved by any push*: more than 5 % of random vectors are shown to have as large a slope (lower limit of their share);
   *any heads do it*: of random other heads. ``scale`` has no random vectors.
9. *undecided*: the slope is not beyond those of 95 % of random vectors, and of random other heads; too few were tried;
   or they were not measured.
10. *steers*, or where it lowers the concept *turns it down*: at a dose beyond δ damage is bounded, and at every smaller
   judged dose; and at such a dose its own change exceeds that of every other concept by more than δ. Where none was
   read: *(specificity not tested)*. *..., not specific*: at every such dose the change exceeds some other's by less
   than δ; else *undecided (specificity)*. *steers, at a cost*, *turns it down, at a cost*: at every judged dose beyond
   δ harm is shown. Else *undecided (damage not bounded)*.

Why damage must be bounded at every smaller dose: doses are then tested in an order that is fixed beforehand, and the
first that fails ends it, so looking at many doses costs no correction (Maurer, Hothorn & Lehmacher 1995). All else must
hold at once, an intersection-union test (Berger 1982).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headscope.stats.damage import Damage
from headscope.stats.evidence import Criteria, spread, templates_to_decide
from headscope.stats.nulls import Placed
from headscope.stats.verdicts import DAMAGE_UNBOUNDED, NO_VERDICT, UNDECIDED, needed_words
from headscope.terms import ALPHA, RANDOM_HEADS, RANDOM_VECTOR

STEERS = "steers"
STEERS_AT_COST = "steers, at a cost"
TURNS_DOWN = "turns it down"
TURNS_DOWN_AT_COST = "turns it down, at a cost"
ANY_PUSH = "moved by any push"
ANY_HEADS = "any heads do it"
NO_EFFECT_THAT_MATTERS = "no effect that matters"
NOT_ONE_WAY = "undecided (not one way)"
NO_VECTOR = "undecided (vector)"
STEERS_UNTESTED = "steers (specificity not tested)"
TURNS_DOWN_UNTESTED = "turns it down (specificity not tested)"
STEERS_NOT_SPECIFIC = "steers, not specific"
TURNS_DOWN_NOT_SPECIFIC = "turns it down, not specific"
NOT_DECIDED_SPECIFIC = "undecided (specificity)"

_UNITS = {"add": " σ", "scale": " times"}
_PLURAL = {RANDOM_VECTOR: "random vectors", RANDOM_HEADS: "random other heads"}


@dataclass(frozen=True)
class DoseEffect:
    """What one dose did; NaN where it was not measured.

    Attributes:
        dose: as asked for.
        x: dose - neutral dose.
        estimate: mean effect, nats.
        low: lower end of its simultaneous interval.
        high: upper end.
        needed: templates after which the interval would lie beyond ±δ or inside it, if the truth is the estimate.
        damage: to control text.
        specificity: other concept -> simultaneous interval of own change − the other's, both turned positive.
    """

    dose: float
    x: float
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    needed: float = math.nan
    damage: Damage = field(default_factory=Damage)
    specificity: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    @classmethod
    def of_row(
        cls,
        dose: float,
        x: float,
        row: Mapping[Hashable, Any] | None,
        damage: Damage,
        *,
        threshold: float,
        alpha: float,
        specificity: Mapping[str, tuple[float, float]] | None = None,
    ) -> DoseEffect:
        """From a primary row of the ``steering`` table; None where there is no such row."""
        if row is None:
            return cls(dose, x, damage=damage, specificity=specificity or {})
        estimate, (deviation, n_family) = float(row["estimate"]), spread(row, alpha)
        distance = abs(estimate) - threshold
        margins = (distance, math.inf) if distance > 0 else (-distance, threshold + abs(estimate))
        needed = templates_to_decide(*margins, deviation, n_family, alpha)
        return cls(dose, x, estimate, float(row["sim_low"]), float(row["sim_high"]), needed, damage, specificity or {})

    def way(self, threshold: float) -> int:
        """1 where larger doses raise the concept by more than ``threshold``, -1 where they lower it, else 0."""
        moved = 1 if self.low > threshold else -1 if self.high < -threshold else 0
        return moved if self.x > 0 else -moved

    def inside(self, threshold: float) -> bool:
        """The interval lies within ±``threshold``."""
        return -threshold < self.low and self.high < threshold


@dataclass(frozen=True, kw_only=True)
class DoseEvidence:
    """Everything known about one response.

    Attributes:
        edit: ``add`` or ``scale``.
        noun: concept or task.
        shown: whether the unedited model shows the concept; None where that is not known.
        n_templates: that the slope rests on.
        slope: mean over templates.
        low: lower end of its simultaneous interval.
        high: upper end.
        threshold: δ, nats.
        doses: in any order.
        random_vectors: where the slope lies among theirs.
        random_heads: where it lies among those of other heads.
        p_vector: of the vector, that it holds on templates left out; NaN where that could not be tested; None where
            nothing was fitted.
        null_notes: a name of ``terms.NULLS`` -> a sentence about it, may be empty.
    """

    edit: str
    noun: str
    shown: bool | None
    n_templates: int
    slope: float
    low: float
    high: float
    threshold: float
    doses: tuple[DoseEffect, ...]
    random_vectors: Placed
    random_heads: Placed
    p_vector: float | None = None
    null_notes: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def judged(self) -> list[DoseEffect]:
        """Doses above the neutral one, or below it where there are no others; from the nearest on."""
        return judged_doses(self.doses)

    @property
    def smallest_dose(self) -> float:
        """The judged dose nearest to neutral whose simultaneous interval lies beyond ±δ; NaN for none."""
        return next((one.dose for one in self.judged if one.way(self.threshold)), math.nan)

    def bounded(self, tolerated: float) -> list[DoseEffect]:
        """Judged doses, from the nearest to neutral on, up to the first at which damage is not bounded."""
        found: list[DoseEffect] = []
        for one in self.judged:
            if not one.damage.bounded(tolerated):
                break
            found.append(one)
        return found

    def bounded_dose(self, tolerated: float) -> float:
        """The largest judged dose up to which damage is bounded at every one; NaN for none."""
        return found[-1].dose if (found := self.bounded(tolerated)) else math.nan

    def harmful_dose(self, tolerated: float) -> float:
        """The judged dose nearest to neutral at which harm is shown; NaN for none."""
        return next((one.dose for one in self.judged if one.damage.shown(tolerated)), math.nan)

    def nulls(self) -> dict[str, Placed]:
        """The nulls that the edit must exceed."""
        both = {RANDOM_VECTOR: self.random_vectors, RANDOM_HEADS: self.random_heads}
        return {RANDOM_HEADS: self.random_heads} if self.edit == "scale" else both


def judged_doses(doses: tuple[DoseEffect, ...]) -> list[DoseEffect]:
    """Doses above the neutral one, or below it where there are no others; from the nearest on."""
    above = [one for one in doses if one.x > 0]
    return sorted(above or doses, key=lambda one: abs(one.x))


def decide(item: DoseEvidence, rules: Criteria) -> tuple[str, str]:
    """Verdict and reason."""
    if math.isnan(item.low) or math.isnan(item.high):
        return NO_VERDICT, f"descriptive only: {item.n_templates} templates, no simultaneous interval"
    if not item.shown:
        shown = f"the model does not show this {item.noun} on these prompts"
        lack = "the assay is missing" if item.shown is None else shown
        return NO_VERDICT, f"{lack}, so no head can be said to steer it"
    return _without_effect(item) or _not_elsewhere(item) or _not_of_these_heads(item) or _by_cost(item, rules)


def _without_effect(item: DoseEvidence) -> tuple[str, str] | None:
    """Rules 2 to 6; None where doses and slope agree on an effect beyond δ."""
    delta, unit = item.threshold, _UNITS[item.edit]
    missing = [one for one in item.doses if math.isnan(one.low) or math.isnan(one.high)]
    if missing:
        return UNDECIDED, f"no simultaneous interval at {_doses(missing, unit)}"
    largest = max(item.doses, key=lambda one: abs(one.estimate))
    if all(one.inside(delta) for one in item.doses):
        words = f"at every dose the interval lies inside ±{delta:.3g} nats; the largest effect is at "
        return NO_EFFECT_THAT_MATTERS, f"{words}{_effect(largest, unit)}"
    moving = [one for one in item.doses if one.way(delta)]
    if not moving:
        words = f"no dose's interval lies beyond ±{delta:.3g} nats; the largest effect is at {_effect(largest, unit)}"
        return UNDECIDED, f"{words}; {needed_words(largest.needed)}"
    ways = {one.way(delta) for one in moving}
    slope = _slope(item)
    up, down = item.low > 0.0, item.high < 0.0
    if len(ways) > 1 or (up and -1 in ways) or (down and 1 in ways):
        listed = ", ".join(_effect(one, unit) for one in sorted(moving, key=lambda one: one.x))
        return NOT_ONE_WAY, f"doses do not move the {item.noun} one way: {listed}; {slope}"
    if not up and not down:
        return UNDECIDED, f"the slope's interval includes 0: {slope}"
    if math.isnan(item.smallest_dose):
        return UNDECIDED, f"beyond ±{delta:.3g} nats only below the neutral dose, at {_doses(moving, unit)}; {slope}"
    return None


def _not_elsewhere(item: DoseEvidence) -> tuple[str, str] | None:
    """Rule 7; None where the vector holds on templates left out, or was not fitted."""
    if item.p_vector is None or item.p_vector <= ALPHA:
        return None
    words = "that the vector holds on templates left out is not shown"
    if math.isnan(item.p_vector):
        return NO_VECTOR, f"{_effect_words(item)}; {words}: no template has prompts of the {item.noun} and controls"
    return NO_VECTOR, f"{_effect_words(item)}; {words}: p = {item.p_vector:.2g}"


def _not_of_these_heads(item: DoseEvidence) -> tuple[str, str] | None:
    """Rules 8 and 9; None where the slope is beyond those of all nulls."""
    effect = _effect_words(item)
    for name, verdict in ((RANDOM_VECTOR, ANY_PUSH), (RANDOM_HEADS, ANY_HEADS)):
        placed = item.nulls().get(name)
        if placed is not None and placed.is_like_random:
            words = f"{placed.n_reaching} of {placed.n_tried} {_PLURAL[name]} have as large a slope"
            return verdict, f"{effect}; {words}, so more than {placed.share_low:.0%} of all do{_note(item, name)}"
    for name, placed in item.nulls().items():
        if placed.n_tried == 0:
            return UNDECIDED, f"{effect}; not compared with {_PLURAL[name]}{_note(item, name)}"
        if placed.floor > ALPHA:
            words = f"only {placed.n_tried} {_PLURAL[name]} were tried, so p cannot be below {placed.floor:.2g}"
            fix = ": where there are no others, more heads in the set or a larger model would be needed"
            return UNDECIDED, f"{effect}; {words}{fix if name == RANDOM_HEADS else ''}{_note(item, name)}"
        if not placed.exceeds:
            words = f"{placed.n_reaching} of {placed.n_tried} {_PLURAL[name]} have as large a slope"
            return UNDECIDED, f"{effect}; {words}, p = {placed.p_value:.2g}: neither few nor many{_note(item, name)}"
    return None


def _by_cost(item: DoseEvidence, rules: Criteria) -> tuple[str, str]:
    """Rule 10."""
    tolerated, unit = rules.max_perplexity_ratio, _UNITS[item.edit]
    beyond = [one for one in item.judged if one.way(item.threshold)]
    effect = f"{_effect_words(item)}; {_null_words(item)}"
    rises = item.slope > 0.0
    bounded = item.bounded(tolerated)
    if moving := [one for one in bounded if one.way(item.threshold)]:
        words = f"damage is bounded up to {bounded[-1].dose:g}{unit}: {bounded[-1].damage}"
        return _by_specificity(item, moving, f"{effect}; {words}")
    first = beyond[0]
    if all(one.damage.shown(tolerated) for one in beyond):
        words = f"harm is shown at every dose with an effect; at {first.dose:g}{unit} {first.damage}"
        return STEERS_AT_COST if rises else TURNS_DOWN_AT_COST, f"{effect}; {words}"
    last = next(one for one in item.judged if not one.damage.bounded(tolerated))  # the first that ends the order
    if not last.damage.measured:
        return DAMAGE_UNBOUNDED, f"{effect}; damage to control text was not measured at {last.dose:g}{unit}"
    if last.damage.shown(tolerated):
        return DAMAGE_UNBOUNDED, f"{effect}; at {last.dose:g}{unit} harm is shown: {last.damage}"
    words = f"at {last.dose:g}{unit} {last.damage}: harm over {tolerated:g} is neither shown nor ruled out"
    return DAMAGE_UNBOUNDED, f"{effect}; {words}; {needed_words(last.damage.templates_needed(tolerated, rules.alpha))}"


def _by_specificity(item: DoseEvidence, moving: Sequence[DoseEffect], reason: str) -> tuple[str, str]:
    """Rule 10 where damage is bounded at doses with an effect: is there one at which no other concept moves as far?"""
    start, unit, delta = (STEERS if item.slope > 0.0 else TURNS_DOWN), _UNITS[item.edit], item.threshold
    if not all(one.specificity for one in moving):
        return f"{start} (specificity not tested)", f"{reason}; no other {item.noun} was read on these prompts"
    least = {one.dose: min(one.specificity.items(), key=lambda other: other[1][0]) for one in moving}
    dose, (other, (low, high)) = max(least.items(), key=lambda each: each[1][1][0])
    words = f"at {dose:g}{unit} its own change exceeds that of {other}, the closest, by [{low:+.3g}, {high:+.3g}] nats"
    if low > delta:
        return start, f"{reason}; {words}"
    if all(any(upper < delta for _, upper in one.specificity.values()) for one in moving):
        return f"{start}, not specific", f"{reason}; {words}: less than δ"
    return NOT_DECIDED_SPECIFIC, f"{reason}; {words}"


def _effect_words(item: DoseEvidence) -> str:
    """What the judged doses beyond δ do, and the slope."""
    beyond = [one for one in item.judged if one.way(item.threshold)]
    first, last = beyond[0], beyond[-1]
    moves = "rises" if first.estimate > 0 else "falls"
    words = f"the {item.noun} {moves}: {_effect(first, _UNITS[item.edit])}"
    words += f", {_effect(last, _UNITS[item.edit])}" if len(beyond) > 1 else ""
    return f"{words}, threshold {item.threshold:.3g}; {_slope(item)}"


def _null_words(item: DoseEvidence) -> str:
    parts = (f"{_PLURAL[name]} p = {one.p_value:.2g} (n = {one.n_tried})" for name, one in item.nulls().items())
    return ", ".join(parts)


def _effect(one: DoseEffect, unit: str) -> str:
    return f"{one.dose:g}{unit} {one.estimate:+.3g} nats [{one.low:+.3g}, {one.high:+.3g}]"


def _slope(item: DoseEvidence) -> str:
    per = "unit of the factor" if item.edit == "scale" else "σ"
    return f"slope {item.slope:+.3g} nats per {per} [{item.low:+.3g}, {item.high:+.3g}]"


def _doses(doses: Sequence[DoseEffect], unit: str) -> str:
    return ", ".join(f"{one.dose:g}" for one in sorted(doses, key=lambda one: one.x)) + unit


def _note(item: DoseEvidence, name: str) -> str:
    return f" ({note})" if (note := item.null_notes.get(name, "")) else ""
