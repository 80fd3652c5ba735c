"""What a head is to a concept, in one word and one sentence, from the tables of a run.

1. No verdict where the model does not show the concept, or where six templates are lacking.
2. The effect of removal (deciding edit ``mean``): its simultaneous interval wholly beyond the smallest effect that
   matters, wholly inside it, or neither: causal, no effect, undecided (with the templates that would decide).
3. A causal effect counts only where the agreeing edit ``zero`` has the same sign: else undecided (edit-dependent).
4. Causal heads, first rule that holds: general damage; undecided (damage not bounded); suppressor (removal raises the
   concept); shared carrier (causal for two or more concepts); causal, not by this attention; carrier (attends and
   specific); causal, not specific; undecided where specificity is.
5. Heads without effect: attends only, or no effect.
6. Sets: redundant where the set is causal, no member is causal alone, and the joint effect is larger than the sum of
   the members' effects; else causal (set), or as single heads.

Damage (``stats.damage``) overrides specificity: in a model that is harmed, words of one concept may suffer more than
those of another for reasons that have nothing to do with the head.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from headscope.stats.columns import VERDICTS_COLUMNS
from headscope.stats.damage import Damage
from headscope.stats.power import templates_for_interval
from headscope.stats.ranking import PRIMARY_OUTCOME, primary_screen
from headscope.stats.specificity import SPECIFICITY_PREFIX

CARRIER = "carrier"
CARRIER_UNTESTED = "carrier (specificity not tested)"
SHARED_CARRIER = "shared carrier"
NOT_BY_ATTENTION = "causal, not by this attention"
NOT_SPECIFIC = "causal, not specific"
SUPPRESSOR = "suppressor"
REDUNDANT = "redundant"
CAUSAL_SET = "causal (set)"
GENERAL_DAMAGE = "general damage"
ATTENDS_ONLY = "attends only"
NO_EFFECT = "no effect"
UNDECIDED = "undecided"
EDIT_DEPENDENT = "undecided (edit-dependent)"
DAMAGE_UNBOUNDED = "undecided (damage not bounded)"
NO_VERDICT = "no verdict"


@dataclass(frozen=True)
class Criteria:
    """What decides; kept in the record.

    Attributes:
        minimum_nats: the smallest effect that matters is at least this,
        gap_share: and at least this share of the model's own concept gap.
        max_perplexity_ratio: damage to control text is bounded where the ratio's upper limit is at most this.
        attends_q: screening q-value below which a head attends.
        alpha: level of the simultaneous intervals in the effects table.
        deciding_edit: its interval decides.
        agreeing_edit: its sign must agree.
        outcome: the primary outcome.
        scope: of the edits.
        query: of the screen; None: see ``ranking.primary_screen``.
    """

    minimum_nats: float = 0.05
    gap_share: float = 0.05
    max_perplexity_ratio: float = 1.05
    attends_q: float = 0.05
    alpha: float = 0.05
    deciding_edit: str = "mean"
    agreeing_edit: str = "zero"
    outcome: str = PRIMARY_OUTCOME
    scope: str = "all"
    query: str | None = None

    def threshold_nats(self, gap_nats: float) -> float:
        """The smallest effect that matters, where the model's own concept gap is ``gap_nats`` (NaN: not known)."""
        return float(np.nanmax([self.minimum_nats, self.gap_share * gap_nats]))


