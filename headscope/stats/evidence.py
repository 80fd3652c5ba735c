"""Everything a run's tables say about one head or set for one concept, put together for the verdict.

One head can stand in a table several times: alone on all prompts, as a top set of one on half of them, in tables put
one below the other. What is said of it comes from *one* group of rows that were measured together, the one on most
prompts. Where that group lacks something, it is missing, whatever another group may hold.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from headscope.errors import RequestError
from headscope.stats.attending import UNKNOWN, attending
from headscope.stats.damage import Damage
from headscope.stats.power import templates_for_interval
from headscope.stats.regions import shares_of
from headscope.stats.specificity import SPECIFICITY_PREFIX
from headscope.terms import (
    AGREEING_EDIT,
    ALPHA,
    ANSWERS,
    DECIDING_EDIT,
    JUDGED_ROLES,
    PERPLEXITY_RATIO,
    PRIMARIES,
    SUM_OF_SINGLES,
)

MINIMUM_NATS, MINIMUM_SHARE = 0.05, 0.02
_TEXTS = ("deciding_edit", "agreeing_edit", "scope", "query")


@dataclass(frozen=True)
class Criteria:
    """What decides; kept in the record.

    Attributes:
        minimum_nats: the smallest effect that matters is at least this,
        gap_share: and at least this share of the model's own concept gap.
        minimum_attention_share: the smallest Δ attention that matters, a share of the attention that is not on sinks.
        max_perplexity_ratio: damage to control text is bounded where the ratio's upper limit is at most this.
        alpha: level of the simultaneous intervals in the tables.
        deciding_edit: its interval decides.
        agreeing_edit: its sign must agree.
        scope: of the edits.
        query: of the screen; None: see ``ranking.primary_screen``.

    Raises:
        RequestError: a smallest effect is not above 0, or a smallest share not between 0 and 1.
    """

    minimum_nats: float = MINIMUM_NATS
    gap_share: float = 0.05
    minimum_attention_share: float = MINIMUM_SHARE
    max_perplexity_ratio: float = 1.05
    alpha: float = ALPHA
    deciding_edit: str = DECIDING_EDIT
    agreeing_edit: str = AGREEING_EDIT
    scope: str = "all"
    query: str | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.minimum_nats < math.inf:
            raise RequestError(
                "the smallest effect that matters is no size", expected="above 0 nats", got=f"{self.minimum_nats:g}"
            )
        if not 0.0 < self.minimum_attention_share < 1.0:
            raise RequestError(
                "the smallest attention that matters is no share",
                expected="above 0 and below 1",
                got=f"{self.minimum_attention_share:g}",
            )

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Criteria:
        """From the names and values of a record; what it does not name is as by default.

        Raises:
            RequestError: a name or a value that no criterion has.
        """
        kept = {name: value for name, value in kept.items() if name != "outcome"}  # which earlier records name
        kinds = {one.name: str if one.name in _TEXTS else float for one in fields(cls)}
        for name, value in kept.items():
            fits = isinstance(value, str | None) if kinds.get(name) is str else isinstance(value, int | float)
            if name not in kinds or not fits:
                raise RequestError(
                    f'"{name}" is no criterion of verdicts, or not of this kind',
                    expected=", ".join(kinds),
                    got=f"{name} = {value!r}",
                    fix="give --minimum-effect and --minimum-attention, or take the run's manifest as it was",
                )
        return cls(**kept)

    def threshold_nats(self, gap_nats: float) -> float:
        """The smallest effect that matters, where the model's own concept gap is ``gap_nats`` (NaN: not known)."""
        return float(np.nanmax([self.minimum_nats, self.gap_share * gap_nats]))


@dataclass(frozen=True)
class Attention:
    """The screen's row that decides whether a head attends; NaN and empty where nothing was measured.

    Attributes:
        answer: ``yes``, ``no``, ``undecided``, or empty.
        measure: ``attention_without_sinks`` or ``attention``.
        estimate: Δ, a share.
        low: lower end of its simultaneous interval.
        high: upper end.
        deviation: standard deviation over templates.
        n_family: effective size of the family.
        n_templates: templates it rests on.
    """

    answer: str = UNKNOWN
    measure: str = ""
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    deviation: float = math.nan
    n_family: float = math.nan
    n_templates: int = 0


@dataclass
class Evidence:
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
    attention: Attention
    damage: Damage
    reads: Mapping[str, float] = field(default_factory=dict)
    specificity: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    n_concepts: int = 1
    noun: str = "concept"
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


"""Of several groups of rows on the same heads the first of these is judged: the one on most prompts."""


