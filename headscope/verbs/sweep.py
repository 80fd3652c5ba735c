"""What changes when a head is off? Every head alone, exactly, for every concept and its control.

Each head is edited by itself, all other heads as they were, and the primary outcome, its specificity and the damage on
control text are measured on every prompt. The ``mean`` edit decides; ``zero`` stands beside it. The primary outcome
under ``mean``, over all heads and concepts, is the one confirmatory family.
"""

from __future__ import annotations

from collections.abc import Sequence

from headscope.engines.engine import Engine
from headscope.heads import HeadSet, every_head
from headscope.measure.passes import Progress
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.stats import effects_table
from headscope.verbs.causal import CausalStudy, edited_sets
from headscope.verbs.request import batch_budget
from headscope.verbs.result import Result

DECIDING_EDIT = "mean"


class SweepResult(Result):
    """``tables``: effects, assay. ``values``: baseline and edited outcomes, (edit, prompt, lexicon)."""


def sweep(
    model: HeadModel,
    profile: Profile,
    *,
    concepts: Sequence[str] | str | None = None,
    edits: Sequence[str] = ("mean", "zero"),
    heads: str = "*",
    chat_template: bool | str = False,
    pack: bool = True,
    seed: int = 0,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> SweepResult:
    """Effect of switching off each head alone.

    Args:
        model: the model.
        profile: what is asked.
        concepts: only these; all by default.
        edits: kinds of edit, see ``measure/edits.py``.
        heads: heads to edit, each alone; every head by default. With fewer the rows are exploratory, because the
            choice of heads is not part of the correction.
        chat_template: wrap prompts in the tokenizer's chat template; a text names one of several.
        pack: lay readouts of a prompt into one row where the model allows it.
        seed: of sign-flips and of ``resample``.
        batch_tokens: most tokens of a batch.
        progress: told how far the work is.
        engine: runs the passes and keeps their results; this process by default, nothing kept.
    """
    budget = batch_budget(model, batch_tokens)
    chosen = model.head_set(heads)
    study = CausalStudy(
        model, profile, concepts=concepts, kinds=edits, seed=seed, batch_tokens=budget,
        chat_template=chat_template, pack=pack, progress=progress, engine=engine,
    )  # fmt: skip
    edited = edited_sets([HeadSet((head,)) for head in chosen], edits, "single")
    outcomes = study.measure(edited, stage="sweep")
    is_whole = chosen.heads == every_head(model.heads_per_layer)
    blocks = study.blocks(edited, outcomes, family="sweep", confirmatory=DECIDING_EDIT if is_whole else None)
    tables = {"effects": effects_table(blocks, seed=seed), "assay": study.assay(outcomes)}
    record = study.record(outcomes) | {"edits": list(edits), "heads": str(chosen) if not is_whole else "*"}
    record |= {"batch_tokens": budget, "chat_template": chat_template}
    return SweepResult(tables, study.values(edited, outcomes), record, "effects")
