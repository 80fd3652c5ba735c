"""Mistakes 3, 4 and 5 of the Phase 6 study: the prompt is counted, sentiment is silently 0, parts of words count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from headscope.api import ablate
from headscope.errors import RequestError
from headscope.measure.generation import TextPasses
from headscope.measure.outcomes.sentiment import load_sentiment
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.profiles.words import count_words
from headscope.runs.safe_pickle import read_plain_pickle
from headscope.verbs.ablate import AblationResult
from tests.end_to_end.conftest import type_command
from tests.laws.families import VOCABULARY, word_tokenizer

HEAD = "1:2"


def says(monkeypatch: pytest.MonkeyPatch, model: HeadModel, baseline: str, edited: str) -> None:
    """Let the model write these texts; everything after the writing is the real path."""
    ids = [tuple(model.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (baseline, edited)]

    def write(passes: TextPasses, *_: Any, **__: Any) -> list[Any]:
        n_samples = passes.sampling.samples
        return [[[ids[min(a, 1)]] * n_samples for _ in passes.prompts] for a in range(len(passes.arms))]

    monkeypatch.setattr(TextPasses, "write", write)


def effect(result: AblationResult, outcome: str) -> Any:
    rows = result.table[(result.table["outcome"] == outcome) & (result.table["edit"] == "zero")]
    return rows.iloc[0]


def test_phase6_mistake_3_the_prompt_is_counted(
    model: HeadModel, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts full of keywords, continuations without one: the count is 0. The study's is one for nearly each text."""
    says(monkeypatch, model, " and the garden was full.", " and the garden was empty.")
    result = ablate(model, profile, HEAD, concept="gratitude", edits="zero", keyword_counting="phase6", max_tokens=4)
    prompts = profile.prompts_of("gratitude")
    words = profile.concepts["gratitude"].lexicon.words
    assert sum(count_words(prompt.text, words) for prompt in prompts) >= 12
    ours = effect(result, "keyword_count_gratitude")
    assert (ours["baseline_mean"], ours["edited_mean"]) == (0.0, 0.0)
    assert (ours["estimate"], ours["p_value"]) == (0.0, 1.0)
    metrics = result.record["baseline_metrics"]
    assert metrics["keyword_counts_continuation"]["gratitude"]["total"] == 0
    assert metrics["keyword_counts"]["gratitude"]["total"] >= 12
    assert not set(result.tables["texts"]["baseline_text"]) & {prompt.text for prompt in prompts}


def test_phase6_mistake_3_counts_are_paired_with_a_test_an_interval_and_a_smallest_detectable_effect(
    model: HeadModel, profile: Profile
) -> None:
    result = ablate(model, profile, "1:*,2:*", concept="gratitude", max_tokens=15)
    rows = result.table[result.table["outcome"] == "keyword_count_gratitude"]
    assert set(rows["edit"]) == {"mean", "zero"}
    words = profile.concepts["gratitude"].lexicon.words
    for _, row in rows.iterrows():
        texts = result.tables["texts"]
        texts = texts[texts["edit"] == row["edit"]]
        difference = [
            count_words(edited, words) - count_words(baseline, words)
            for baseline, edited in zip(texts["baseline_text"], texts["edited_text"], strict=True)
        ]
        assert row["n_prompts"] == len(difference)
        assert any(difference)
        assert row["estimate"] == pytest.approx(np.mean(difference))
        assert row["ci_low"] <= row["estimate"] <= row["ci_high"]
        assert 0 < row["p_value"] <= 1
        assert row["mde"] > 0


def classifier(folder: Path, labels: tuple[str, ...]) -> Path:
    """A tiny classifier whose last label always wins, with a word-level tokenizer."""
    config = DistilBertConfig(
        vocab_size=VOCABULARY, dim=16, hidden_dim=16, n_layers=1, n_heads=2, max_position_embeddings=64,
        num_labels=len(labels), id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
    )  # fmt: skip
    torch.manual_seed(0)
    classifier = DistilBertForSequenceClassification(config)
    with torch.no_grad():
        classifier.classifier.bias[-1] = 9.0
    classifier.save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def sentiment_of(model: HeadModel, profile: Profile, name: Path | str) -> AblationResult:
    return ablate(model, profile, HEAD, concept="gratitude", edits="zero", sentiment=str(name), max_tokens=3)


