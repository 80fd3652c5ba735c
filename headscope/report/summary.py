"""What the first screen of a report says of each concept, in no language: five answers, each from the tables.

1. *Model*: the gap between concept prompts and controls, with its interval; of a task the accuracy as well.
2. *Heads*: single heads that have more than no effect. Those shown to carry the concept stand first, then those that
   act on it with harm ruled out, then the undecided, then those that harm; within each the largest effects first. So
   the first head is the one to look at first.
3. *Sure*: whether the first head's simultaneous interval lies beyond the smallest effect that matters; how many heads
   are undecided, and how many templates would decide, beside those that there are.
4. *Together*: the top set, beside the sum of its heads' single effects and among random sets.
5. *Harm*: of the first head and of every set, in three answers (see ``stats.damage``); where it is shown, above which
   ratio: 1, or what is tolerated.

Nothing is said of heads where the model is not shown to tell the concept. One pair of texts belongs to it all: the
first in the tables' order, which is the profile's, whatever it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, isnan, nan
from typing import Any, Literal

import pandas as pd

from headscope.report.findings import CARRIERS, ConceptFindings, SetFindings
from headscope.report.headlines import largest_first
from headscope.report.numbers import as_float
from headscope.report.run_report import RunContent
from headscope.report.steering_cells import text_dose
from headscope.stats.damage import Damage
from headscope.stats.evidence import Criteria
from headscope.stats.verdicts import (
    ATTENDS_ONLY,
    DAMAGE_UNBOUNDED,
    EDIT_DEPENDENT,
    GENERAL_DAMAGE,
    NO_EFFECT,
    NO_VERDICT,
    NOT_SPECIFIC,
    READING_UNDECIDED,
    SUPPRESSOR,
    UNDECIDED,
)
from headscope.terms import ALPHA, DECIDING_EDIT, PERPLEXITY_RATIO, STEERING_EDITS

Kind = Literal["carrier", "causal", "open", "harmful"]
Answer = Literal["bounded", "shown", "open", "unmeasured"]
MOST_CHIPS = 4
MOST_WITH_SETS = 3
"""Chips beside two sets or more, so that a concept stays short."""
TOP = "joint_top"
KINDS: Mapping[Kind, tuple[str, ...]] = {
    "carrier": CARRIERS,
    "causal": (NOT_SPECIFIC, READING_UNDECIDED, SUPPRESSOR),
    "open": (UNDECIDED, EDIT_DEPENDENT, DAMAGE_UNBOUNDED),
    "harmful": (GENERAL_DAMAGE,),
}
"""Verdicts of heads that are shown, in the order in which they are; a kind has its own mark and color."""
SPECIFICITY_OPEN = "undecided (specificity)"
"""No verdict of its own: an undecided head whose effect is beyond doubt, while it is open whether it is specific."""
_DIGITS = 12
"""A p is kept as a percentile, whose last digits are rounding: a p of .05 is one."""
_WITHOUT_EFFECT = (NO_EFFECT, ATTENDS_ONLY)
_OPEN = (UNDECIDED, EDIT_DEPENDENT, READING_UNDECIDED, DAMAGE_UNBOUNDED)


@dataclass(frozen=True)
class Chip:
    """One head with its verdict and the effect of removing it, nats; ``told`` is the verdict with what is open."""

    heads: str
    verdict: str
    kind: Kind
    estimate_nats: float
    told: str


@dataclass(frozen=True)
class Sure:
    """The first head's simultaneous interval (nats) and whether it lies ``beyond`` the smallest effect that matters."""

    heads: str
    low: float
    high: float
    beyond: bool


@dataclass(frozen=True)
class Harm:
    """Whether control text is harmed without ``heads``: the interval of its perplexity ratio, and the answer.

    ``templates_needed`` would decide, where that is known. ``above``: the ratio that is ruled out or, where there is
    harm, exceeded.
    """

    heads: str
    answer: Answer
    low: float
    high: float
    templates_needed: float
    above: float


@dataclass(frozen=True)
class Undecided:
    """Heads that are undecided, and the templates that would decide those ``n_with_number`` of which that is known.

    ``n_templates``: how many there are now.
    """

    n: int
    n_templates: int
    n_with_number: int
    fewest: float
    most: float


@dataclass(frozen=True)
class Together:
    """A set that was removed together: its verdict (empty where it has none), p among random sets, NaN without them.

    ``templates_needed`` would decide whether it harms; NaN where that is not what is open.
    """

    one: SetFindings
    verdict: str
    templates_needed: float
    p_among: float
    floor: float
    n_random: float
    layer_matched: bool

    @property
    def at_floor(self) -> bool:
        """Whether p is the smallest that so many random sets allow."""
        return self.p_among <= self.floor + 10**-_DIGITS

    @property
    def exceeds(self) -> bool:
        """Whether it is larger than random sets are."""
        return self.p_among <= ALPHA


