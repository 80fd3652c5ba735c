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
from headscope.stats.effects import FamilyTest, Scale, family_rows
from headscope.stats.tables import EffectBlock
from headscope.tables import TABLES
from headscope.terms import PRIMARIES

ComparedWith = Literal["control_patch", "unpatched"]


@dataclass(frozen=True)
class PatchedOutcome:
    """One outcome of several patches on one concept's targets; logs for ``log_ratio``.

    Attributes:
        name: e.g. ``lexicon_logodds_nats``.
        unit: of the outcome.
        unpatched: [n_targets].
        patched: [n_targets, n_tests].
        control_patched: [n_targets, n_tests].
        gap: [n_targets], the source's outcome minus the target's without patch; None where a share has no sense.
        scale: see ``effects.FamilyTest``.
    """

    name: str
    unit: str
    unpatched: NDArray[np.floating]
    patched: NDArray[np.floating]
    control_patched: NDArray[np.floating]
    gap: NDArray[np.floating] | None = None
    scale: Scale = "difference"


def patch_blocks(
    outcome: PatchedOutcome,
    compared_with: Sequence[ComparedWith],
    *,
    concept: str,
    direction: str,
    tests: Sequence[Mapping[str, object]],
    settings: Mapping[str, object],
    templates: Sequence[str],
) -> list[EffectBlock]:
    """Blocks for ``patching_table``, one for each thing that a patch's outcome is compared with; all exploratory.

    All concepts and heads of one direction, outcome (other concepts' lexicons together) and comparison are a family.
    Those with a gap also get max-T p-values and simultaneous intervals.

    ``settings``: columns ``what``, ``source``, ``target``, ``alpha``.
    """
    own, _, other = outcome.name.partition(":")
    means = {
        "unpatched_mean": outcome.unpatched,
        "patched_mean": outcome.patched,
        "control_patched_mean": outcome.control_patched,
    }
    return [
        EffectBlock(
            concept, outcome.name, outcome.unit, "patch", "all", tests,
            outcome.control_patched if compared == "control_patch" else outcome.unpatched, outcome.patched, templates,
            family=f"patch/{direction}/{own}{'_of_others' if other else ''}/{compared}",
            simultaneous=outcome.gap is not None, scale=outcome.scale,
            keys={"direction": direction, "compared_with": compared, **settings}, means=means, gap=outcome.gap,
        )
        for compared in compared_with
    ]  # fmt: skip


def primary_patches(patching: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``patching`` that answer the question: the concept's own log-odds, patch - control patch."""
    own = patching["outcome"].isin(PRIMARIES) & (patching["compared_with"] == "control_patch")
    return patching[own]


def written_patches(patching: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``patching`` on written text, patch - control patch."""
    written = patching["outcome"].str.match(r"keyword_count_|sentiment_|distinct_2$")
    return patching[written & (patching["compared_with"] == "control_patch")]


def dissociation_table(blocks: Sequence[EffectBlock], *, seed: int, alpha: float = 0.05) -> pd.DataFrame:
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
    for direction in dict.fromkeys(block.keys["direction"] for block in blocks):
        members = [block for block in blocks if block.keys["direction"] == direction]
        sign = 1.0 if direction == "sufficiency" else -1.0
        gains = [sign * block.deltas() for block in members]
        halves = [
            split_templates([str(label) for label in one.templates], seed=seed, name="dissociation") for one in members
        ]
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
            FamilyTest(family=f"dissociation/{direction}"),
            seed=seed,
            alpha=alpha,
        )
        heads = [" / ".join(dict.fromkeys(str(one.tests[j]["heads"]) for j in picks)) for one, picks in
                 zip(members, chosen, strict=True)]  # fmt: skip
        rows["direction"], rows["unit"] = str(direction), members[0].unit
        rows["other"] = [members[b].concept for _, b in pairs]
        rows["own_heads"], rows["other_heads"] = [heads[a] for a, _ in pairs], [heads[b] for _, b in pairs]
        for name, which in (("own_estimate", 0), ("other_estimate", 1)):
            rows[name] = [
                _mean(both[which][:, None], members[a].templates)[0] for (a, _), both in zip(pairs, found, strict=True)
            ]
        wins = {pair: bool(low > 0.0) for pair, low in zip(pairs, rows["ci_low"], strict=True)}
        rows["double"] = [wins[a, b] and wins[b, a] for a, b in pairs]
        parts.append(rows)
    columns = TABLES["dissociation"].columns
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _elsewhere(
    gains: NDArray[np.float64], halves: tuple[NDArray[np.bool_], NDArray[np.bool_]], chosen: Sequence[int]
) -> NDArray[np.float64]:
    """[n_targets]: in each half the gain through the head that the other half chose."""
    return np.where(halves[1], gains[:, chosen[0]], gains[:, chosen[1]])


def _mean(values: NDArray[np.float64], templates: Sequence[str | None] | NDArray[np.str_]) -> NDArray[np.float64]:
    return equal_weight_mean(template_means(values, [str(one) for one in templates]).means)