def gather(
    effects: pd.DataFrame,
    screen: pd.DataFrame | None,
    assay: pd.DataFrame,
    regions: pd.DataFrame | None,
    rules: Criteria,
) -> list[Evidence]:
    """The evidence on every single head and every tested set, for each concept, in the order of ``effects``."""
    rows = _grouped(effects[effects["scope"] == rules.scope])
    deciding = rows[(rows["edit"] == rules.deciding_edit) & (rows["outcome"].isin(PRIMARIES))]
    sums = deciding[deciding["role"] == SUM_OF_SINGLES].to_dict("records")
    singles_sum = {(str(r["concept"]), str(r["heads"])): float(r["estimate"]) for r in sums}
    deciding = deciding[deciding["role"].isin(JUDGED_ROLES)]
    deciding = deciding.sort_values("role", key=lambda role: role.map(JUDGED_ROLES.index), kind="stable")
    deciding = deciding.drop_duplicates(["concept", "heads"]).sort_index()
    zero = rows[(rows["edit"] == rules.agreeing_edit) & (rows["outcome"].isin(PRIMARIES))]
    agreeing = {_place(r): float(r["estimate"]) for r in _firsts(zero, *_KEYS)}
    damage = rows[(rows["edit"] == rules.deciding_edit) & (rows["outcome"] == PERPLEXITY_RATIO)]
    harm = {_place(r)[1:3]: Damage.of_row(r) for r in _firsts(damage, "heads", "group")}
    special: dict[_Place, dict[str, tuple[float, float, float]]] = {}
    contrasts = rows[(rows["edit"] == rules.deciding_edit) & rows["outcome"].str.startswith(SPECIFICITY_PREFIX)]
    for r in _firsts(contrasts, *_KEYS, "outcome"):
        other = str(r["outcome"]).removeprefix(SPECIFICITY_PREFIX)
        bounds = (float(r["estimate"]), float(r["sim_low"]), float(r["sim_high"]))
        special.setdefault(_place(r), {})[other] = bounds
    attention, reads = _attention(screen, rules), {} if regions is None else shares_of(regions)
    gap = assay[assay["outcome"].isin(PRIMARIES)].set_index("concept")
    shown = {str(concept): bool(value) for concept, value in gap["shown"].items()}
    own_gap = {str(concept): float(value) for concept, value in gap["estimate"].items()}
    evidence: list[Evidence] = []
    for r in deciding.to_dict("records"):
        place, key = _place(r), (str(r["concept"]), str(r["heads"]))
        deviation, n_family = spread(r, rules.alpha)
        evidence.append(
            Evidence(
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
                attention=attention.get(key, Attention()),
                reads=reads.get(key, {}),
                damage=harm.get(place[1:3], Damage()),
                specificity=special.get(place, {}),
                n_concepts=assay["concept"].nunique(),
                noun="task" if (effects["outcome"] == ANSWERS).any() else "concept",
                sum_of_singles=singles_sum.get(key, math.nan),
            )
        )
    return evidence


_Place = tuple[str, str, str, str]
_KEYS = ("concept", "heads", "group", "prompts")


def _grouped(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with what tells groups of rows apart that were measured together, ``group`` and ``prompts``.

    A group has one role, one verb (the first part of the family's name) and, of the rows on the concept's prompts, one
    number of prompts and of templates.
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


def _attention(screen: pd.DataFrame | None, rules: Criteria) -> dict[tuple[str, str], Attention]:
    found: dict[tuple[str, str], Attention] = {}
    for r in attending(screen, rules.minimum_attention_share, query=rules.query).to_dict("records"):
        found[str(r["concept"]), f"{r['layer']}:{r['head']}"] = Attention(
            str(r["answer"]), str(r["measure"]), float(r["estimate"]), float(r["sim_low"]), float(r["sim_high"]),
            *spread(r, rules.alpha), int(r["n_templates"]),
        )  # fmt: skip
    return found


def spread(row: Mapping[Hashable, Any], alpha: float) -> tuple[float, float]:
    """Standard deviation over templates and the effective size of the family, read back from the two intervals."""
    n, low, high = int(row["n_templates"]), float(row["ci_low"]), float(row["ci_high"])
    joint = (float(row["sim_high"]) - float(row["sim_low"])) / 2
    if n < 2 or not high > low:
        return math.nan, math.nan
    error = (high - low) / 2 / float(stats.t.isf(alpha / 2, n - 1))
    level = 2 * float(stats.t.sf(joint / error, n - 1))
    return error * math.sqrt(n), alpha / level if level > 0.0 else math.nan


def templates_to_decide(distance: float, beyond: float, deviation: float, n_family: float, alpha: float) -> float:
    """Templates for 80 % power to decide, if the truth is the estimate, at the family's max-T level; NaN where none do.

    ``distance``: from the estimate to the limit that must lie outside the interval, on the nearer side; ``beyond``: to
    the limit on the other, inf where there is none; ``n_family``: effective size of the family.
    """
    if not deviation > 0.0:
        return math.nan
    needed = templates_for_interval(distance / deviation, beyond / deviation, n_tests=max(1.0, n_family), alpha=alpha)
    return needed if math.isfinite(needed) else math.nan
