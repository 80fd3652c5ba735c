"""What changes when these heads are off: what the model would say, what it says, and what else breaks.

A set of heads is edited together. Teacher-forced outcomes come first (no sampling noise): the primary outcome,
specificity, damage on control text. Then both arms write, from the same random numbers, and the texts are scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from headscope.errors import RequestError
from headscope.heads import HeadSet
from headscope.measure.outcomes.keywords import KEYWORD_COUNTING
from headscope.measure.outcomes.sentiment import SentimentScorer
from headscope.settings import Writing
from headscope.stages import Stage
from headscope.stats import EffectBlock, effects_table
from headscope.study import Study
from headscope.terms import REQUESTED
from headscope.verbs.continuations import (
    generated_blocks,
    noise_of_sampling,
    open_end,
    sampling_of,
    scorer_of,
    study_metrics,
    texts_table,
    write_texts,
    writing_facts,
)
from headscope.verbs.effect_rows import (
    Edited,
    arrays_of,
    assay_tables,
    edited_sets,
    effect_blocks,
    facts_of,
    stage_of,
)
from headscope.verbs.result import Result


@dataclass(frozen=True, repr=False)
class AblationResult(Result):
    """``tables``: effects, assay and, where texts were written, texts and sampling.

    Attributes:
        blocks: what ``effects`` was made of, so that several ablations can be tested as one family.
    """

    blocks: tuple[EffectBlock, ...] = ()


def ablate(
    study: Study,
    heads: str | HeadSet,
    *,
    edits: Sequence[str] | str = ("mean", "zero"),
    value_bias: str = "zero",
    writing: Writing | None = None,
    role: str = REQUESTED,
) -> AblationResult:
    """Effect of editing one set of heads.

    Args:
        study: what is asked of which model.
        heads: the set, e.g. ``"1:10,3:2"``; its heads are edited together.
        edits: kinds of edit, see ``measure/edits.py``.
        value_bias: what ``zero`` leaves: ``zero`` (z = 0) or ``keep`` (z = b_V, TransformerLens' convention).
        writing: also let both arms write; None: fixed text only.
        role: the part the set plays, as it will stand in the table: ``requested``, or ``joint_top``.

    Raises:
        RequestError: an unknown edit, or texts cannot be written or scored as asked.
    """
    study = study.only()
    kinds = [_kind(kind, value_bias) for kind in ([edits] if isinstance(edits, str) else edits)]
    chosen = study.model.head_set(heads) if isinstance(heads, str) else heads
    scorer = None if writing is None else _scorer(study, writing)
    edited = edited_sets([chosen], kinds, role)
    outcomes = stage_of(study, role, edited).run()
    blocks = effect_blocks(study, edited, outcomes, family=role)
    tables = assay_tables(study, outcomes)
    record: dict[str, Any] = facts_of(study, outcomes) | {"heads": str(chosen), "edits": kinds}
    if writing is not None and scorer is not None:
        blocks_of_texts, tables_of_texts, facts = _texts(study, edited, writing, scorer)
        blocks += blocks_of_texts
        tables |= tables_of_texts
        record["n_batches_halved"] += facts.pop("n_halved")
        record["warnings"] += open_end(study)
        record |= facts
    tables = {"effects": effects_table(blocks, seed=study.seed), **tables}
    return AblationResult(tables, arrays_of(study, edited, outcomes), record, "effects", tuple(blocks))


def ablation_stages(study: Study, heads: HeadSet, edits: Sequence[str], *, bound: bool = False) -> list[Stage]:
    """The teacher-forced work of ``ablate``; ``bound``: the set stands for one that is not known yet."""
    edited = edited_sets([heads], edits, REQUESTED)
    return [stage_of(study, "ablation", edited, bound=bound)]


def _scorer(study: Study, writing: Writing) -> SentimentScorer:
    if writing.keyword_counting not in KEYWORD_COUNTING:
        raise RequestError(
            f'keyword counting "{writing.keyword_counting}" does not exist', expected=" or ".join(KEYWORD_COUNTING)
        )
    return scorer_of(study, writing)


def _texts(
    study: Study, edited: Sequence[Edited], writing: Writing, scorer: SentimentScorer
) -> tuple[list[EffectBlock], dict[str, pd.DataFrame], dict[str, Any]]:
    """Blocks of every score, the tables ``texts`` and ``sampling``, and facts of the writing."""
    sampling = sampling_of(study, writing)
    written = write_texts(study, edited, sampling, scorer, writing.keyword_counting)
    counted = tuple(name for name, one in study.profile.concepts.items() if not one.is_task)
    metrics = study_metrics(written, scorer, counted, writing.keyword_counting)
    facts: dict[str, Any] = {
        **writing_facts(study, sampling, scorer),
        "keyword_counting": writing.keyword_counting,
        "baseline_metrics": metrics[0],
        "edited_metrics": {edit.arm.kind: metric for edit, metric in zip(edited, metrics[1:], strict=True)},
        "n_halved": written.n_halved,
    }
    blocks = generated_blocks(study, edited, written, writing.scope)
    tables = {
        "texts": texts_table(study, [edit.arm for edit in edited], written),
        "sampling": noise_of_sampling(study, edited, written, sampling),
    }
    return blocks, tables, facts


def _kind(kind: str, value_bias: str) -> str:
    if value_bias not in ("zero", "keep"):
        raise RequestError(f'value_bias "{value_bias}" does not exist', expected="zero or keep", got=value_bias)
    return "zero_keep_bias" if kind == "zero" and value_bias == "keep" else kind