@dataclass
class _Evidence:
    """Everything known about one head or set for one concept; NaN where it was not measured."""

    concept: str
    heads: str
    is_set: bool
    n_templates: int
    estimate: float
    low: float
    high: float
    deviation: float
    n_family: float
    threshold: float
    shown: bool | None
    agreeing: float
    attends_q: float
    attends_delta: float
    damage: Damage
    specificity: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    n_concepts: int = 1
    causal_for: tuple[str, ...] = ()
    members: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    sum_of_singles: float = math.nan

    @property
    def answer(self) -> str:
        """lowers, raises, no effect or undecided, from the simultaneous interval alone."""
        if self.high < -self.threshold:
            return "lowers"
        if self.low > self.threshold:
            return "raises"
        if -self.threshold < self.low and self.high < self.threshold:
            return "no effect"
        return "undecided"

    @property
    def edits_agree(self) -> bool:
        """The agreeing edit moves the outcome the same way; False where it was not made or moves nothing."""
        return self.estimate * self.agreeing > 0.0

    @property
    def closest(self) -> str:
        """The other concept over which specificity is least sure; there must be one."""
        return min(self.specificity, key=lambda other: (self.specificity[other][1], self.specificity[other][0]))


_JUDGED_ROLES = ("single", "requested", "joint_top")
"""Of several groups of rows on the same heads the first of these is judged: the one on most prompts."""


def judge(
    effects: pd.DataFrame, screen: pd.DataFrame | None, assay: pd.DataFrame, *, criteria: Criteria | None = None
) -> pd.DataFrame:
    """The ``verdicts`` table: every single head and every tested set, for each concept they were measured on.

    Args:
        effects: ``effects`` table with rows of the deciding edit (primary outcome, with simultaneous intervals), of
            the agreeing edit, ``perplexity_ratio`` rows, and ``specificity_nats:<other>`` rows.
        screen: ``screen`` table; None where no screen was made.
        assay: ``assay`` table; a concept without a row there gets no verdict.
        criteria: what decides.

    Returns:
        One row a concept and head or set, in the order of ``effects``. Missing evidence never makes a verdict more
        favorable: the row says what is missing.
    """
    rules = criteria or Criteria()
    evidence = _gather(effects, screen, assay, rules)
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
        rows.append((*known, item.attends_q, *spec, item.damage.low, item.damage.high, needed))
    return pd.DataFrame(rows, columns=VERDICTS_COLUMNS)


def _decide(item: _Evidence, rules: Criteria) -> tuple[str, str, float]:
    """Verdict, reason, templates that would decide (NaN where that is not the question)."""
    if math.isnan(item.low) or math.isnan(item.high):
        return NO_VERDICT, f"descriptive only: {item.n_templates} templates, no simultaneous interval", math.nan
    if not item.shown:
        lack = "the assay is missing" if item.shown is None else "the model does not show this concept on these prompts"
        return NO_VERDICT, f"{lack}, so no head can be said to carry it", math.nan
    effect = _effect_words(item)
    if item.answer == "undecided":
        needed = _templates_needed(item.estimate, item.deviation, item.threshold, item.n_family, rules.alpha)
        return UNDECIDED, f"{effect}; {_needed_words(needed)}", needed
    if item.answer == "no effect":
        if _attends(item, rules):
            return ATTENDS_ONLY, f"attends (q = {item.attends_q:.3g}) but {effect}", math.nan
        return NO_EFFECT, effect, math.nan
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
        return DAMAGE_UNBOUNDED, f"{effect}; {harm}; {_needed_words(needed)}", needed
    if item.answer == "raises":
        return SUPPRESSOR, effect, math.nan
    if item.is_set:
        return _decide_set(item, effect)
    return _decide_carrier(item, rules, effect)


def _decide_set(item: _Evidence, effect: str) -> tuple[str, str, float]:
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


