"""What the model says with and without a set of heads: texts of both arms, scored, with the effect of each edit.

For each prompt both arms are written from the same random numbers, scored on the continuation alone, averaged over
samples, and compared prompt by prompt: words of each concept's lexicon, sentiment, distinct-2 (repetition), and the
outcomes of text that were asked for. How far sampling moves each effect is counted from the samples of a prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from headscope.chat import Chat
from headscope.errors import RequestError
from headscope.measure.edits import Arm, ArmValues
from headscope.measure.generation import TextPasses, check_room
from headscope.measure.outcomes import Outcome
from headscope.measure.outcomes.keywords import PREFIXES, keyword_outcomes
from headscope.measure.outcomes.own_code import scores_of_texts
from headscope.measure.outcomes.repetition import DISTINCT_2
from headscope.measure.outcomes.sentiment import SentimentScorer, load_sentiment
from headscope.measure.sampling import Sampling, stop_ids
from headscope.settings import Writing
from headscope.stages import Stage
from headscope.stats import EffectBlock
from headscope.stats.sampling_noise import SampledBlock, sampling_table
from headscope.study import Study
from headscope.verbs.effect_rows import Edited
from headscope.vocabulary import shown_token

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Written:
    """Texts of all arms and their scores.

    Attributes:
        rows: indices of the study's prompts that were continued.
        texts: ``texts[arm][prompt][sample]``; arm 0 is the unedited model.
        outcomes: what was measured of each text.
        scores: by outcome [n_arms, n_prompts, n_samples]; NaN where a text has no score.
        n_halved: how many batches did not fit into memory and were written in halves.
    """

    rows: list[int]
    texts: list[list[list[str]]]
    outcomes: list[Outcome]
    scores: dict[str, FloatArray]
    n_halved: int


def sampling_of(study: Study, writing: Writing) -> Sampling:
    """How tokens are chosen.

    Raises:
        RequestError: a number out of range, an unknown scope, or a stop token that is none of the model's.
    """
    chat_template = study.settings.chat_template
    stops = stop_ids(study.model, at_eos=writing.stop_at_eos, chat_template=chat_template, named=writing.stop_tokens)
    return Sampling(
        writing.max_tokens, writing.temperature, writing.top_p, writing.samples, writing.greedy, writing.stop_at_eos,
        writing.scope, study.seed, stops,
    )  # fmt: skip


def check_texts_fit(study: Study, max_tokens: int, *, controls: bool = False) -> None:
    """Find a prompt with too little room for its continuation before any work is done; see ``check_room``."""
    prompts = [*study.prompts, *(study.profile.controls if controls else ())]
    lengths = {prompt.id: len(study.encoder.encode_prompt(prompt)) for prompt in prompts}
    check_room(study.model, lengths, max_tokens)


def own_of_texts(study: Study) -> list[Outcome]:
    """The outcomes of text that were asked for beside headscope's own."""
    return [one for one in study.own_outcomes if one.read_at == "text"]


def check_own_of_texts(study: Study) -> None:
    """Try the outcomes of text that were asked for on a made-up text and an empty one, before any work is done.

    Raises:
        RequestError: one of them cannot score these.
    """
    for prompt in study.prompts[:1]:
        before = study.encoder.encode_prompt(prompt).text
        for one in own_of_texts(study):
            scores_of_texts(one, [" It goes on, and ends here.", ""], [before, before])


def scorer_of(study: Study, writing: Writing, *, controls: bool = False) -> SentimentScorer:
    """Who scores texts, once it is known that they can be written and scored as asked."""
    sampling_of(study, writing)
    check_own_of_texts(study)
    scorer = load_sentiment(writing.sentiment)
    check_texts_fit(study, writing.max_tokens, controls=controls)
    return scorer


def writing_facts(study: Study, sampling: Sampling, scorer: SentimentScorer) -> dict[str, Any]:
    """How tokens were chosen, the tokens that ended a text, and who scored it."""
    ids = sampling.stop_ids or ()
    stops = [shown_token(study.model.tokenizer, token) for token in ids]
    return {"sampling": vars(sampling), "stop_tokens": stops, "sentiment": scorer.record()}


