"""What a run found about each concept: the language-neutral half of everything the report says.

1. Rows of the tables are grouped by concept: assay, coverage, where heads look, what each does alone, what sets do.
2. Sets of heads carry every outcome of both edits, the sum of their heads' single effects, their place among random
   sets, and the damage on control prompts.
3. What counts as found has a size: an effect beyond the smallest that matters, attention beyond the smallest that
   matters, by simultaneous intervals. What only differs from 0 is called detectable (``Effect.direction``).
4. Looking and doing are compared by Spearman's rank correlation over heads, with Bonett and Wright's (2000) interval.
   Heads of one model are no independent sample, so this interval describes and does not generalize.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import atanh, sqrt, tanh
from typing import Any, NamedTuple

import pandas as pd
from scipy import stats

from headscope.plots.fast_vs_exact import DRAWN
from headscope.plots.selecting import concepts_of
from headscope.report.evidence import Effect, effect_of, effects_of
from headscope.report.numbers import as_float
from headscope.stats.attending import OPEN, YES, attending
from headscope.stats.evidence import MINIMUM_SHARE, Criteria
from headscope.stats.patching import primary_patches
from headscope.stats.ranking import primary_screen, single_effects
from headscope.stats.regions import shares_of
from headscope.stats.verdicts import CARRIER, CARRIER_UNTESTED, ELSEWHERE_UNTESTED, READING_ELSEWHERE, SHARED_CARRIER
from headscope.terms import (
    AGREEING_EDIT,
    ALPHA,
    DAMAGE_OUTCOMES,
    DECIDING_EDIT,
    MARGINAL,
    PRIMARIES,
    SET_ROLES,
    SUM_OF_SINGLES,
)

OWN_CARRIERS = (CARRIER, CARRIER_UNTESTED)
ELSEWHERE = (READING_ELSEWHERE, ELSEWHERE_UNTESTED)
CARRIERS = (*OWN_CARRIERS, *ELSEWHERE, SHARED_CARRIER)
WAY = {"sufficiency": 1, "necessity": -1}
"""The sign of a patch that does what its direction asks: bring the concept, or take it away."""
_FEWEST_HEADS = 5


class Correlation(NamedTuple):
    """Spearman's rho with its 95 % interval, over ``n`` heads."""

    rho: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class SetFindings:
    """Everything measured on one set of heads edited together, for one concept.

    ``effects`` are on the concept's prompts, ``damage`` on control prompts; ``total`` is the sum of the same heads'
    single effects and ``null`` the row of ``nulls``, None where it was not measured.
    """

    concept: str
    heads: str
    role: str
    effects: tuple[Effect, ...]
    damage: tuple[Effect, ...]
    total: Effect | None
    null: Mapping[str, Any] | None
    threshold_nats: float

    def effect(self, outcome: str, edit: str = DECIDING_EDIT) -> Effect | None:
        """The effect on one outcome under one edit; None where it was not measured."""
        every = (*self.effects, *self.damage)
        return next((one for one in every if one.outcome == outcome and one.edit == edit), None)

    @property
    def primary(self) -> Effect | None:
        """The effect on the primary outcome under the deciding edit."""
        return next((one for name in PRIMARIES if (one := self.effect(name)) is not None), None)

    @property
    def generated(self) -> list[Effect]:
        """Effects of the deciding edit on generated text: the concept's own keywords, and sentiment."""
        own = f"keyword_count_{self.concept}"
        return [
            one
            for one in self.effects
            if one.edit == DECIDING_EDIT and (one.outcome == own or one.outcome.startswith("sentiment_"))
        ]

    @property
    def n_heads(self) -> int:
        """Heads in the set."""
        return self.heads.count(",") + 1


