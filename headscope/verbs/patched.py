"""What patching measured, as rows, arrays and records: of one concept in one direction, or of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from headscope.heads import HeadSet
from headscope.measure.forced import ForcedOutcomes
from headscope.stats.effects import Scale
from headscope.stats.patching import PatchBlock
from headscope.study import Study
from headscope.verbs.effect_rows import PRIMARY
from headscope.verbs.patch_pairs import PatchPlan

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One concept in one direction: the plan, and outcomes of the patches followed by those of the control patches."""

    concept: str
    direction: str
    plan: PatchPlan
    outcomes: ForcedOutcomes
    templates: list[str]

    def arms(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """[n_targets, n_sets] of the patches and of the control patches, from [arms, n_targets]."""
        half = len(values) // 2
        return values[:half].T, values[half:].T

    def common(self, tests: Sequence[dict[str, object]], settings: Mapping[str, object]) -> dict[str, Any]:
        """What every block of these patches has in common."""
        return {
            "concept": self.concept, "direction": self.direction, "tests": tests, "settings": settings,
            "templates": self.templates,
        }  # fmt: skip


def forced_blocks(
    study: Study,
    one: Measured,
    unpatched: ForcedOutcomes,
    tests: Sequence[dict[str, object]],
    settings: Mapping[str, object],
) -> list[PatchBlock]:
    """Blocks of fixed text: each concept's log-odds, and damage on the target's own tokens."""
    found, own = one.outcomes, study.lexicon_column(one.concept)
    common = one.common(tests, settings)
    blocks: list[PatchBlock] = []
    for name in study.profile.concepts:
        column = study.lexicon_column(name)
        patched, control = one.arms(found.edited[:, :, column])
        gap = unpatched.baseline[one.plan.partners, column] - unpatched.baseline[one.plan.targets, column]
        arms: dict[str, Any] = {
            "unpatched": found.baseline[:, column], "patched": patched, "control_patched": control, "unit": "nats"
        }  # fmt: skip
        if column == own:
            blocks += [
                PatchBlock(**common, **arms, outcome=PRIMARY, compared_with=other, gap=gap)
                for other in ("control_patch", "unpatched")
            ]
        else:
            blocks.append(
                PatchBlock(**common, **arms, outcome=f"{PRIMARY}:{name}", compared_with="control_patch", gap=None)
            )
    damage: tuple[tuple[str, str, Scale, FloatArray, FloatArray], ...] = (
        ("kl_nats_per_token", "nats_per_token", "divergence", np.zeros(len(one.templates)), found.kl_nats_per_token),
        ("perplexity_ratio", "ratio", "log_ratio", found.baseline_nll_nats_per_token, found.edited_nll_nats_per_token),
    )
    for outcome, unit, scale, baseline, edited in damage:
        patched, control = one.arms(edited)
        blocks.append(
            PatchBlock(
                **common, outcome=outcome, unit=unit, compared_with="unpatched", unpatched=baseline, patched=patched,
                control_patched=control, gap=None, scale=scale,
            )
        )  # fmt: skip
    return blocks


def pairs_record(one: Measured) -> dict[str, Any]:
    """How many targets there were, and how many did not match token by token."""
    return {
        "concept": one.concept,
        "direction": one.direction,
        "n_targets": len(one.plan.targets),
        "n_left_out": one.plan.n_left_out,
        "n_unequal": one.plan.n_unequal,
        "n_controls_unequal": one.plan.n_controls_unequal,
    }


def pairs_warnings(one: Measured) -> list[str]:
    """What a reader must know of them, as sentences."""
    where, plan = f"patching {one.concept} ({one.direction})", one.plan
    said: list[str] = []
    if plan.n_left_out:
        said.append(f"{where}: {plan.n_left_out} prompts have no partner that can be used, and were left out")
    if plan.n_unequal:
        said.append(f"{where}: {plan.n_unequal} sources do not match their target token by token")
    return said


def patched_values(
    study: Study, measured: Sequence[Measured], sets: Sequence[HeadSet], unpatched: ForcedOutcomes
) -> xr.Dataset:
    """Everything measured on fixed text, with named axes; see ``PatchResult``."""
    n = len(study.layouts)
    names = [study.layouts[i].concept for i in range(n)]
    variables: dict[str, Any] = {"baseline": (("prompt", "lexicon"), unpatched.baseline, {"unit": "nats"})}
    for one in measured:
        for label, part in zip(("patched", "control_patched"), np.split(one.outcomes.edited, 2), strict=True):
            array = np.full((len(sets), n, part.shape[2]), np.nan)
            array[:, one.plan.targets] = part
            variables[f"{label}_{one.direction}_{one.concept}"] = (
                ("edit", "prompt", "lexicon"), array, {"unit": "nats"}
            )  # fmt: skip
    return xr.Dataset(
        variables,
        coords={
            "prompt": [one.id for one in study.layouts],
            "concept": ("prompt", names),
            "template": ("prompt", [one.template for one in study.layouts]),
            "lexicon": list(study.profile.concepts),
            "edit": [str(heads) for heads in sets],
        },
    )
