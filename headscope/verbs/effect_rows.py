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
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedOutcomes
from headscope.stats import EffectBlock, assay_table
from headscope.stats.specificity import specificity_blocks
from headscope.study import Stage, Study

FloatArray = npt.NDArray[np.float64]

PRIMARY = "lexicon_logodds_nats"
DECIDING_EDIT = "mean"
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
    for name in study.names:
        rows, column = study.rows_of(name), study.lexicon_column(name)
        all_controls = outcomes.baseline[[index[layout.id] for layout in study.controls], column].mean()
        controls = [
            all_controls if (pair := pair_of[study.layouts[i].id]) is None else outcomes.baseline[index[pair], column]
            for i in rows
        ]
        n_unpaired = sum(pair_of[study.layouts[i].id] is None for i in rows)
        parts.append(
            assay_table(
                name,
                PRIMARY,
                "nats",
                outcomes.baseline[rows, column],
                np.array(controls),
                study.labels_of(rows),
                seed=study.seed,
                note=f"{n_unpaired} prompts without a pair: compared with the mean of all controls"
                if n_unpaired
                else "",
            )
        )
    return pd.concat(parts, ignore_index=True)


def effect_blocks(
    study: Study, edits: Sequence[Edited], outcomes: ForcedOutcomes, *, family: str, confirmatory: str | None = None
) -> list[EffectBlock]:
    """Blocks for ``stats.effects_table``, one for each class, outcome and kind of edit.

    Args:
        edits: in the order of the outcomes' arms.
        outcomes: what was measured.
        family: names the families of these tests, e.g. ``sweep``.
        confirmatory: the kind of edit whose primary outcome is the one confirmatory family; None for none.
    """
    blocks: list[EffectBlock] = []
    for kind in dict.fromkeys(edit.arm.kind for edit in edits):
        chosen = [i for i, edit in enumerate(edits) if edit.arm.kind == kind]
        tests = [edits[i].test() for i in chosen]
        for name in study.names:
            rows = study.rows_of(name)
            own = study.lexicon_column(name)
            labels = study.labels_of(rows)
            baseline, edited = outcomes.baseline[rows], outcomes.edited[np.ix_(chosen, rows)].transpose(1, 0, 2)
            blocks.append(
                EffectBlock(
                    name, PRIMARY, "nats", kind, "all", tests, baseline[:, own], edited[..., own], labels,
                    family=f"{family}/{PRIMARY}/{kind}",
                    status="confirmatory" if kind == confirmatory else "exploratory",
                    simultaneous=True,
                )
            )  # fmt: skip
            others = {other: study.lexicon_column(other) for other in study.profile.concepts if other != name}
            change = edited - baseline[:, None, :]
            blocks += [
                EffectBlock(
                    name, f"{PRIMARY}:{other}", "nats", kind, "all", tests, baseline[:, column],
                    edited[..., column], labels, family=f"{family}/{PRIMARY}_of_others/{kind}",
                )
                for other, column in others.items()
            ]  # fmt: skip
            blocks += specificity_blocks(
                name,
                tests,
                change[..., own],
                {other: change[..., column] for other, column in others.items()},
                labels,
                edit=kind,
                family=f"{family}/specificity_nats/{kind}",
            )
        blocks += _damage(study, kind, chosen, tests, outcomes, family)
    return blocks


def _damage(
    study: Study, kind: str, chosen: list[int], tests: list[dict[str, object]], outcomes: ForcedOutcomes, family: str
) -> list[EffectBlock]:
    control = study.profile.control
    rows = study.rows_of(control)
    labels = study.labels_of(rows)
    kl = outcomes.kl_nats_per_token[np.ix_(chosen, rows)].T
    nll = outcomes.baseline_nll_nats_per_token[rows]
    edited_nll = outcomes.edited_nll_nats_per_token[np.ix_(chosen, rows)].T
    return [
        EffectBlock(
            control, "kl_nats_per_token", "nats_per_token", kind, "all", tests, np.zeros(len(rows)), kl, labels,
            family=f"{family}/kl_nats_per_token/{kind}", scale="divergence",
        ),
        EffectBlock(
            control, "perplexity_ratio", "ratio", kind, "all", tests, nll, edited_nll, labels,
            family=f"{family}/perplexity_ratio/{kind}", scale="log_ratio",
        ),
    ]  # fmt: skip


def arrays_of(study: Study, edits: Sequence[Edited], outcomes: ForcedOutcomes) -> xr.Dataset:
    """Everything measured, with named axes (edit, prompt, lexicon)."""
    tests = [edit.test() for edit in edits]
    nats = {"unit": "nats"}
    per_token = {"unit": "nats_per_token"}
    return xr.Dataset(
        {
            "baseline": (("prompt", "lexicon"), outcomes.baseline, nats),
            "edited": (("edit", "prompt", "lexicon"), outcomes.edited, nats),
            "kl": (("edit", "prompt"), outcomes.kl_nats_per_token, per_token),
            "baseline_nll": (("prompt",), outcomes.baseline_nll_nats_per_token, per_token),
            "edited_nll": (("edit", "prompt"), outcomes.edited_nll_nats_per_token, per_token),
        },
        coords={
            "prompt": [layout.id for layout in study.layouts],
            "concept": ("prompt", [layout.concept for layout in study.layouts]),
            "template": ("prompt", [layout.template for layout in study.layouts]),
            "pair": ("prompt", [study.pair_of[layout.id] or "" for layout in study.layouts]),
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
    return {
        "concepts": list(study.names),
        "readouts": list(study.profile.readouts),
        "lexicons": {
            place: {tokens.concept: tokens.record() for tokens in concepts}
            for place, concepts in zip(places, study.lexicons, strict=True)
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