@dataclass
class ConceptFindings:
    """What a run found about one concept. Empty where something was not measured.

    ``areas``: area -> row. ``smallest``: a row a direction. ``marginals``: head, what its removal adds once the others
    of its set are off, and its single effect. ``decisive``: for each head the screening row that decides whether it
    attends, largest Δ first, and ``answers`` the answers. ``reads``: head -> region -> share of its attention.
    ``patched``: direction -> patches, those that move the concept most in the direction's way first. ``predicted``:
    head and what a gradient predicts of removing it, largest first.
    """

    concept: str
    assay: Effect | None = None
    assay_shown: bool | None = None
    share_right: float = float("nan")
    coverage: Mapping[str, Any] = field(default_factory=dict[str, Any])
    accuracy: Mapping[str, Any] | None = None
    looked: list[Effect] = field(default_factory=list[Effect])
    decisive: list[Effect] = field(default_factory=list[Effect])
    answers: dict[str, str] = field(default_factory=dict[str, str])
    reads: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    alone: list[Effect] = field(default_factory=list[Effect])
    alone_zero: Mapping[str, Effect] = field(default_factory=dict[str, Effect])
    sets: list[SetFindings] = field(default_factory=list[SetFindings])
    verdicts: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    areas: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    smallest: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    marginals: list[tuple[str, Effect, Effect | None]] = field(default_factory=list[tuple[str, Effect, Effect | None]])
    patched: dict[str, list[Effect]] = field(default_factory=dict[str, list[Effect]])
    predicted: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    @property
    def threshold_nats(self) -> float:
        """The smallest effect that matters: the verdicts', else what the model's own gap makes it by default."""
        if self.verdicts:
            return float(self.verdicts[0]["threshold_nats"])
        return Criteria().threshold_nats(float("nan") if self.assay is None else self.assay.estimate)

    @property
    def threshold_share(self) -> float:
        """The smallest attention that matters, as the verdicts have it, else by default."""
        shares = [as_float(row["threshold_share"]) for row in self.verdicts]
        return next((value for value in shares if value == value), MINIMUM_SHARE)

    @cached_property
    def attending(self) -> list[Effect]:
        """Heads that attend to the concept's words, strongest first."""
        return [one for one in self.decisive if self.answers[one.heads] == YES]

    @property
    def n_attending_open(self) -> int:
        """Heads of which it is undecided whether they attend."""
        return sum(answer == OPEN for answer in self.answers.values())

    @cached_property
    def averse(self) -> list[Effect]:
        """Heads that look less at the concept than at its control by more than the smallest attention that matters."""
        return [one for one in self.decisive if one.beyond(self.threshold_share) < 0]

    @cached_property
    def lowering(self) -> list[Effect]:
        """Heads whose removal lowers the concept by more than the smallest effect that matters, strongest first."""
        return [one for one in self.alone if one.beyond(self.threshold_nats) < 0]

    @cached_property
    def raising(self) -> list[Effect]:
        """Heads whose removal raises the concept by more than the smallest effect that matters, strongest first."""
        return [one for one in reversed(self.alone) if one.beyond(self.threshold_nats) > 0]

    @property
    def n_detectable(self) -> int:
        """Heads whose removal changes the concept detectably, by whatever size."""
        return sum(one.direction != 0 for one in self.alone)

    @property
    def silent(self) -> list[Effect]:
        """Heads whose removal does not detectably change the concept."""
        return [one for one in self.alone if one.direction == 0]

    @property
    def carriers(self) -> list[Mapping[str, Any]]:
        """Rows of ``verdicts`` of single heads that carry the concept, strongest first."""
        return self.judged(*CARRIERS)

    @property
    def has_verdicts(self) -> bool:
        """Whether heads may be judged: the concept shows, and there are verdicts."""
        return bool(self.verdicts) and self.assay_shown is not False

    def judged(self, *verdicts: str, sets: bool = False) -> list[Mapping[str, Any]]:
        """Rows of ``verdicts`` with one of these verdicts, strongest first; single heads, or ``sets``."""
        rows = [row for row in self.verdicts if row["verdict"] in verdicts and ("," in str(row["heads"])) == sets]
        return sorted(rows, key=lambda row: -abs(row["estimate"]))

    @cached_property
    def agreement(self) -> Correlation | None:
        """Whether heads that look more also lower the concept more when removed; None below five heads."""
        effect_of_head = {one.heads: -one.estimate for one in self.alone}
        pairs = [(one.estimate, effect_of_head[one.heads]) for one in self.looked if one.heads in effect_of_head]
        return spearman(pairs)

    def shared_top(self, n: int) -> int:
        """How many of the ``n`` heads that look most lower the concept beyond the smallest effect that matters."""
        causal = {one.heads for one in self.lowering}
        return sum(one.heads in causal for one in self.looked[:n])


