"""Rows, arrays and facts of what edits did to fixed text: what every verb that edits heads makes of its outcomes.

1. Assay: on the unedited model, does the primary outcome tell concept prompts from their controls? Where it does not,
   the record says so and no verdict on a head can follow.
2. Each edit's effect on each outcome is edited - baseline for each prompt; the statistics room turns these into rows.

Outcomes of fixed text: ``lexicon_logodds_nats`` (primary) on the concept's own prompts; ``lexicon_logodds_nats:other``,
these prompts read with another concept's lexicon; ``specificity_nats:other``, the difference of these two changes;
``kl_nats_per_token`` and ``perplexity_ratio`` on control prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from headscope.heads import Head, HeadSet
from headscope.measure.answers import facts_of_answers
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedOutcomes
from headscope.measure.outcomes import KL, PERPLEXITY, Outcome
from headscope.stages import Stage
from headscope.stats import EffectBlock
from headscope.stats.assays import accuracy_table, assay_table
from headscope.stats.specificity import specificity_blocks, unpaired_specificity_blocks
from headscope.study import Study
from headscope.terms import ANSWER_ACCURACY
from headscope.terms import DECIDING_EDIT as DECIDING_EDIT
from headscope.verbs.result import prompt_coords

FloatArray = npt.NDArray[np.float64]

LOWEST_SET = HeadSet((Head(0, 0),))
"""Stands, in a plan, for a set that is not known yet: it may begin at layer 0."""


@dataclass(frozen=True)
class Edited:
    """One edit and the part it plays: ``role`` and ``k`` as in the ``effects`` table."""

    arm: Arm
    role: str

    def test(self) -> dict[str, object]:
        """The columns that identify the edit's rows."""
        heads = tuple(self.arm.heads)
        place = {"layer": heads[0].layer, "head": heads[0].head} if len(heads) == 1 else {}
        return {**place, "heads": str(self.arm.heads), "role": self.role, "k": len(heads)}


def edited_sets(sets: Sequence[HeadSet], kinds: Sequence[str], role: str) -> list[Edited]:
    """Every set under every kind of edit, in the part that was asked for.

    A set of one head keeps its part too: ``single`` is a head measured on *all* prompts of a concept, while a top set,
    of whatever size, is measured on the prompts that did not choose it.
    """
    return [Edited(Arm(heads, kind), role) for kind in kinds for heads in sets]


def stage_of(study: Study, name: str, edits: Sequence[Edited], *, bound: bool = False) -> Stage:
    """Every prompt of the study, unedited and under every edit."""
    return study.stage(name, [edit.arm for edit in edits], bound=bound)


def assay_of(study: Study, outcomes: ForcedOutcomes) -> pd.DataFrame:
    """Concept - control on the primary outcome, no edit: a row for each concept."""
    index = {layout.id: i for i, layout in enumerate(study.layouts)}
    pair_of = study.pair_of
    parts: list[pd.DataFrame] = []
    by_concept = dict(zip(study.profile.concepts, np.moveaxis(study.by_concept(outcomes.baseline), -1, 0), strict=True))
    for name in study.names:
        rows, baseline = study.rows_of(name), by_concept[name]
        controls_of_all = baseline[[index[layout.id] for layout in study.controls]]
        unpaired = without_partner(controls_of_all, has_answers=study.profile.has_tasks)
        controls = [unpaired if (pair := pair_of[study.layouts[i].id]) is None else baseline[index[pair]] for i in rows]
        n_unpaired = sum(pair_of[study.layouts[i].id] is None for i in rows)
        parts.append(
            assay_table(
                name,
                study.primary,
                "nats",
                baseline[rows],
                np.array(controls),
                study.labels_of(rows),
                seed=study.seed,
                note=_note(n_unpaired, has_answers=study.profile.has_tasks),
            )
        )
    return pd.concat(parts, ignore_index=True)