def _decide_carrier(item: _Evidence, rules: Criteria, effect: str) -> tuple[str, str, float]:
    if len(item.causal_for) > 1:
        return SHARED_CARRIER, f"{effect}; causal for {', '.join(item.causal_for)}", math.nan
    if math.isnan(item.attends_q):
        return UNDECIDED, f"{effect}; whether it attends was not measured", math.nan
    if not _attends(item, rules):
        return NOT_BY_ATTENTION, f"{effect}; does not attend to the concept (q = {item.attends_q:.3g})", math.nan
    attends = f"{effect}; attends (q = {item.attends_q:.3g})"
    if item.n_concepts < 2 and not item.specificity:
        return CARRIER_UNTESTED, f"{attends}; the profile has no other concept to compare with", math.nan
    if len(item.specificity) < item.n_concepts - 1 or any(math.isnan(s[1]) for s in item.specificity.values()):
        return UNDECIDED, f"{attends}; its effect on other concepts was not measured", math.nan
    estimate, low, high = item.specificity[item.closest]
    words = f"own change exceeds that of {item.closest} by {estimate:+.3g} nats [{low:+.3g}, {high:+.3g}]"
    if low > item.threshold:
        return CARRIER, f"{attends}; {words}", math.nan
    if any(upper < item.threshold for _, _, upper in item.specificity.values()):
        return NOT_SPECIFIC, f"{attends}; {words}", math.nan
    return UNDECIDED, f"{attends}; specificity undecided: {words}", math.nan


def _attends(item: _Evidence, rules: Criteria) -> bool:
    return item.attends_q < rules.attends_q and item.attends_delta > 0.0


def _effect_words(item: _Evidence) -> str:
    place = {
        "lowers": "removal lowers the concept",
        "raises": "removal raises the concept",
        "no effect": "removal has no effect that matters",
        "undecided": "the interval does not decide",
    }[item.answer]
    return (
        f"{place}: {item.estimate:+.3g} nats, simultaneous interval [{item.low:+.3g}, {item.high:+.3g}], "
        f"threshold {item.threshold:.3g}"
    )


def _needed_words(needed: float) -> str:
    if math.isfinite(needed):
        return f"about {needed:.0f} templates would decide"
    return "no number of templates would decide: the estimate lies on the limit"


def _templates_needed(estimate: float, deviation: float, threshold: float, n_family: float, alpha: float) -> float:
    """Templates for 80 % power to decide if the true effect is the estimate, at the family's max-T level."""
    if not deviation > 0.0:
        return math.nan
    distance = abs(estimate) - threshold
    margins = (distance, math.inf) if distance > 0 else (-distance, threshold + abs(estimate))
    needed = templates_for_interval(
        margins[0] / deviation, margins[1] / deviation, n_tests=max(1.0, n_family), alpha=alpha
    )
    return needed if math.isfinite(needed) else math.nan


def _gather(
    effects: pd.DataFrame, screen: pd.DataFrame | None, assay: pd.DataFrame, rules: Criteria
) -> list[_Evidence]:
    rows = _grouped(effects[effects["scope"] == rules.scope])
    deciding = rows[(rows["edit"] == rules.deciding_edit) & (rows["outcome"] == rules.outcome)]
    sums = deciding[deciding["role"] == "sum_of_singles"].to_dict("records")
    singles_sum = {(str(r["concept"]), str(r["heads"])): float(r["estimate"]) for r in sums}
    deciding = deciding[deciding["role"].isin(_JUDGED_ROLES)]
    deciding = deciding.sort_values("role", key=lambda role: role.map(_JUDGED_ROLES.index), kind="stable")
    deciding = deciding.drop_duplicates(["concept", "heads"]).sort_index()
    zero = rows[(rows["edit"] == rules.agreeing_edit) & (rows["outcome"] == rules.outcome)]
    agreeing = {_place(r): float(r["estimate"]) for r in _firsts(zero, *_KEYS)}
    damage = rows[(rows["edit"] == rules.deciding_edit) & (rows["outcome"] == "perplexity_ratio")]
    harm = {_place(r)[1:3]: Damage.of_row(r) for r in _firsts(damage, "heads", "group")}
    special: dict[_Place, dict[str, tuple[float, float, float]]] = {}
    contrasts = rows[(rows["edit"] == rules.deciding_edit) & rows["outcome"].str.startswith(SPECIFICITY_PREFIX)]
    for r in _firsts(contrasts, *_KEYS, "outcome"):
        other = str(r["outcome"]).removeprefix(SPECIFICITY_PREFIX)
        bounds = (float(r["estimate"]), float(r["sim_low"]), float(r["sim_high"]))
        special.setdefault(_place(r), {})[other] = bounds
    attention = _attention(screen, rules)
    gap = assay[assay["outcome"] == rules.outcome].set_index("concept")
    shown = {str(concept): bool(value) for concept, value in gap["shown"].items()}
    own_gap = {str(concept): float(value) for concept, value in gap["estimate"].items()}
    evidence: list[_Evidence] = []
    for r in deciding.to_dict("records"):
        place, key = _place(r), (str(r["concept"]), str(r["heads"]))
        deviation, n_family = _spread(r, rules.alpha)
        q, delta = attention.get(key, (math.nan, math.nan))
        evidence.append(
            _Evidence(
                concept=key[0],
                heads=key[1],
                is_set="," in key[1],
                n_templates=int(r["n_templates"]),
                estimate=float(r["estimate"]),
                low=float(r["sim_low"]),
                high=float(r["sim_high"]),
                deviation=deviation,
                n_family=n_family,
                threshold=rules.threshold_nats(own_gap.get(key[0], math.nan)),
                shown=shown.get(key[0]),
                agreeing=agreeing.get(place, math.nan),
                attends_q=q,
                attends_delta=delta,
                damage=harm.get(place[1:3], Damage()),
                specificity=special.get(place, {}),
                n_concepts=assay["concept"].nunique(),
                sum_of_singles=singles_sum.get(key, math.nan),
            )
        )
    return evidence


