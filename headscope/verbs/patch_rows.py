"""What patching measured, as rows and arrays: patches beside control patches and the unpatched target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from headscope.heads import HeadSet
from headscope.measure.forced import ForcedOutcomes
from headscope.stats import EffectBlock
from headscope.stats.clusters import equal_weight_mean, template_means
from headscope.stats.patching import ComparedWith, PatchedOutcome, patch_blocks
from headscope.study import Study
from headscope.verbs.continuations import Written
from headscope.verbs.patch_pairs import PatchPlan

FloatArray = npt.NDArray[np.float64]

_BOTH: tuple[ComparedWith, ...] = ("control_patch", "unpatched")


@dataclass(frozen=True)
class Patched:
    """One concept in one direction: the plan, and outcomes of the patches followed by those of the control patches."""

    study: Study
    plan: PatchPlan
    outcomes: ForcedOutcomes
    tests: Sequence[dict[str, object]]
    settings: Mapping[str, object]

    @property
    def templates(self) -> list[str]:
        """Template of each target."""
        return self.study.labels_of(self.plan.targets)

    def fixed_text(self, unpatched: ForcedOutcomes) -> list[EffectBlock]:
        """Blocks of every outcome of fixed text: log-odds of each concept, damage on the target's own tokens."""
        blocks: list[EffectBlock] = []
        log_odds = self.study.log_odds
        own = log_odds[self.plan.concept].name
        others = {outcome.name for outcome in log_odds.values()} - {own}
        for outcome in self.study.outcomes:
            patched, control = _arms(self.outcomes.edited[outcome.name])
            compared, gap = _BOTH, None
            if outcome.name == own:
                before = unpatched.baseline[own]
                gap = before[self.plan.partners] - before[self.plan.targets]
            elif outcome.name in others:
                compared = _BOTH[:1]
            elif outcome.read_at == "prompt":
                compared = _BOTH[1:]
            name = self.study.primary if outcome.name == own else outcome.name
            baseline = self.outcomes.baseline[outcome.name]
            blocks += self._blocks(
                PatchedOutcome(name, outcome.unit, baseline, patched, control, gap, outcome.scale), compared
            )
        return blocks

    def texts(self, written: Written) -> list[EffectBlock]:
        """Blocks of every score of written text."""
        blocks: list[EffectBlock] = []
        for outcome in written.outcomes:
            unpatched, patched, control = written.scores[outcome.name].mean(axis=2)
            arms = unpatched, patched[:, None], control[:, None]
            blocks += self._blocks(PatchedOutcome(outcome.name, outcome.unit, *arms, scale=outcome.scale), _BOTH)
        return blocks

    def _blocks(self, outcome: PatchedOutcome, compared_with: Sequence[ComparedWith]) -> list[EffectBlock]:
        return patch_blocks(
            outcome, compared_with, concept=self.plan.concept, direction=self.plan.direction,
            tests=self.tests, settings=self.settings, templates=self.templates,
        )  # fmt: skip

    def mean_effects(self, outcomes: ForcedOutcomes) -> FloatArray:
        """[n_sets] mean over templates of patch - control patch on the concept's own lexicon."""
        patched, control = _arms(outcomes.edited[self.study.log_odds[self.plan.concept].name])
        return equal_weight_mean(template_means(patched - control, self.templates).means)


def _arms(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[n_targets, n_sets] of the patches and of the control patches, from [arms, n_targets]."""
    half = len(values) // 2
    return values[:half].T, values[half:].T


def patched_arrays(
    study: Study, measured: Sequence[Patched], sets: Sequence[HeadSet], unpatched: ForcedOutcomes
) -> xr.Dataset:
    """Everything measured on fixed text, with named axes; see ``patch.PatchResult``."""
    nats, layouts = {"unit": "nats"}, study.layouts
    variables: dict[str, Any] = {"baseline": (("prompt", "lexicon"), study.by_concept(unpatched.baseline), nats)}
    for one in measured:
        arms = study.by_concept(one.outcomes.edited, one.plan.targets)
        for label, part in zip(("patched", "control_patched"), np.split(arms, 2), strict=True):
            array = np.full((len(sets), len(layouts), part.shape[2]), np.nan)
            array[:, one.plan.targets] = part
            name = f"{label}_{one.plan.direction}_{one.plan.concept}"
            variables[name] = (("edit", "prompt", "lexicon"), array, nats)
    return xr.Dataset(
        variables,
        coords={
            "prompt": [layout.id for layout in layouts],
            "concept": ("prompt", [layout.concept for layout in layouts]),
            "template": ("prompt", [layout.template for layout in layouts]),
            "lexicon": list(study.profile.concepts),
            "edit": [str(heads) for heads in sets],
        },
    )