def open_end(study: Study) -> list[str]:
    """What is to be said where a chat template does not tell how an answer ends."""
    chat = Chat.of(study.model.tokenizer, study.settings.chat_template)
    if chat is None or chat.end_of_turn() is not None:
        return []
    return ["the chat template names no token that ends an answer: texts go on to EOS (--stop-token names another)"]


def write_texts(
    study: Study, edits: Sequence[Edited], sampling: Sampling, scorer: SentimentScorer, keyword_counting: str
) -> Written:
    """Continue every prompt of the study's concepts, unedited and under each edit, and score the texts."""
    rows = [i for i, layout in enumerate(study.layouts) if layout.concept in study.names]
    stage = study.stage("texts", [edit.arm for edit in edits], rows)
    return continued(stage, rows, sampling, scorer, keyword_counting)


def continued(
    stage: Stage, rows: list[int], sampling: Sampling, scorer: SentimentScorer, keyword_counting: str = "continuation"
) -> Written:
    """Continue the prompts of a stage, which are its study's ``rows``, unedited and under each arm; score the texts."""
    study, prompts, arms = stage.study, stage.layouts, [None, *stage.arms]
    halvings: list[int] = []
    states = stage.served() or ArmValues(study.model)
    passes = TextPasses(study.model, prompts, arms, sampling, states, study.batch_tokens, study.pack)
    ids = passes.write(study.progress, halvings.append, stage.work(sampling=vars(sampling)))
    decode: Callable[..., str] = study.model.tokenizer.decode
    texts = [
        [
            [decode(list(s), skip_special_tokens=True, clean_up_tokenization_spaces=False) for s in samples]
            for samples in of_arm
        ]
        for of_arm in ids
    ]
    headscopes, own = text_outcomes(study, scorer, keyword_counting), own_of_texts(study)
    shape = len(arms), len(prompts), sampling.samples
    flat = [text for of_arm in texts for samples in of_arm for text in samples]
    before = [prompt.tokens.text for _ in arms for prompt in prompts for _ in range(sampling.samples)]
    scores = {one.name: one.of_texts(flat, before).reshape(shape) for one in headscopes}
    scores |= {one.name: _some(one, scores_of_texts(one, flat, before)).reshape(shape) for one in own}
    return Written(rows, texts, [*headscopes, *own], scores, sum(halvings))


def text_outcomes(study: Study, scorer: SentimentScorer, keyword_counting: str) -> list[Outcome]:
    """All that headscope measures of written text, whatever else is asked for."""
    counts = keyword_outcomes(study.profile, "phase6") if keyword_counting == "phase6" else ()
    return [*keyword_outcomes(study.profile, "continuation"), scorer.outcome, DISTINCT_2, *counts]


def _some(outcome: Outcome, values: FloatArray) -> FloatArray:
    """The values, if there is one."""
    if np.isnan(values).all():
        raise RequestError(
            f'outcome "{outcome.name}" gives no number for any text',
            expected="a number for each text that has one, NaN for the others",
            got=f"NaN for each of {len(values)} texts",
        )
    return values


@dataclass(frozen=True)
class _Compared:
    """One outcome of the edits of one kind, on one concept's prompts: edited arms and prompts by their indices."""

    outcome: Outcome
    kind: str
    arms: list[int]
    concept: str
    prompts: list[int]


def _compared(study: Study, edits: Sequence[Edited], written: Written) -> Iterator[_Compared]:
    concept_of = [study.layouts[i].concept for i in written.rows]
    for outcome in written.outcomes:
        for kind in dict.fromkeys(edit.arm.kind for edit in edits):
            arms = [a for a, edit in enumerate(edits, start=1) if edit.arm.kind == kind]
            for name in study.names:
                prompts = [p for p, concept in enumerate(concept_of) if concept == name]
                yield _Compared(outcome, kind, arms, name, prompts)