_Place = tuple[str, str, str, str]
_KEYS = ("concept", "heads", "group", "prompts")


def _grouped(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with what tells groups of rows apart that were measured together: column ``group`` and ``prompts``.

    One head can stand in a table several times: alone on all prompts, as a top set of one on half of them, in tables
    put one below the other. What is said of it must come from one such group: the same role, the same verb (the first
    part of the family's name) and, of the rows on the concept's prompts, as many prompts and templates.
    """
    group = [(role, str(family).partition("/")[0]) for role, family in zip(rows["role"], rows["family"], strict=True)]
    prompts = list(zip(rows["n_prompts"].map(str), rows["n_templates"].map(str), strict=True))
    return rows.assign(group=list(map(str, group)), prompts=list(map(str, prompts)))


def _place(row: Mapping[Hashable, Any]) -> _Place:
    """Concept, heads, group and prompts of a row of ``_grouped``."""
    concept, heads, group, prompts = (str(row[key]) for key in _KEYS)
    return concept, heads, group, prompts


def _firsts(rows: pd.DataFrame, *keys: str) -> list[dict[Hashable, Any]]:
    """The first of several rows that are alike in ``keys``."""
    return rows.drop_duplicates(list(keys)).to_dict("records")


def _attention(screen: pd.DataFrame | None, rules: Criteria) -> dict[tuple[str, str], tuple[float, float]]:
    """(concept, head) -> q and difference of the screening row that decides whether the head attends."""
    if screen is None:
        return {}
    rows = primary_screen(screen, query=rules.query).to_dict("records")
    return {(str(r["concept"]), f"{r['layer']}:{r['head']}"): (float(r["q_value"]), float(r["estimate"])) for r in rows}


def _spread(row: Mapping[Hashable, Any], alpha: float) -> tuple[float, float]:
    """Standard deviation over templates and the effective size of the family, read back from the two intervals."""
    n, low, high = int(row["n_templates"]), float(row["ci_low"]), float(row["ci_high"])
    joint = (float(row["sim_high"]) - float(row["sim_low"])) / 2
    if n < 2 or not high > low:
        return math.nan, math.nan
    error = (high - low) / 2 / float(stats.t.isf(alpha / 2, n - 1))
    level = 2 * float(stats.t.sf(joint / error, n - 1))
    return error * math.sqrt(n), alpha / level if level > 0.0 else math.nan
