"""What changes when a head is off? Every head alone, exactly, for every concept and its control.

Each head is edited by itself, all other heads as they were, and the primary outcome, its specificity and the damage on
control text are measured on every prompt. The ``mean`` edit decides; ``zero`` stands beside it. The primary outcome
under ``mean``, over all heads and concepts, is the one confirmatory family.
"""

from __future__ import annotations

from collections.abc import Sequence

from headscope.heads import HeadSet, every_head
from headscope.stages import Stage
from headscope.stats import effects_table
from headscope.study import Study
from headscope.terms import SINGLE
from headscope.verbs.effect_rows import (
    DECIDING_EDIT,
    arrays_of,
    assay_tables,
    edited_sets,
    effect_blocks,
    facts_of,
    stage_of,
)
from headscope.verbs.result import Result


class SweepResult(Result):
    """``tables``: effects, assay. ``values``: baseline and edited outcomes, (edit, prompt, lexicon)."""


def sweep(study: Study, *, heads: str = "*", edits: Sequence[str] = ("mean", "zero")) -> SweepResult:
    """Effect of switching off each head alone.

    Args:
        study: what is asked of which model.
        heads: heads to edit, each alone; every head by default. With fewer the rows are exploratory, because the
            choice of heads is not part of the correction.
        edits: kinds of edit, see ``measure/edits.py``.
    """
    study = study.only()
    chosen = study.model.head_set(heads)
    edited = edited_sets([HeadSet((head,)) for head in chosen], edits, SINGLE)
    outcomes = stage_of(study, "sweep", edited).run()
    is_whole = chosen.heads == every_head(study.model.heads_per_layer)
    blocks = effect_blocks(study, edited, outcomes, family="sweep", confirmatory=DECIDING_EDIT if is_whole else None)
    tables = {"effects": effects_table(blocks, seed=study.seed), **assay_tables(study, outcomes)}
    record = facts_of(study, outcomes) | {"edits": list(edits), "heads": str(chosen) if not is_whole else "*"}
    return SweepResult(tables, arrays_of(study, edited, outcomes), record, "effects")


def sweep_stages(study: Study, heads: HeadSet, edits: Sequence[str], *, bound: bool = False) -> list[Stage]:
    """The work of ``sweep``; ``bound``: of at most so many heads."""
    edited = edited_sets([HeadSet((head,)) for head in heads], edits, SINGLE)
    return [stage_of(study, "sweep", edited, bound=bound)]