def findings_of(tables: Mapping[str, pd.DataFrame]) -> list[ConceptFindings]:
    """Findings of every concept in the tables, in the order in which the tables name them."""
    tables = {name: table for name, table in tables.items() if len(table)}
    found = {name: ConceptFindings(name) for name in _concepts(tables)}
    for one, row in _rows(found, tables, "assay"):
        if row["outcome"] in PRIMARIES:
            one.assay, one.assay_shown, one.share_right = effect_of(row), bool(row["shown"]), float(row["share_right"])
    for one, row in _rows(found, tables, "accuracy"):
        one.accuracy = row
    for one, row in _rows(found, tables, "coverage"):
        one.coverage = row
    for one, row in _rows(found, tables, "verdicts"):
        one.verdicts.append(row)
    for one, row in _rows(found, tables, "areas"):
        one.areas[str(row["area"])] = row
    for one, row in _rows(found, tables, "smallest"):
        one.smallest.append(row)
    for (concept, heads), shares in shares_of(tables.get("attention_by_region", pd.DataFrame())).items():
        if concept in found:
            found[concept].reads[heads] = shares
    for name, add in _ADD.items():
        if name in tables:
            add(found, tables[name])
    return list(found.values())


def _rows(
    found: Mapping[str, ConceptFindings], tables: Mapping[str, pd.DataFrame], name: str
) -> Iterator[tuple[ConceptFindings, Mapping[str, Any]]]:
    """A table's rows with the findings on their concepts."""
    for row in tables.get(name, pd.DataFrame()).to_dict("records"):
        if str(row["concept"]) in found:
            yield found[str(row["concept"])], row  # pyright: ignore[reportReturnType]