def assay_tables(study: Study, outcomes: ForcedOutcomes) -> dict[str, pd.DataFrame]:
    """What the unedited model shows: ``assay``, and of tasks ``accuracy``."""
    tables = {"assay": assay_of(study, outcomes)}
    if not study.profile.has_tasks:
        return tables
    right = outcomes.baseline[ANSWER_ACCURACY]
    parts: list[pd.DataFrame] = []
    index = {layout.id: i for i, layout in enumerate(study.layouts)}
    for name in study.names:
        rows = study.rows_of(name)
        controls = [index[pair] for i in rows if (pair := study.pair_of[study.layouts[i].id]) is not None]
        labels = study.labels_of(rows), study.labels_of(controls)
        if not np.isnan(right[rows]).all():
            parts.append(accuracy_table(name, right[rows], right[controls], *labels, seed=study.seed))
    return tables | ({"accuracy": pd.concat(parts, ignore_index=True)} if parts else {})


def without_partner(controls: FloatArray, *, has_answers: bool) -> float:
    """What a prompt without a partner is compared with: the mean of all controls.

    Of a task 0, no preference for answers over foils: others' partners are read with others' answers.
    """
    return 0.0 if has_answers else float(controls.mean())


def _note(n_unpaired: int, *, has_answers: bool) -> str:
    if not n_unpaired:
        return ""
    if has_answers:
        return (
            f"{n_unpaired} prompts without a corrupted partner: compared with 0, no preference for answers over foils"
        )
    return f"{n_unpaired} prompts without a pair: compared with the mean of all controls"


def effect_blocks(
    study: Study,
    edits: Sequence[Edited],
    outcomes: ForcedOutcomes,
    *,
    family: str,
    confirmatory: str | None = None,
    damage: Sequence[int] | None = None,
) -> list[EffectBlock]:
    """Blocks for ``stats.effects_table``, one for each class, outcome and kind of edit.

    ``family`` names the families of these tests, e.g. ``sweep``; ``confirmatory``: the kind of edit whose primary
    outcome is the one confirmatory family; ``damage``: which of the edits were measured on control prompts, by default
    all.
    """
    blocks: list[EffectBlock] = []
    for kind in dict.fromkeys(edit.arm.kind for edit in edits):
        chosen = [i for i, edit in enumerate(edits) if edit.arm.kind == kind]
        arms = _KindOfEdit.of(study, edits, outcomes, chosen, family)
        for name in study.names:
            blocks += arms.log_odds(name, confirmatory=kind == confirmatory)
            beside = [*study.answers[1:], *study.own_outcomes]
            blocks += [arms.block(name, one) for one in beside if one.read_at == "answers"]
        if on_controls := [i for i in chosen if damage is None or i in damage]:
            arms = _KindOfEdit.of(study, edits, outcomes, on_controls, family)
            blocks += [arms.block(study.profile.control, one) for one in study.outcomes if one.read_at == "prompt"]
    return blocks


@dataclass(frozen=True)
class _KindOfEdit:
    """The arms of one kind of edit: those of the outcomes with the numbers ``chosen``."""

    study: Study
    outcomes: ForcedOutcomes
    chosen: list[int]
    tests: list[dict[str, object]]
    kind: str
    family: str

    @classmethod
    def of(
        cls, study: Study, edits: Sequence[Edited], outcomes: ForcedOutcomes, chosen: list[int], family: str
    ) -> _KindOfEdit:
        """The arms ``chosen``, which are of one kind."""
        tests = [edits[i].test() for i in chosen]
        return cls(study, outcomes, chosen, tests, edits[chosen[0]].arm.kind, family)

    def block(
        self, concept: str, outcome: Outcome, name: str | None = None, part: str | None = None, **tested: Any
    ) -> EffectBlock:
        """One outcome on one class of prompts; ``name`` is its name in the table, ``part`` names its family."""
        rows, shown = self.study.rows_of(concept), name or outcome.name
        return EffectBlock(
            concept, shown, outcome.unit, self.kind, "all", self.tests, self.outcomes.baseline[outcome.name][rows],
            self.outcomes.edited[outcome.name][np.ix_(self.chosen, rows)].T, self.study.labels_of(rows),
            family=f"{self.family}/{part or shown}/{self.kind}", scale=outcome.scale, **tested,
        )  # fmt: skip

    def log_odds(self, concept: str, *, confirmatory: bool) -> list[EffectBlock]:
        """The concept's own log-odds, those of the others on the same prompts, and how the two changes differ.

        A task's prompts cannot be read with another task's answers: it is set beside the other's prompts.
        """
        of, primary = self.study.log_odds, self.study.primary
        status = "confirmatory" if confirmatory else "exploratory"
        own = self.block(concept, of[concept], primary, status=status, simultaneous=True)
        if self.study.profile.has_tasks:
            return [own, *self._beside_other_tasks(own)]
        others = {
            other: self.block(concept, of[other], f"{primary}:{other}", f"{primary}_of_others")
            for other in of
            if other != concept
        }
        changes = {other: block.edited - block.baseline[:, None] for other, block in others.items()}
        return [
            own,
            *others.values(),
            *specificity_blocks(
                concept, self.tests, own.edited - own.baseline[:, None], changes, own.templates,
                edit=self.kind, family=f"{self.family}/specificity_nats/{self.kind}",
            ),
        ]  # fmt: skip

    def _beside_other_tasks(self, own: EffectBlock) -> list[EffectBlock]:
        """How the change on the own prompts differs from that of each other task on its prompts."""
        outcome = self.study.answers[0].name
        change = self.outcomes.edited[outcome] - self.outcomes.baseline[outcome]
        others: dict[str, tuple[FloatArray, list[str]]] = {}
        for other in self.study.names:
            rows = self.study.rows_of(other)
            if other != own.concept and rows:
                others[other] = change[np.ix_(self.chosen, rows)].T, self.study.labels_of(rows)
        return unpaired_specificity_blocks(
            own.concept, self.tests, own.deltas(), own.templates, others,
            edit=self.kind, family=f"{self.family}/specificity_nats/{self.kind}",
        )  # fmt: skip