def test_phase6_mistake_4_sentiment_silently_0(model: HeadModel, profile: Profile, tmp_path: Path) -> None:
    """A label in another case counts; one of unknown sign stops the run before it begins."""
    known = classifier(tmp_path / "lower", ("negative", "positive"))
    result = sentiment_of(model, profile, known)
    assert effect(result, "sentiment_lower")["baseline_mean"] > 0.9
    scorer = result.record["sentiment"]
    assert scorer["name"] == str(known)
    assert scorer["version"]
    assert scorer["label_signs"] == {"negative": -1.0, "positive": 1.0}
    unknown = classifier(tmp_path / "numbered", ("LABEL_0", "LABEL_1"))
    with pytest.raises(RequestError, match="sign is unknown") as caught:
        sentiment_of(model, profile, unknown)
    assert "LABEL_0" in str(caught.value)


@pytest.mark.parametrize(
    ("what", "words"),
    [("no head", "classifier.weight"), ("truncated", "SafetensorError"), ("no tokenizer", "cannot be loaded")],
)
def test_phase6_mistake_4_a_scorer_that_is_not_whole_is_an_error(what: str, words: str, tmp_path: Path) -> None:
    """Without its last layer transformers scores by noise, and says so in its log alone."""
    folder = classifier(tmp_path / "scorer", ("negative", "positive"))
    file = folder / "model.safetensors"
    if what == "no head":
        save_file({k: v for k, v in load_file(file).items() if "classifier" not in k}, file, metadata={"format": "pt"})
    elif what == "truncated":
        file.write_bytes(file.read_bytes()[:500])
    else:
        (folder / "tokenizer.json").write_text("{")
    with pytest.raises(RequestError, match="the sentiment classifier") as caught:
        load_sentiment(str(folder))
    assert words in str(caught.value)


def test_phase6_mistake_4_a_scorer_that_is_not_there_is_an_error_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("./gone", "someone/never-downloaded"):
        ended = type_command("ablate", "--model", "demo", "--heads", HEAD, "--sentiment", name, "--out", "run")
        assert ended.code == 2
        assert "classifier" in ended.err
        assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_phase6_mistake_4_vader_scores_text_and_stands_in_the_record(
    model: HeadModel, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, model, " and I am so happy and grateful.", " and I am so angry.")
    result = ablate(model, profile, HEAD, concept="gratitude", edits="zero", max_tokens=4)
    row = effect(result, "sentiment_vader")
    assert row["baseline_mean"] > 0.5
    assert row["edited_mean"] < -0.3
    assert result.record["sentiment"]["name"] == "vader"
    assert result.record["sentiment"]["version"]


def test_phase6_mistake_5_substring_counting(
    model: HeadModel, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "mad" is not in "made", and "thanks" is one word: through the verb, by both countings."""
    says(monkeypatch, model, " she made it, thanks.", " she went mad.")
    result = ablate(model, profile, HEAD, concept="apology", edits="zero", keyword_counting="phase6", max_tokens=4)
    anger = effect(result, "keyword_count_anger")
    n_mad = count_words("she went mad", profile.concepts["anger"].lexicon.words)
    assert anger["baseline_mean"] == 0.0
    assert anger["edited_mean"] == n_mad
    study = effect(result, "keyword_count_phase6_anger")
    assert study["baseline_mean"] >= 1.0  # the study finds "mad" in "made"
    gratitude = effect(result, "keyword_count_gratitude")
    n_thanks = count_words("thanks", profile.concepts["gratitude"].lexicon.words)
    assert (gratitude["baseline_mean"], gratitude["edited_mean"]) == (n_thanks, 0.0)
    assert effect(result, "keyword_count_phase6_gratitude")["baseline_mean"] == 2.0  # "thank" and "thanks"


def test_phase6_mistake_5_the_command_counts_whole_words_unless_told_otherwise(tmp_path: Path) -> None:
    command = ("ablate", "--model", "demo", "--heads", HEAD, "--concept", "gratitude", "--max-tokens", "3", "--quiet")
    plain, study = tmp_path / "plain.json", tmp_path / "study.pkl"
    assert type_command(*command, "--out", tmp_path / "a", "--output", plain).code == 0
    asked = ("--keyword-counting", "phase6", "--out", tmp_path / "b", "--output", study)
    assert type_command(*command, *asked).code == 0
    ours = json.loads(plain.read_text())["baseline_metrics"]
    theirs = read_plain_pickle(study)["baseline_metrics"]
    assert ours["keyword_counts"] == ours["keyword_counts_continuation"]
    assert theirs["keyword_counts_continuation"] == ours["keyword_counts"]
    assert theirs["keyword_counts"]["gratitude"]["total"] >= 60
