"""What the model says with and without a set of heads: texts of both arms, scored, with the effect of each edit.

For each prompt both arms are written from the same random numbers, scored on the continuation alone, averaged over
samples, and compared prompt by prompt: words of each concept's lexicon, sentiment, and distinct-2 (repetition).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from headscope.chat import Chat
from headscope.measure.edits import Arm, ControlStates
from headscope.measure.generation import check_room, generate
from headscope.measure.layout import PromptLayout
from headscope.measure.patching import PatchStates
from headscope.measure.protocols import Work, here
from headscope.measure.sampling import Sampling, stop_ids
from headscope.measure.texts import SentimentScorer, distinct_2
from headscope.profiles.phase6_words import counting_words
from headscope.profiles.types import Profile
from headscope.profiles.words import count_substrings_phase6, count_words
from headscope.settings import Writing
from headscope.stats import EffectBlock
from headscope.study import Study
from headscope.verbs.effect_rows import Edited
from headscope.vocabulary import shown_token

FloatArray = npt.NDArray[np.float64]

KEYWORD_COUNTING = ("continuation", "phase6")


@dataclass(frozen=True)
class Written:
    """Texts of all arms and their scores.

    Attributes:
        rows: indices of the study's prompts that were continued.
        texts: ``texts[arm][prompt][sample]``; arm 0 is the unedited model.
        scores: outcome -> [n_arms, n_prompts, n_samples]; NaN where a text has no score.
        units: outcome -> unit.
        n_halved: how many batches did not fit into memory and were written in halves.
    """

    rows: list[int]
    texts: list[list[list[str]]]
    scores: dict[str, FloatArray]
    units: dict[str, str]
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
    lengths = {prompt.id: len(study.encoder.encode(prompt.text, name=f"prompt {prompt.id}")) for prompt in prompts}
    check_room(study.model, lengths, max_tokens)


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
    study: Study,
    edits: Sequence[Edited],
    sampling: Sampling,
    scorer: SentimentScorer,
    *,
    keyword_counting: str,
) -> Written:
    """Continue every prompt of the study's concepts, unedited and under each edit, and score the texts."""
    rows = [i for i, layout in enumerate(study.layouts) if layout.concept in study.names]
    prompts = [study.layouts[i] for i in rows]
    arms = [edit.arm for edit in edits]
    return continued(
        study, rows, prompts, arms, sampling, scorer, states=study.states({arm.kind for arm in arms}),
        keyword_counting=keyword_counting,
        work=study.work("texts", arms, prompts, sampling=vars(sampling)),
    )  # fmt: skip


def continued(
    study: Study,
    rows: list[int],
    prompts: Sequence[PromptLayout],
    edited: Sequence[Arm],
    sampling: Sampling,
    scorer: SentimentScorer,
    *,
    states: ControlStates | PatchStates | None,
    keyword_counting: str = "continuation",
    work: Work = here,
) -> Written:
    """Continue ``prompts``, which are the study's ``rows``, unedited and under each arm, and score the texts."""
    arms = [None, *edited]
    halvings: list[int] = []
    ids = generate(
        study.model, prompts, arms, sampling, states=states, batch_tokens=study.batch_tokens, pack=study.pack,
        progress=study.progress, halved=halvings.append, work=work,
    )  # fmt: skip
    decode: Callable[..., str] = study.model.tokenizer.decode
    texts = [
        [
            [decode(list(s), skip_special_tokens=True, clean_up_tokenization_spaces=False) for s in samples]
            for samples in of_arm
        ]
        for of_arm in ids
    ]
    scores, units = _score(study.profile, texts, scorer)
    if keyword_counting == "phase6":
        whole = [
            [[prompt.tokens.text + text for text in samples] for prompt, samples in zip(prompts, of_arm, strict=True)]
            for of_arm in texts
        ]
        for name, concept in study.profile.concepts.items():
            words = counting_words(concept)
            scores[f"keyword_count_phase6_{name}"] = _each(
                whole, lambda text, w=words: count_substrings_phase6(text, w)
            )
            units[f"keyword_count_phase6_{name}"] = "keywords_per_prompt_and_text"
    return Written(rows, texts, scores, units, sum(halvings))


