"""The tables of a run, from plain arrays: exactly the columns, in exactly the order, that readers of a run rely on.

Each builder takes blocks: the arrays of one concept and one way of measuring, with what identifies their rows. Blocks
with the same ``family`` are tested together: all concepts of a measure are one family, templates flip jointly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headscope.errors import RequestError
from headscope.heads import Head
from headscope.stats.clusters import FamilyBlock, equal_weight_mean, template_means
from headscope.stats.effects import TOLERANCE_NATS, FamilyTest, IntervalKind, Scale, family_rows
from headscope.stats.multiplicity import benjamini_hochberg
from headscope.stats.ratios import fieller_ratio
from headscope.stats.unpaired import unpaired_rows
from headscope.tables import TABLES
from headscope.terms import SINGLE

TOLERANCE_SHARE = 1e-6


@dataclass(frozen=True)
class ScreenBlock:
    """What one concept's prompts and their controls attend to, for one query, measure and kind of control.

    Attributes:
        concept: its name.
        query: last, after, self or phase6.
        measure: attention, value_weighted, attention_without_sinks, sink_share or self_share.
        control: paired_equal, paired_unequal_per_token, length_matched or phase6_unpaired.
        unit: of the values, e.g. ``attention_share``.
        heads: the columns of the arrays.
        values: [n_prompts, n_heads]; NaN where a prompt has no value.
        controls: paired kinds: [n_prompts, n_heads], each prompt's own control. Unpaired: [n_controls, n_heads].
        templates: template id of each prompt.
        control_templates: template id of each control prompt; only for ``phase6_unpaired``.
    """

    concept: str
    query: str
    measure: str
    control: str
    unit: str
    heads: Sequence[Head]
    values: NDArray[np.floating]
    controls: NDArray[np.floating]
    templates: Sequence[str | None]
    control_templates: Sequence[str | None] | None = None

    @property
    def family(self) -> str:
        """All heads and concepts of one query, measure and kind of control."""
        return f"screen/{self.query}/{self.measure}/{self.control}"


@dataclass(frozen=True)
class EffectBlock:
    """One outcome of several edits, measured on one class of prompts.

    Attributes:
        concept: the class of prompts.
        outcome: e.g. ``lexicon_logodds_nats``.
        unit: e.g. ``nats``.
        edit: mean, zero, ...
        scope: all or generated.
        tests: for each column: ``layer``, ``head`` (both absent for sets), ``heads``, ``role``, ``k``.
        baseline: [n_prompts] or [n_prompts, n_tests], the outcome without edit; logs for ``log_ratio``.
        edited: [n_prompts, n_tests], the outcome with each edit; logs for ``log_ratio``.
        templates: template id of each prompt.
        family: tests with the same family are corrected together.
        status: confirmatory or exploratory.
        simultaneous: give max-T p-values and simultaneous intervals.
        scale: see ``effects.FamilyTest``; for ``divergence`` ``edited`` is the divergence and ``baseline`` is 0.
        interval: t or bootstrap_t.
        tolerance: |effect| below it is 0 with p = 1.
        keys: further columns that identify the rows.
        means: column -> an outcome's values whose mean stands beside the effect; by default those of the two arms.
        gap: [n_prompts], what an effect is a share of; None where a share has no sense.
        baseline_templates: where ``baseline`` [n_others, n_tests] is of other prompts, their templates: the two means
            are then compared without pairing.
    """

    concept: str
    outcome: str
    unit: str
    edit: str
    scope: str
    tests: Sequence[Mapping[str, object]]
    baseline: NDArray[np.floating]
    edited: NDArray[np.floating]
    templates: Sequence[str | None]
    family: str
    status: str = "exploratory"
    simultaneous: bool = False
    scale: Scale = "difference"
    interval: IntervalKind = "t"
    tolerance: float = TOLERANCE_NATS
    keys: Mapping[str, object] = field(default_factory=dict[str, object])
    means: Mapping[str, NDArray[np.floating]] | None = None
    gap: NDArray[np.floating] | None = None
    baseline_templates: Sequence[str | None] | None = None

    @property
    def how(self) -> FamilyTest:
        """How the block's family is tested."""
        names = ("family", "status", "simultaneous", "scale", "interval", "tolerance")
        return FamilyTest(**{name: getattr(self, name) for name in names})

    def deltas(self) -> NDArray[np.float64]:
        """[n_prompts, n_tests]: the outcome with each edit minus what it is compared with."""
        baseline, edited = _arms(self)
        return edited - baseline


def head_tests(heads: Sequence[Head]) -> list[dict[str, object]]:
    """The ``tests`` of an EffectBlock whose columns are single heads."""
    return [{"layer": head.layer, "head": head.head, "heads": str(head), "role": SINGLE, "k": 1} for head in heads]