def arrays_of(study: Study, edits: Sequence[Edited], outcomes: ForcedOutcomes) -> xr.Dataset:
    """Everything measured, with named axes (edit, prompt, lexicon)."""
    tests = [edit.test() for edit in edits]
    per_token = {"unit": "nats_per_token"}
    own = [(one.name, {"unit": one.unit}) for one in study.own_outcomes if one.read_at != "text"]
    return xr.Dataset(
        {
            "baseline": (("prompt", "lexicon"), study.by_concept(outcomes.baseline), {"unit": "nats"}),
            "edited": (("edit", "prompt", "lexicon"), study.by_concept(outcomes.edited), {"unit": "nats"}),
            "kl": (("edit", "prompt"), outcomes.edited[KL.name], per_token),
            "baseline_nll": (("prompt",), outcomes.baseline[PERPLEXITY.name], per_token),
            "edited_nll": (("edit", "prompt"), outcomes.edited[PERPLEXITY.name], per_token),
            **{f"baseline_{name}": (("prompt",), outcomes.baseline[name], unit) for name, unit in own},
            **{f"edited_{name}": (("edit", "prompt"), outcomes.edited[name], unit) for name, unit in own},
        },
        coords=prompt_coords(study, study.layouts)
        | {
            "lexicon": list(study.profile.concepts),
            "edit": [str(edit.arm) for edit in edits],
            "heads": ("edit", [str(test["heads"]) for test in tests]),
            "kind": ("edit", [edit.arm.kind for edit in edits]),
            "role": ("edit", [edit.role for edit in edits]),
        },
    )


def facts_of(study: Study, outcomes: ForcedOutcomes) -> dict[str, Any]:
    """JSON-able facts for the manifest."""
    places = study.profile.readouts or ("the last prompt token",)
    own: dict[str, Any] = {"outcomes": [one.record() for one in study.own_outcomes]} if study.own_outcomes else {}
    if study.profile.has_tasks:
        of_tasks = [one.answers for one in study.layouts if one.concept != study.profile.control]
        own["answers"] = facts_of_answers(of_tasks)
    return own | {
        "concepts": list(study.names),
        "readouts": list(study.profile.readouts),
        "lexicons": {
            place: {tokens.concept: tokens.record() for tokens in concepts}
            for place, concepts in zip(places, study.lexicons, strict=False)  # tasks have none
        },
        "n_prompts": len(study.layouts),
        "packed": all(len(layout.rows) == 1 for layout in study.layouts) and len(study.profile.readouts) > 1,
        "n_forward_tokens": outcomes.n_forward_tokens,
        "n_layer_tokens": outcomes.n_layer_tokens,
        "n_batches_halved": study.n_halved,
        "seed": study.seed,
        "batch_tokens": study.batch_tokens,
        "chat_template": study.settings.chat_template,
        "warnings": study.warnings,
    }