def _concepts(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    names: dict[str, None] = {}
    for table in ("coverage", "screen", "assay", "effects", "patching", "scores", "steering", "probes"):
        if table in tables:
            rows = tables[table]
            on_concepts = rows[~rows["outcome"].isin(DAMAGE_OUTCOMES)] if table == "effects" else rows
            names.update(dict.fromkeys(concepts_of(on_concepts)))
    return list(names)


def _known(effects: list[Effect]) -> list[Effect]:
    """Those that were measured, largest first."""
    return sorted((one for one in effects if one.estimate == one.estimate), key=lambda one: -one.estimate)


def _add_screen(found: Mapping[str, ConceptFindings], screen: pd.DataFrame) -> None:
    for effect in _known(effects_of(primary_screen(screen), screen)):
        found[effect.concept].looked.append(effect)
    for one in found.values():
        mine = attending(screen[screen["concept"] == one.concept], one.threshold_share)
        one.decisive = _known(effects_of(mine, screen))
        one.answers = dict(zip((effect.heads for effect in effects_of(mine)), map(str, mine["answer"]), strict=True))


def _add_effects(found: Mapping[str, ConceptFindings], effects: pd.DataFrame) -> None:
    for effect in effects_of(single_effects(effects), effects):
        if effect.estimate == effect.estimate:
            found[effect.concept].alone.append(effect)
    for one in found.values():
        one.alone.sort(key=lambda effect: effect.estimate)
        zero = single_effects(effects[effects["concept"] == one.concept], edit=AGREEING_EDIT)
        one.alone_zero = {effect.heads: effect for effect in effects_of(zero, effects)}
    for role in SET_ROLES:
        rows = effects[(effects["role"] == role) & ~effects["outcome"].isin(DAMAGE_OUTCOMES)]
        for (concept, heads), part in rows.groupby(["concept", "heads"], sort=False):
            one = found[str(concept)]
            one.sets.append(_set(one, str(heads), role, part, effects))
    rows = effects[effects["role"] == MARGINAL]
    for row, added in zip(rows.to_dict("records"), effects_of(rows, effects), strict=True):
        head, one = f"{int(row['layer'])}:{int(row['head'])}", found[added.concept]
        one.marginals.append((head, added, next((effect for effect in one.alone if effect.heads == head), None)))


def _add_patches(found: Mapping[str, ConceptFindings], patching: pd.DataFrame) -> None:
    rows = primary_patches(patching)
    for direction, way in WAY.items():
        patches = effects_of(rows[rows["direction"] == direction], patching)
        for patch in sorted(patches, key=lambda patch: -way * patch.estimate):
            found[patch.concept].patched.setdefault(direction, []).append(patch)


def _add_predictions(found: Mapping[str, ConceptFindings], scores: pd.DataFrame) -> None:
    for row in scores[scores["measure"] == DRAWN].to_dict("records"):
        predicted = (f"{int(row['layer'])}:{int(row['head'])}", float(row["estimate"]))
        found[str(row["concept"])].predicted.append(predicted)
    for one in found.values():
        one.predicted.sort(key=lambda predicted: -abs(predicted[1]))


def _set(found: ConceptFindings, heads: str, role: str, part: pd.DataFrame, effects: pd.DataFrame) -> SetFindings:
    of_heads = effects[effects["heads"] == heads]
    damage = of_heads[of_heads["outcome"].isin(DAMAGE_OUTCOMES) & (of_heads["role"] == role)]
    total = of_heads[(of_heads["role"] == SUM_OF_SINGLES) & (of_heads["concept"] == found.concept)]
    return SetFindings(
        found.concept,
        heads,
        role,
        tuple(effects_of(part.drop_duplicates(["outcome", "edit"]), effects)),
        tuple(effects_of(damage.drop_duplicates(["outcome", "edit"]), effects)),
        next(iter(effects_of(total, effects)), None),
        None,
        found.threshold_nats,
    )


def _add_nulls(found: Mapping[str, ConceptFindings], nulls: pd.DataFrame) -> None:
    rows = nulls[nulls["outcome"].isin(PRIMARIES)].drop_duplicates(["concept", "heads"]).to_dict("records")
    of_set: dict[Any, Any] = {(row["concept"], row["heads"]): row for row in rows}
    for one in found.values():
        one.sets = [replace(sets, null=of_set.get((one.concept, sets.heads))) for sets in one.sets]


_ADD = {
    "screen": _add_screen,
    "effects": _add_effects,
    "nulls": _add_nulls,
    "patching": _add_patches,
    "scores": _add_predictions,
}


def spearman(pairs: list[tuple[float, float]]) -> Correlation | None:
    """Spearman's rho of pairs; None below five of them, or where one side does not vary."""
    if len(pairs) < _FEWEST_HEADS:
        return None
    first, second = zip(*pairs, strict=True)
    if len(set(first)) == 1 or len(set(second)) == 1:
        return None
    rho = float(stats.spearmanr(first, second).statistic)
    if abs(rho) >= 1.0:
        return Correlation(rho, rho, rho, len(pairs))
    half = float(stats.norm.isf(ALPHA / 2)) * sqrt((1 + rho**2 / 2) / (len(pairs) - 3))
    return Correlation(rho, tanh(atanh(rho) - half), tanh(atanh(rho) + half), len(pairs))