def screen_table(blocks: Sequence[ScreenBlock], *, seed: int, alpha: float = 0.05) -> pd.DataFrame:
    """The ``screen`` table: paired kinds by sign-flips of template means, ``phase6_unpaired`` by CR2.

    Rows come family by family in the order of their first block, block by block, head by head.
    """
    parts: list[pd.DataFrame] = []
    for family, members in _by_family(blocks):
        if members[0].control == "phase6_unpaired":
            parts.append(_unpaired_screen(members, family, alpha))
        else:
            parts.append(_paired_screen(members, family, seed, alpha))
    return shaped(parts, TABLES["screen"].columns)


def effects_table(blocks: Sequence[EffectBlock], *, seed: int, alpha: float = 0.05) -> pd.DataFrame:
    """The ``effects`` table. Rows come family by family in the order of their first block, block by block.

    Raises:
        RequestError: blocks of one family disagree in status, scale, interval, tolerance or ``simultaneous``.
    """
    return _tested(blocks, TABLES["effects"].columns, seed, alpha)


def patching_table(blocks: Sequence[EffectBlock], *, seed: int, alpha: float = 0.05) -> pd.DataFrame:
    """The ``patching`` table, made as ``effects_table`` is; see ``patching.patch_blocks``."""
    return _tested(blocks, TABLES["patching"].columns, seed, alpha)


def steering_table(blocks: Sequence[EffectBlock], *, seed: int, alpha: float = 0.05) -> pd.DataFrame:
    """The ``steering`` table, made as ``effects_table`` is; see ``dosing.steering_blocks``."""
    return _tested(blocks, TABLES["steering"].columns, seed, alpha)


def _tested(blocks: Sequence[EffectBlock], columns: Sequence[str], seed: int, alpha: float) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    for family, members in _by_family(blocks):
        if len({b.how for b in members}) > 1:
            raise RequestError(f'blocks of family "{family}" are to be tested differently', expected="one setting")
        if members[0].baseline_templates is not None:
            parts.append(_unpaired_effects(members, family, alpha))
            continue
        tested = [FamilyBlock(b.deltas(), b.templates, [_effect_key(b, t) for t in b.tests]) for b in members]
        rows = family_rows(tested, members[0].how, seed=seed, alpha=alpha)
        beside = pd.concat([_means_and_share(block, alpha) for block in members], ignore_index=True)
        parts.append(pd.concat([rows, beside], axis=1))
    table = shaped(parts, columns)
    return table.astype({"layer": "Int64", "head": "Int64", "k": "Int64"})


_Block = TypeVar("_Block", ScreenBlock, EffectBlock)


def _by_family(blocks: Sequence[_Block]) -> list[tuple[str, list[_Block]]]:
    families: dict[str, list[_Block]] = {}
    for block in blocks:
        families.setdefault(block.family, []).append(block)
    return list(families.items())


def _paired_screen(members: Sequence[ScreenBlock], family: str, seed: int, alpha: float) -> pd.DataFrame:
    blocks = [
        FamilyBlock(np.asarray(b.values, np.float64) - np.asarray(b.controls, np.float64), b.templates, _screen_keys(b))
        for b in members
    ]
    how = FamilyTest(family=family, simultaneous=True, step_down=False, tolerance=TOLERANCE_SHARE)
    means: dict[str, list[NDArray[np.float64]]] = {"concept_mean": [], "control_mean": []}
    for block, member in zip(blocks, members, strict=True):
        missing = np.isnan(block.deltas)  # the means of the pairs that were compared, so that they differ by estimate
        for parts, values in zip(means.values(), (member.values, member.controls), strict=True):
            parts.append(class_mean(np.where(missing, np.nan, values), member.templates))
    rows = family_rows(blocks, how, seed=seed, alpha=alpha)
    return rows.assign(**{name: np.concatenate(parts) for name, parts in means.items()})


def _unpaired_screen(members: Sequence[ScreenBlock], family: str, alpha: float) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    for block in members:
        templates, of_controls = _known(block.templates), _known(block.control_templates or [])
        rows = unpaired_rows(
            block.values, block.controls, templates, of_controls, alpha=alpha, family=family, tolerance=TOLERANCE_SHARE
        )
        means = {
            "concept_mean": np.mean(block.values, axis=0, dtype=np.float64),
            "control_mean": np.mean(block.controls, axis=0, dtype=np.float64),
        }
        parts.append(pd.concat([pd.DataFrame(_screen_keys(block)), rows.assign(**means)], axis=1))
    joint = pd.concat(parts, ignore_index=True)
    joint["q_value"] = benjamini_hochberg(joint["p_value"].to_numpy(np.float64))
    return joint


