"""What the model writes when heads are patched: every target goes on unpatched, patched and control-patched.

All three are written from the same random numbers, scored on the continuation alone, averaged over samples and compared
target by target, as texts without heads are (``generated``). While a text is patched its source is fed the text's own
new words, so that z is taken from the same words after the source prompt (``measure/patching_text.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from headscope.heads import HeadSet
from headscope.measure.edits import PATCH_KINDS, Arm
from headscope.measure.patching import PatchStates, Recipe
from headscope.measure.sampling import Sampling
from headscope.measure.texts import SentimentScorer
from headscope.stats.patching import PatchBlock
from headscope.study import Study
from headscope.verbs.continuations import Written, continued
from headscope.verbs.patched import Measured


def patched_texts(
    study: Study,
    measured: Sequence[Measured],
    heads: HeadSet,
    recipe: Recipe,
    sampling: Sampling,
    scorer: SentimentScorer,
    tests: Sequence[dict[str, object]],
    settings: Mapping[str, object],
) -> tuple[list[PatchBlock], pd.DataFrame, int]:
    """Continue every target, unpatched and with one set of heads patched.

    Returns:
        Blocks for ``stats.patching_table``, the ``texts`` table, and how many batches had to be halved.
    """
    layers, blocks, tables = [head.layer for head in heads], list[PatchBlock](), list[pd.DataFrame]()
    n_halved = 0
    for one in measured:
        patches, arms = one.plan.patches, [Arm(heads, kind) for kind in PATCH_KINDS]
        targets = [patch.target.layout for patch in patches]
        about = {"concept": one.concept, "direction": one.direction, "sampling": vars(sampling)}
        states = PatchStates(study.model, patches, recipe, layers=layers, batch_tokens=study.batch_tokens)
        written = continued(
            study, one.plan.targets, targets, arms, sampling, scorer,
            states=states,
            work=study.work("patched_texts", arms, targets, **about),
        )  # fmt: skip
        blocks += _blocks(written, one.common(tests, settings))
        tables.append(_table(study, one, heads, written))
        n_halved += written.n_halved + states.n_halved
    return blocks, pd.concat(tables, ignore_index=True), n_halved


def _blocks(written: Written, common: dict[str, Any]) -> list[PatchBlock]:
    """Every score against the control patch and against no patch."""
    blocks: list[PatchBlock] = []
    for outcome, scores in written.scores.items():
        unpatched, patched, control = scores.mean(axis=2)
        blocks += [
            PatchBlock(
                **common, outcome=outcome, unit=written.units[outcome], compared_with=other, unpatched=unpatched,
                patched=patched[:, None], control_patched=control[:, None], gap=None,
            )
            for other in ("control_patch", "unpatched")
        ]  # fmt: skip
    return blocks


def _table(study: Study, one: Measured, heads: HeadSet, written: Written) -> pd.DataFrame:
    """What each target goes on with, unpatched and patched: a row for each kind of patch, target and sample."""
    return pd.DataFrame(
        {
            "concept": one.concept,
            "prompt_id": study.layouts[target].id,
            "sample": sample,
            "prompt": study.layouts[target].tokens.text,
            "heads": str(heads),
            "edit": kind,
            "direction": one.direction,
            "source_id": _source_id([source.layout.id for source in one.plan.patches[p].sources[kind]]),
            "baseline_text": baseline,
            "edited_text": written.texts[a][p][sample],
        }
        for a, kind in enumerate(PATCH_KINDS, start=1)
        for p, target in enumerate(one.plan.targets)
        for sample, baseline in enumerate(written.texts[0][p])
    )


def _source_id(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"mean of {len(ids)}"
