"""The tables of patching: what a patch brings or takes, which share of the gap that is, and whose heads bring what.

A patch is compared, target by target, with the control patch (a source of the target's own class) and with no patch at
all. The share recovered is the mean effect over the mean gap between the source's and the target's outcome without any
patch, on the same templates, with Fieller's interval (``ratios``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headscope.stats.clusters import FamilyBlock, equal_weight_mean, split_templates, template_means
from headscope.stats.columns import DISSOCIATION_COLUMNS, PATCHING_COLUMNS
from headscope.stats.effects import Scale, family_rows
from headscope.stats.ranking import PRIMARY_OUTCOME
from headscope.stats.ratios import fieller_ratio

ComparedWith = Literal["control_patch", "unpatched"]


@dataclass(frozen=True)
class PatchBlock:
    """One outcome of several patches, measured on one concept's targets in one direction.

    Attributes:
        concept: the concept that is brought or taken.
        direction: sufficiency or necessity.
        outcome: e.g. ``lexicon_logodds_nats``.
        unit: of the outcome.
        compared_with: what a patch's outcome is compared with.
        tests: for each column: ``layer``, ``head`` (both absent for sets), ``heads``, ``role``, ``k``.
        settings: columns ``what``, ``source``, ``target``, ``alpha``.
        unpatched: [n_targets]; logs for ``log_ratio``.
        patched: [n_targets, n_tests].
        control_patched: [n_targets, n_tests].
        gap: [n_targets], the source's outcome minus the target's without patch; None where a share has no sense.
        templates: template id of each target.
        scale: see ``effects.effect_rows``.
    """

    concept: str
    direction: str
    outcome: str
    unit: str
    compared_with: ComparedWith
    tests: Sequence[Mapping[str, object]]
    settings: Mapping[str, object]
    unpatched: NDArray[np.floating]
    patched: NDArray[np.floating]
    control_patched: NDArray[np.floating]
    gap: NDArray[np.floating] | None
    templates: Sequence[str]
    scale: Scale = "difference"

    @property
    def family(self) -> str:
        """All concepts and heads of one direction, outcome (other concepts' lexicons together) and comparison."""
        own, _, other = self.outcome.partition(":")
        return f"patch/{self.direction}/{own}{'_of_others' if other else ''}/{self.compared_with}"

    def deltas(self) -> NDArray[np.float64]:
        """[n_targets, n_tests]: the patch's outcome minus what it is compared with."""
        other = self.control_patched if self.compared_with == "control_patch" else self.unpatched[:, None]
        return np.asarray(self.patched - other, dtype=np.float64)


def patching_table(blocks: Sequence[PatchBlock], *, seed: int, alpha: float = 0.05) -> pd.DataFrame:
    """The ``patching`` table, family by family; every row is exploratory.

    Families of the primary kind of outcome (those with a gap) also get max-T p-values and simultaneous intervals.
    """
    families: dict[str, list[PatchBlock]] = {}
    for block in blocks:
        families.setdefault(block.family, []).append(block)
    parts: list[pd.DataFrame] = []
    for family, members in families.items():
        rows = family_rows(
            [FamilyBlock(one.deltas(), one.templates, [_key(one, test) for test in one.tests]) for one in members],
            seed=seed,
            alpha=alpha,
            family=family,
            status="exploratory",
            simultaneous=all(one.gap is not None for one in members),
            scale=members[0].scale,
        )
        added = pd.concat([_means_and_share(one, alpha) for one in members], ignore_index=True)
        parts.append(pd.concat([rows, added], axis=1))
    table = pd.concat(parts, ignore_index=True)[PATCHING_COLUMNS]
    return table.astype({"layer": "Int64", "head": "Int64", "k": "Int64"})


def primary_patches(patching: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``patching`` that answer the question: the concept's own log-odds, patch - control patch."""
    own = (patching["outcome"] == PRIMARY_OUTCOME) & (patching["compared_with"] == "control_patch")
    return patching[own]


def written_patches(patching: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``patching`` on written text, patch - control patch."""
    written = patching["outcome"].str.match(r"keyword_count_|sentiment_|distinct_2$")
    return patching[written & (patching["compared_with"] == "control_patch")]


def _key(block: PatchBlock, test: Mapping[str, object]) -> dict[str, object]:
    place = {"layer": pd.NA, "head": pd.NA, "k": pd.NA}
    own = {name: getattr(block, name) for name in ("concept", "direction", "outcome", "unit", "compared_with")}
    return {**place, **test, **own, **block.settings}


def _means_and_share(block: PatchBlock, alpha: float) -> pd.DataFrame:
    deltas = block.deltas()
    missing = np.isnan(deltas)
    arms = {
        "unpatched_mean": np.broadcast_to(np.asarray(block.unpatched)[:, None], deltas.shape),
        "patched_mean": block.patched,
        "control_patched_mean": block.control_patched,
    }
    columns = {
        name: equal_weight_mean(template_means(np.where(missing, np.nan, arm), block.templates).means)
        for name, arm in arms.items()
    }
    if block.scale == "log_ratio":
        columns = {name: np.exp(values) for name, values in columns.items()}
    if block.gap is None:
        nothing = np.full(deltas.shape[1], np.nan)
        return pd.DataFrame(columns | dict.fromkeys(("share_recovered", "share_low", "share_high"), nothing))
    gaps = np.where(missing, np.nan, np.broadcast_to(np.asarray(block.gap)[:, None], deltas.shape))
    share = fieller_ratio(
        template_means(deltas, block.templates).means, template_means(gaps, block.templates).means, alpha
    )
    return pd.DataFrame(columns | {"share_recovered": share.estimate, "share_low": share.low, "share_high": share.high})


def dissociation_table(blocks: Sequence[PatchBlock], *, seed: int, alpha: float = 0.05) -> pd.DataFrame:
    """The ``dissociation`` table: does a concept's own head bring (or take) it more than another concept's head does?

    1. On each half of a concept's templates the head is chosen that brings or takes it most; its effect counts on the
       other half, so choosing does not flatter it.
    2. Row (concept A, other B): A is patched, once through A's head and once through B's; the difference is tested.
    3. The two are doubly dissociated where A's head wins on A *and* B's head wins on B, both intervals beyond 0.

    Args:
        blocks: single heads, the same for every concept; the concept's own outcome against the control patch.
        seed: the request's seed; it halves the templates and flips signs.
        alpha: two-sided level.

    Returns:
        ``own_estimate`` and ``other_estimate`` are signed so that the concept's way (up in sufficiency, down in
        necessity) is positive, and so is ``estimate``, their difference. No rows for fewer than two concepts.
    """
    parts: list[pd.DataFrame] = []
    for direction in dict.fromkeys(block.direction for block in blocks):
        members = [block for block in blocks if block.direction == direction]
        sign = 1.0 if direction == "sufficiency" else -1.0
        gains = [sign * block.deltas() for block in members]
        halves = [split_templates(one.templates, seed=seed, name="dissociation") for one in members]
        chosen = [
            [int(np.nanargmax(_mean(gain[half], np.asarray(one.templates)[half]))) for half in halved]
            for one, gain, halved in zip(members, gains, halves, strict=True)
        ]
        pairs = [(a, b) for a in range(len(members)) for b in range(len(members)) if a != b]
        if not pairs:
            continue
        found = [
            [_elsewhere(gains[a], halves[a], chosen[a]), _elsewhere(gains[a], halves[a], chosen[b])] for a, b in pairs
        ]
        rows = family_rows(
            [
                FamilyBlock((own - other)[:, None], members[a].templates, [{"concept": members[a].concept}])
                for (a, _), (own, other) in zip(pairs, found, strict=True)
            ],
            seed=seed, alpha=alpha, family=f"dissociation/{direction}", status="exploratory", simultaneous=False,
        )  # fmt: skip
        heads = [" / ".join(dict.fromkeys(str(one.tests[j]["heads"]) for j in picks)) for one, picks in
                 zip(members, chosen, strict=True)]  # fmt: skip
        rows["direction"], rows["unit"] = direction, members[0].unit
        rows["other"] = [members[b].concept for _, b in pairs]
        rows["own_heads"], rows["other_heads"] = [heads[a] for a, _ in pairs], [heads[b] for _, b in pairs]
        for name, which in (("own_estimate", 0), ("other_estimate", 1)):
            rows[name] = [
                _mean(both[which][:, None], members[a].templates)[0] for (a, _), both in zip(pairs, found, strict=True)
            ]
        wins = {pair: bool(low > 0.0) for pair, low in zip(pairs, rows["ci_low"], strict=True)}
        rows["double"] = [wins[a, b] and wins[b, a] for a, b in pairs]
        parts.append(rows)
    return (
        pd.concat(parts, ignore_index=True)[DISSOCIATION_COLUMNS]
        if parts
        else pd.DataFrame(columns=DISSOCIATION_COLUMNS)
    )


def _elsewhere(
    gains: NDArray[np.float64], halves: tuple[NDArray[np.bool_], NDArray[np.bool_]], chosen: Sequence[int]
) -> NDArray[np.float64]:
    """[n_targets]: in each half the gain through the head that the other half chose."""
    return np.where(halves[1], gains[:, chosen[0]], gains[:, chosen[1]])


def _mean(values: NDArray[np.float64], templates: Sequence[str] | NDArray[np.str_]) -> NDArray[np.float64]:
    return equal_weight_mean(template_means(values, [str(one) for one in templates]).means)