def _unpaired_effects(members: Sequence[EffectBlock], family: str, alpha: float) -> pd.DataFrame:
    """Differences of means over templates of other prompts; simultaneous over the family by Bonferroni."""
    n_tests, parts = sum(len(block.tests) for block in members), list[pd.DataFrame]()
    for block in members:
        arms = [
            template_means(np.asarray(values, dtype=np.float64), _known(templates or []))
            for values, templates in ((block.edited, block.templates), (block.baseline, block.baseline_templates))
        ]
        edited, baseline = ((arm.means, arm.labels) for arm in arms)
        rows = unpaired_rows(
            edited[0], baseline[0], edited[1], baseline[1], alpha=alpha, family=family, tolerance=block.tolerance,
            n_simultaneous=n_tests, vary_alike=False,
        )  # fmt: skip
        rows["n_prompts"], rows["n_templates"] = len(block.templates), len(edited[1])
        means = {"edited_mean": edited[0].mean(axis=0), "baseline_mean": baseline[0].mean(axis=0)}
        shares = dict.fromkeys(("share_recovered", "share_low", "share_high"), np.full(len(rows), np.nan))
        keys = pd.DataFrame([_effect_key(block, test) for test in block.tests])
        parts.append(pd.concat([keys, rows.assign(**means, **shares)], axis=1))
    joint = pd.concat(parts, ignore_index=True)
    joint["q_value"] = benjamini_hochberg(joint["p_value"].to_numpy(np.float64))
    return joint


def _known(templates: Sequence[str | None]) -> list[str]:
    if any(template is None for template in templates):
        raise RequestError("a prompt has no template id", fix="cluster by text first: stats.label_templates")
    return [str(template) for template in templates]


def _screen_keys(block: ScreenBlock) -> list[Mapping[str, object]]:
    shared = {name: getattr(block, name) for name in ("concept", "query", "measure", "control", "unit")}
    return [{**shared, "layer": head.layer, "head": head.head} for head in block.heads]


def _effect_key(block: EffectBlock, test: Mapping[str, object]) -> dict[str, object]:
    place = {"layer": pd.NA, "head": pd.NA, "k": pd.NA}
    shared = {"concept": block.concept, "edit": block.edit, "scope": block.scope, "outcome": block.outcome}
    return {**place, **test, **shared, "unit": block.unit, **block.keys}


def _arms(block: EffectBlock) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    edited = np.asarray(block.edited, dtype=np.float64)
    baseline = np.asarray(block.baseline, dtype=np.float64)
    if baseline.ndim == 1 and baseline.shape == edited.shape[:1]:
        baseline = np.broadcast_to(baseline[:, None], edited.shape)
    if edited.ndim != 2 or baseline.shape != edited.shape:
        raise RequestError(
            "the two arms of an effect do not belong together",
            expected="edited [n_prompts, n_tests], and baseline of the same shape or [n_prompts]",
            got=f"edited {edited.shape}, baseline {baseline.shape}",
        )
    return baseline, edited


def _means_and_share(block: EffectBlock, alpha: float) -> pd.DataFrame:
    """Means over the same templates as the effect, of ratios the geometric mean; and the share of the gap."""
    baseline, edited = _arms(block)
    deltas = edited - baseline
    missing = np.isnan(deltas)
    columns: dict[str, NDArray[np.float64]] = {}
    for name, values in (block.means or {"baseline_mean": baseline, "edited_mean": edited}).items():
        mean = class_mean(np.where(missing, np.nan, _by_test(values, deltas.shape)), block.templates)
        columns[name] = np.exp(mean) if block.scale == "log_ratio" else mean
    if block.gap is None:
        nothing = np.full(deltas.shape[1], np.nan)
        return pd.DataFrame(columns | dict.fromkeys(("share_recovered", "share_low", "share_high"), nothing))
    gaps = np.where(missing, np.nan, _by_test(block.gap, deltas.shape))
    effect, whole = (template_means(values, block.templates).means for values in (deltas, gaps))
    share = fieller_ratio(effect, whole, alpha)
    return pd.DataFrame(columns | {"share_recovered": share.estimate, "share_low": share.low, "share_high": share.high})


def _by_test(values: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """[n_prompts, n_tests] of values by prompt, or by prompt and test."""
    array = np.asarray(values, dtype=np.float64)
    return np.broadcast_to(array[:, None], shape) if array.ndim == 1 else array


def class_mean(values: NDArray[np.floating], templates: Sequence[str | None]) -> NDArray[np.float64]:
    """[n_tests] mean over templates of [n_prompts, n_tests]."""
    return equal_weight_mean(template_means(values, templates).means)


def shaped(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Parts below each other, in exactly these columns."""
    if not parts:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(parts, ignore_index=True)[list(columns)]