def _score(
    profile: Profile, texts: list[list[list[str]]], scorer: SentimentScorer
) -> tuple[dict[str, FloatArray], dict[str, str]]:
    scores = {
        f"keyword_count_{name}": _each(texts, lambda text, w=concept.lexicon.words: count_words(text, w))
        for name, concept in profile.concepts.items()
    }
    units = dict.fromkeys(scores, "keywords_per_text")
    flat = [text for of_arm in texts for samples in of_arm for text in samples]
    scores[scorer.outcome] = scorer.score(flat).reshape(len(texts), len(texts[0]), -1)
    units[scorer.outcome] = "sentiment_-1_to_1"
    scores["distinct_2"] = _each(texts, distinct_2)
    units["distinct_2"] = "share_of_word_pairs"
    return scores, units


def _each(texts: list[list[list[str]]], score: Callable[[str], float]) -> FloatArray:
    return np.array([[[score(text) for text in samples] for samples in of_arm] for of_arm in texts], dtype=np.float64)


def generated_blocks(study: Study, edits: Sequence[Edited], written: Written, scope: str) -> list[EffectBlock]:
    """Blocks for ``stats.effects_table``: every score of every edit, for each concept's prompts; all exploratory."""
    blocks: list[EffectBlock] = []
    concept_of = [study.layouts[i].concept for i in written.rows]
    for outcome, scores in written.scores.items():
        per_prompt = scores.mean(axis=2)
        for kind in dict.fromkeys(edit.arm.kind for edit in edits):
            chosen = [a for a, edit in enumerate(edits, start=1) if edit.arm.kind == kind]
            tests = [edits[a - 1].test() for a in chosen]
            for name in study.names:
                mine = [p for p, concept in enumerate(concept_of) if concept == name]
                blocks.append(
                    EffectBlock(
                        name,
                        outcome,
                        written.units[outcome],
                        kind,
                        scope,
                        tests,
                        per_prompt[0, mine],
                        per_prompt[np.ix_(chosen, mine)].T,
                        study.labels_of([written.rows[p] for p in mine]),
                        family=f"generation/{outcome}/{kind}",
                    )
                )
    return blocks


def texts_table(study: Study, edits: Sequence[Edited], written: Written) -> pd.DataFrame:
    """The ``texts`` table: continuations of both arms side by side, one row for each edit, prompt and sample."""
    rows: list[dict[str, object]] = []
    for a, edit in enumerate(edits, start=1):
        for p, i in enumerate(written.rows):
            asked = study.layouts[i]
            for sample, baseline in enumerate(written.texts[0][p]):
                rows.append(
                    {
                        "concept": asked.concept,
                        "prompt_id": asked.id,
                        "sample": sample,
                        "prompt": asked.tokens.text,
                        "heads": str(edit.arm.heads),
                        "edit": edit.arm.kind,
                        "direction": "",
                        "source_id": "",
                        "baseline_text": baseline,
                        "edited_text": written.texts[a][p][sample],
                    }
                )
    return pd.DataFrame(rows)


def study_metrics(
    written: Written, scorer: SentimentScorer, concepts: Sequence[str], counting: str
) -> list[dict[str, Any]]:
    """The Phase 6 study's metrics of each arm: mean, population standard deviation and total over all texts.

    ``keyword_counts`` counts as asked; ``keyword_counts_continuation`` is always the whole words of the continuation.
    """
    prefix = "keyword_count_phase6_" if counting == "phase6" else "keyword_count_"
    return [
        {
            "keyword_counts": {name: _moments(written.scores[prefix + name][arm]) for name in concepts},
            "keyword_counts_continuation": {
                name: _moments(written.scores[f"keyword_count_{name}"][arm]) for name in concepts
            },
            "sentiment": {
                key: value for key, value in _moments(written.scores[scorer.outcome][arm]).items() if key != "total"
            },
        }
        for arm in range(len(written.texts))
    ]


def _moments(values: FloatArray) -> dict[str, float | int]:
    return {"mean": float(values.mean()), "std": float(values.std()), "total": round(float(values.sum()))}