@dataclass(frozen=True)
class Summary:
    """The first screen's answers for one concept; empty where something may not be said.

    ``n_judged`` of the model's ``n_heads`` single heads have a verdict, ``n_carriers`` carry the concept,
    ``n_without_effect`` have none that matters; ``n_more`` would have a chip beyond those shown. ``bound`` is the
    perplexity ratio that is tolerated.
    """

    found: ConceptFindings
    n_judged: int
    n_heads: int
    n_carriers: int
    n_without_effect: int
    n_more: int
    chips: tuple[Chip, ...]
    sure: Sure | None
    undecided: Undecided
    together: tuple[Together, ...]
    harm: tuple[Harm, ...]
    bound: float

    @property
    def first(self) -> Chip | None:
        """The head to look at first; None where none stands out."""
        return self.chips[0] if self.chips else None

    @property
    def tone(self) -> str:
        """``found``, ``none``, or ``unknown`` where nothing may be said."""
        if not self.n_judged:
            return "unknown"
        return "found" if self.n_carriers else "none"


@dataclass(frozen=True)
class TextPair:
    """What was written for one prompt, unedited and edited, from the same random numbers; ``dose`` where it steers."""

    concept: str
    prompt_id: str
    sample: int
    heads: str
    edit: str
    prompt: str
    baseline: str
    edited: str
    dose: float = nan


def summary_of(content: RunContent, found: ConceptFindings) -> Summary | None:
    """The answers for one concept; None where no head was judged and no set removed, and the model may show it."""
    if not (found.has_verdicts or found.sets or found.assay_shown is False):
        return None
    judged = _judged(found)
    ranked = [
        Chip(str(row["heads"]), str(row["verdict"]), kind, float(row["estimate"]), _told(row))
        for kind, verdicts in KINDS.items()
        for row in _strongest(judged, verdicts)
    ]
    bound = tolerated_ratio(content)
    first = next((row for row in judged if ranked and row["heads"] == ranked[0].heads), None)
    together = _together(found)
    most = MOST_CHIPS if len(together) < 2 else MOST_WITH_SETS
    return Summary(
        found=found,
        n_judged=len(judged),
        n_heads=content.facts.n_heads,
        n_carriers=sum(row["verdict"] in CARRIERS for row in judged),
        n_without_effect=sum(row["verdict"] in _WITHOUT_EFFECT for row in judged),
        n_more=len(ranked[most:]),
        chips=tuple(ranked[:most]),
        sure=None if first is None else _sure(first),
        undecided=_undecided(judged, 0 if found.assay is None else found.assay.n_templates),
        together=together,
        harm=_harm(first, together, bound),
        bound=bound,
    )


def tolerated_ratio(content: RunContent) -> float:
    """The perplexity ratio of control text up to which a head may carry a concept."""
    criteria = content.facts.options.get("criteria")
    known = criteria.get("max_perplexity_ratio") if isinstance(criteria, Mapping) else None
    return float(known) if isinstance(known, int | float) else Criteria().max_perplexity_ratio


def first_pair(content: RunContent) -> TextPair | None:
    """The pair of texts that is shown, chosen by order alone; None where both arms wrote nothing.

    The first concept that has texts, its first top set (else the first set or head that wrote), the deciding edit (else
    the first edit), the first prompt and its first sample, in the tables' order.
    """
    texts = content.tables.get("texts")
    if texts is None:
        return None
    if content.only_steers:
        return _steered_pair(content, texts)
    removed = texts[~texts["edit"].isin(list(STEERING_EDITS)) & (texts["direction"].fillna("") == "")]
    for found in content.findings:
        rows = removed[removed["concept"].astype(str) == found.concept]
        if rows.empty:
            continue
        written = set(map(str, rows["heads"]))
        tops = [one.heads for one in found.sets if one.role == TOP and one.heads in written]
        rows = rows[rows["heads"] == (tops or list(map(str, rows["heads"])))[0]]
        deciding = rows[rows["edit"] == DECIDING_EDIT]
        rows = rows[rows["edit"] == rows["edit"].iloc[0]] if deciding.empty else deciding
        return _pair(next(iter(rows.head(1).to_dict("records"))))
    return None