def generated_blocks(study: Study, edits: Sequence[Edited], written: Written, scope: str) -> list[EffectBlock]:
    """Blocks for ``stats.effects_table``: every score of every edit, for each concept's prompts; all exploratory."""
    blocks: list[EffectBlock] = []
    for one in _compared(study, edits, written):
        per_prompt, outcome = written.scores[one.outcome.name].mean(axis=2), one.outcome
        blocks.append(
            EffectBlock(
                one.concept,
                outcome.name,
                outcome.unit,
                one.kind,
                scope,
                [edits[a - 1].test() for a in one.arms],
                per_prompt[0, one.prompts],
                per_prompt[np.ix_(one.arms, one.prompts)].T,
                study.labels_of([written.rows[p] for p in one.prompts]),
                family=f"generation/{outcome.name}/{one.kind}",
                scale=outcome.scale,
            )
        )
    return blocks


def noise_of_sampling(study: Study, edits: Sequence[Edited], written: Written, sampling: Sampling) -> pd.DataFrame:
    """The ``sampling`` table: how far sampling moves each effect on written text, and how many samples would do."""
    blocks: list[SampledBlock] = []
    for one in _compared(study, edits, written):
        scores = written.scores[one.outcome.name]
        changes = scores[np.ix_(one.arms, one.prompts)] - scores[0, one.prompts]
        about = {"concept": one.concept, "edit": one.kind, "scope": sampling.scope, "outcome": one.outcome.name}
        blocks.append(
            SampledBlock(
                [edits[a - 1].test() | about | {"unit": one.outcome.unit} for a in one.arms],
                changes.transpose(1, 0, 2),
                study.labels_of([written.rows[p] for p in one.prompts]),
                greedy=sampling.greedy,
            )
        )
    return sampling_table(blocks)


def texts_table(
    study: Study,
    arms: Sequence[Arm],
    written: Written,
    *,
    concept: str | None = None,
    direction: str = "",
    source_id: Callable[[Arm, int], str] = lambda arm, prompt: "",
) -> pd.DataFrame:
    """The ``texts`` table: continuations of both arms side by side, one row for each arm, prompt and sample.

    ``concept``: what it is about, where that is not the concept of each prompt; ``source_id``: what to say of the
    source of an arm and the prompt with an index.
    """
    return pd.DataFrame(
        {
            "concept": concept or study.layouts[i].concept,
            "prompt_id": study.layouts[i].id,
            "sample": sample,
            "prompt": study.layouts[i].tokens.text,
            "heads": str(arm.heads),
            "edit": arm.kind,
            "dose": math.nan if arm.dose is None else arm.dose,
            "direction": direction,
            "source_id": source_id(arm, p),
            "baseline_text": baseline,
            "edited_text": written.texts[a][p][sample],
        }
        for a, arm in enumerate(arms, start=1)
        for p, i in enumerate(written.rows)
        for sample, baseline in enumerate(written.texts[0][p])
    )  # fmt: skip


def study_metrics(
    written: Written, scorer: SentimentScorer, concepts: Sequence[str], counting: str
) -> list[dict[str, Any]]:
    """The Phase 6 study's metrics of each arm: mean, population standard deviation and total over all texts.

    ``keyword_counts`` counts as asked; ``keyword_counts_continuation`` is always the whole words of the continuation.
    """
    sentiment = written.scores[scorer.outcome.name]
    return [
        {
            "keyword_counts": {name: _moments(written.scores[PREFIXES[counting] + name][arm]) for name in concepts},
            "keyword_counts_continuation": {
                name: _moments(written.scores[f"keyword_count_{name}"][arm]) for name in concepts
            },
            "sentiment": {key: value for key, value in _moments(sentiment[arm]).items() if key != "total"},
        }
        for arm in range(len(written.texts))
    ]


def _moments(values: FloatArray) -> dict[str, float | int]:
    return {"mean": float(values.mean()), "std": float(values.std()), "total": round(float(values.sum()))}
