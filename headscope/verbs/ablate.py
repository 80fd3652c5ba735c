"""What changes when these heads are off: what the model would say, what it says, and what else breaks.

A set of heads is edited together. Teacher-forced outcomes come first (no sampling noise): the primary outcome,
specificity, damage on control text. Then both arms write, from the same random numbers, and the texts are scored.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headscope.engines.engine import Engine
from headscope.errors import RequestError
from headscope.heads import HeadSet
from headscope.measure.passes import Progress
from headscope.measure.sampling import Sampling, stop_ids
from headscope.measure.texts import load_sentiment
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.stats import EffectBlock, effects_table
from headscope.verbs.causal import CausalStudy, edited_sets
from headscope.verbs.generated import (
    KEYWORD_COUNTING,
    check_texts_fit,
    generated_blocks,
    open_end,
    sampling_record,
    study_metrics,
    texts_table,
    write_texts,
)
from headscope.verbs.request import batch_budget, chosen_concepts
from headscope.verbs.result import Result


@dataclass(frozen=True, repr=False)
class AblationResult(Result):
    """``tables``: effects, assay and, where texts were written, texts.

    Attributes:
        blocks: what ``effects`` was made of, so that several ablations can be tested as one family.
    """

    blocks: tuple[EffectBlock, ...] = ()


def ablate(
    model: HeadModel,
    profile: Profile,
    heads: str | HeadSet,
    *,
    concept: Sequence[str] | str | None = None,
    prompts: Collection[str] | None = None,
    role: str = "requested",
    edits: Sequence[str] | str = ("mean", "zero"),
    value_bias: Literal["zero", "keep"] = "zero",
    generate: bool = True,
    max_tokens: int = 30,
    temperature: float = 1.0,
    top_p: float = 0.9,
    samples: int = 1,
    greedy: bool = False,
    scope: str = "all",
    stop_at_eos: bool = True,
    stop_tokens: Sequence[str] = (),
    sentiment: str = "vader",
    keyword_counting: str = "continuation",
    chat_template: bool | str = False,
    pack: bool = True,
    seed: int = 0,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> AblationResult:
    """Effect of editing one set of heads.

    Args:
        model: the model.
        profile: what is asked.
        heads: the set, e.g. ``"1:10,3:2"``; its heads are edited together.
        concept: concepts whose prompts are used; all by default.
        prompts: ids of the concepts' prompts to use; all by default. Control prompts always stay.
        role: the part the set plays, as it will stand in the table: ``requested``, or ``joint_top``.
        edits: kinds of edit, see ``measure/edits.py``.
        value_bias: what ``zero`` leaves: ``zero`` (z = 0) or ``keep`` (z = b_V, TransformerLens' convention).
        generate: also let both arms write.
        max_tokens: most new tokens a text.
        temperature: of sampling.
        top_p: of sampling.
        samples: texts for each prompt and arm.
        greedy: most probable tokens instead of sampling.
        scope: of the edit while writing: ``all``, or ``generated`` tokens only. Fixed text is always edited throughout.
        stop_at_eos: whether EOS ends a text; in a chat the end of a turn as well, see ``stop_ids``.
        stop_tokens: further tokens that end a text.
        sentiment: ``vader``, or a transformers classifier's name or folder.
        keyword_counting: ``continuation`` (whole words of the continuation), or ``phase6`` (the study's substring
            count over prompt and continuation) beside it.
        chat_template: wrap prompts in the tokenizer's chat template; a text names one of several.
        pack: lay readouts of a prompt into one row where the model allows it.
        seed: of everything random.
        batch_tokens: most tokens of a batch.
        progress: told how far the work is.
        engine: runs the passes and keeps their results; this process by default, nothing kept.
    """
    kinds = [edits] if isinstance(edits, str) else list(edits)
    kinds = [_kind(kind, value_bias) for kind in kinds]
    if keyword_counting not in KEYWORD_COUNTING:
        raise RequestError(
            f'keyword counting "{keyword_counting}" does not exist', expected=" or ".join(KEYWORD_COUNTING)
        )
    stops = stop_ids(model, at_eos=stop_at_eos, chat_template=chat_template, named=stop_tokens)
    sampling = Sampling(max_tokens, temperature, top_p, samples, greedy, stop_at_eos, scope, seed, stops)
    chosen = model.head_set(heads) if isinstance(heads, str) else heads
    scorer = load_sentiment(sentiment) if generate else None
    budget = batch_budget(model, batch_tokens)
    if generate:
        check_texts_fit(model, profile, chosen_concepts(profile, concept), max_tokens, chat_template=chat_template)
    study = CausalStudy(
        model, profile, concepts=concept, kinds=kinds, seed=seed, batch_tokens=budget,
        chat_template=chat_template, pack=pack, progress=progress, prompts=prompts, engine=engine,
    )  # fmt: skip
    edited = edited_sets([chosen], kinds, role)
    outcomes = study.measure(edited, stage=role)
    blocks = study.blocks(edited, outcomes, family=role)
    tables = {"assay": study.assay(outcomes)}
    record: dict[str, Any] = study.record(outcomes) | {"heads": str(chosen), "edits": kinds, "batch_tokens": budget}
    record |= {"chat_template": chat_template}
    if scorer is not None:
        written = write_texts(
            study, edited, sampling, scorer,
            keyword_counting=keyword_counting, batch_tokens=budget, progress=progress,
        )  # fmt: skip
        blocks += generated_blocks(study, edited, written, scope)
        tables["texts"] = texts_table(study, edited, written)
        metrics = study_metrics(written, scorer, tuple(profile.concepts), keyword_counting)
        record["n_batches_halved"] += written.n_halved
        record["warnings"] += open_end(model, chat_template)
        record |= {
            **sampling_record(model, sampling),
            "sentiment": scorer.record(),
            "keyword_counting": keyword_counting,
            "baseline_metrics": metrics[0],
            "edited_metrics": dict(zip(kinds, metrics[1:], strict=True)),
        }
    tables = {"effects": effects_table(blocks, seed=seed), **tables}
    return AblationResult(tables, study.values(edited, outcomes), record, "effects", tuple(blocks))


def _kind(kind: str, value_bias: str) -> str:
    if value_bias not in ("zero", "keep"):
        raise RequestError(f'value_bias "{value_bias}" does not exist', expected="zero or keep", got=value_bias)
    return "zero_keep_bias" if kind == "zero" and value_bias == "keep" else kind