def _steered_pair(content: RunContent, texts: pd.DataFrame) -> TextPair | None:
    """Of the first concept's strongest head or set, at the dose by which its texts are shown; see ``text_dose``."""
    for found in content.findings:
        for one in largest_first([one for one in content.steered if one.concept == found.concept])[:1]:
            rows = texts[(texts["concept"].astype(str) == one.concept) & (texts["heads"].astype(str) == one.heads)]
            rows = rows[(rows["edit"] == one.edit) & (rows["dose"] == text_dose(one))]
            for row in rows.head(1).to_dict("records"):
                return replace(_pair(row), dose=float(row["dose"]))
    return None


def _pair(row: Mapping[Any, Any]) -> TextPair:
    concept, prompt_id, heads, edit, prompt = (
        str(row[name]) for name in ("concept", "prompt_id", "heads", "edit", "prompt")
    )
    texts = str(row["baseline_text"]), str(row["edited_text"])
    return TextPair(concept, prompt_id, int(row["sample"]), heads, edit, prompt, *texts)


def _judged(found: ConceptFindings) -> list[Mapping[str, Any]]:
    """Rows of single heads that have a verdict; none where the model is not shown to tell the concept."""
    if not found.has_verdicts:
        return []
    return [row for row in found.verdicts if "," not in str(row["heads"]) and row["verdict"] != NO_VERDICT]


def _strongest(rows: Sequence[Mapping[str, Any]], verdicts: Sequence[str]) -> list[Mapping[str, Any]]:
    return sorted((row for row in rows if row["verdict"] in verdicts), key=lambda row: -abs(row["estimate"]))


def _told(row: Mapping[str, Any]) -> str:
    """A head's verdict; where its effect is beyond doubt and something else is open, with what that is."""
    if row["verdict"] != UNDECIDED or not _sure(row).beyond:
        return str(row["verdict"])
    if isnan(as_float(row["perplexity_ratio_high"])):
        return DAMAGE_UNBOUNDED
    specific = as_float(row["specificity_low"]) > as_float(row["threshold_nats"])
    return READING_UNDECIDED if specific else SPECIFICITY_OPEN


def _sure(row: Mapping[str, Any]) -> Sure:
    low, high, limit = (as_float(row[name]) for name in ("sim_low", "sim_high", "threshold_nats"))
    return Sure(str(row["heads"]), low, high, beyond=low > limit or high < -limit)


def _undecided(judged: Sequence[Mapping[str, Any]], n_templates: int) -> Undecided:
    rows = [row for row in judged if row["verdict"] in _OPEN]
    needed = [value for row in rows if isfinite(value := as_float(row["templates_needed"]))]
    return Undecided(len(rows), n_templates, len(needed), min(needed, default=0.0), max(needed, default=0.0))


def _together(found: ConceptFindings) -> tuple[Together, ...]:
    """The top sets of several heads; where there are none, the first set that was asked for."""
    if found.assay_shown is False:
        return ()
    tops = [one for one in found.sets if one.role == TOP and one.n_heads > 1]
    asked = [] if tops or found.has_verdicts else found.sets[:1]
    rows = {str(row["heads"]): row for row in found.verdicts}
    told: list[Together] = []
    for one in (*tops, *asked):
        if one.primary is not None:
            row, null = rows.get(one.heads, {}), one.null or {}
            verdict = str(row.get("verdict", ""))
            needed = as_float(row.get("templates_needed")) if verdict == DAMAGE_UNBOUNDED else nan
            p_among = round(1 - as_float(null.get("percentile")) / 100, _DIGITS)
            placed = (p_among, as_float(null.get("floor")), as_float(null.get("n_random")))
            told.append(Together(one, verdict, needed, *placed, layer_matched=bool(null.get("layer_matched"))))
    return tuple(told)


def _harm(first: Mapping[str, Any] | None, together: Sequence[Together], bound: float) -> tuple[Harm, ...]:
    """Of the head to look at first, and of every set."""
    told: list[Harm] = []
    if first is not None:
        low, high = (as_float(first[f"perplexity_ratio_{end}"]) for end in ("low", "high"))
        told.append(_answered(str(first["heads"]), low, high, bound))
    for one in together:
        row = one.one.effect(PERPLEXITY_RATIO)
        low, high = (nan, nan) if row is None else (row.low, row.high)
        told.append(_answered(one.one.heads, low, high, bound, one.templates_needed))
    return tuple(told)


def _answered(heads: str, low: float, high: float, bound: float, needed: float = nan) -> Harm:
    damage = Damage(low=low, high=high)
    if not damage.measured:
        answer: Answer = "unmeasured"
    elif damage.bounded(bound):
        answer = "bounded"
    else:
        answer = "shown" if damage.shown(bound) else "open"
    above = bound if answer != "shown" or low > bound else 1.0
    return Harm(heads, answer, low, high, needed if answer == "open" else nan, above)
