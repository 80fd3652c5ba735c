"""The study's published figures, from its own prompts and GPT-2's own tokenizer, by headscope's own functions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from transformers import GPT2Tokenizer

from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile
from headscope.profiles.words import (
    POSITION_WORDS,
    count_substrings_phase6,
    counting_words,
    find_words,
    screening_words,
)
from headscope.runs.phase6 import read_head_scores
from headscope.stats.ranking import OVERALL, layer_table, rank_heads
from headscope.tokens import Encoder
from headscope.verbs.phase6_screen import matching_positions

pytestmark = pytest.mark.oracle
EMOTIONS = ("gratitude", "anger", "apology")


@pytest.fixture(scope="module")
def encoder(shared: Path) -> Encoder:
    tokenizer = GPT2Tokenizer.from_pretrained(shared / "tokenizers" / "gpt2")
    return Encoder(tokenizer, tokenizer.bos_token_id, 1024)


@pytest.fixture(scope="module")
def prompts(shared: Path) -> Profile:
    return load_profile(shared / "reference" / "phase6" / "prompts")


@pytest.fixture(scope="module")
def published(shared: Path) -> pd.DataFrame:
    return read_head_scores(shared / "reference" / "phase6" / "head_scores_gpt2.json").table()


def test_the_mean_of_one_over_the_number_of_tokens(encoder: Encoder, prompts: Profile) -> None:
    """What a head that attends to all tokens alike gives to the last token itself: the study's confound in a figure."""
    means = {
        name: sum(1 / len(encoder.encode(prompt.text)) for prompt in prompts.prompts_of(name)) / 70
        for name in (*EMOTIONS, "neutral")
    }
    published = {"gratitude": 0.150170, "anger": 0.143039, "apology": 0.132247, "neutral": 0.158067}
    assert means == pytest.approx(published, abs=5e-7)  # printed with six digits, as all below


def positions(encoder: Encoder, prompts: Profile, name: str) -> list[tuple[int, ...]]:
    words = frozenset(screening_words(prompts.concepts[name]))
    encoded = [encoder.encode(prompt.text) for prompt in prompts.prompts_of(name)]
    return [matching_positions(encoder.tokenizer, one.ids, words, one.n_bos) for one in encoded]


def test_the_study_found_a_word_in_31_0_and_4_prompts_all_at_position_1(encoder: Encoder, prompts: Profile) -> None:
    found = {name: [one for one in positions(encoder, prompts, name) if one] for name in EMOTIONS}
    assert {name: len(rows) for name, rows in found.items()} == {"gratitude": 31, "anger": 0, "apology": 4}
    assert {place for rows in found.values() for row in rows for place in row} == {1}


def test_with_the_leading_space_stripped_it_would_have_found_53_38_and_58(encoder: Encoder, prompts: Profile) -> None:
    counts: dict[str, int] = {}
    for name in EMOTIONS:
        tokens = [encoder.encode(prompt.text).ids[1:] for prompt in prompts.prompts_of(name)]
        pieces = [{encoder.tokenizer.decode([t]).lower().strip(" .,!?;:") for t in ids} for ids in tokens]
        counts[name] = sum(bool(found & set(POSITION_WORDS[name])) for found in pieces)
    assert counts == {"gratitude": 53, "anger": 38, "apology": 58}


def test_spans_by_characters_find_these_and_words_of_several_tokens_too(encoder: Encoder, prompts: Profile) -> None:
    for name, fewest in (("gratitude", 53), ("anger", 38), ("apology", 58)):
        words = POSITION_WORDS[name]
        spans = [(p.text, span) for p in prompts.prompts_of(name) for span in list(find_words(p.text, words))[:1]]
        assert len(spans) >= fewest
        assert all(encoder.encode(text).of_span(span) for text, span in spans)


def test_the_prompts_alone_hold_the_published_keywords(prompts: Profile) -> None:
    floors = {
        (name, counted): sum(
            count_substrings_phase6(prompt.text, counting_words(prompts.concepts[counted]))
            for prompt in prompts.prompts_of(name)
        )
        for name in (*EMOTIONS, "neutral")
        for counted in EMOTIONS
    }
    published = {("gratitude", "gratitude"): 70, ("gratitude", "anger"): 2, ("anger", "anger"): 38}
    published |= {("apology", "apology"): 58, ("apology", "anger"): 4}
    assert {key: count for key, count in floors.items() if count} == published


def test_the_432_published_scores_give_the_published_top_lists(published: pd.DataFrame) -> None:
    assert len(published) == 432
    ranking = rank_heads(published, top_n=10, by="screen", signed=True)

    def top(name: str, n: int) -> dict[str, float]:
        rows = ranking[ranking["concept"] == name].head(n)
        return {f"{row.layer}:{row.head}": row.score for row in rows.itertuples()}

    def same(found: dict[str, float], expected: dict[str, float], tolerance: float) -> None:
        assert list(found) == list(expected)
        assert found == pytest.approx(expected, abs=tolerance)

    gratitude = {"1:10": 0.340434, "3:2": 0.242236, "1:11": 0.228443, "0:3": 0.212430, "11:8": 0.176943}
    gratitude |= {"0:5": 0.171414, "3:6": 0.103138, "1:3": 0.093397, "0:4": 0.087875, "0:6": 0.064671}
    same(top("gratitude", 10), gratitude, 5e-7)
    same(top("anger", 3), {"11:3": 0.118375, "2:2": 0.106862, "2:4": 0.047199}, 5e-7)
    same(top("apology", 3), {"2:2": 0.083249, "2:4": 0.048264, "11:5": 0.046589}, 5e-7)
    same(top(OVERALL, 3), {"1:10": 0.1195, "3:2": 0.1097, "1:11": 0.0788}, 5e-5)


def test_the_published_means_of_both_classes_stand_beside_each_difference(published: pd.DataFrame) -> None:
    rows = published.set_index(["concept", "layer", "head"])
    for head, (emotion, neutral) in {(1, 10): (0.572721, 0.232287), (11, 8): (0.636841, 0.459898)}.items():
        row = rows.loc[("gratitude", *head)]
        assert (row["concept_mean"], row["control_mean"]) == pytest.approx((emotion, neutral), abs=5e-7)
    gaps = published["concept_mean"] - published["control_mean"] - published["estimate"]
    assert float(gaps.abs().max()) < 2e-6


def test_layers_are_described_from_the_published_scores(published: pd.DataFrame) -> None:
    layers = layer_table(published)
    assert len(layers[layers["concept"] == "gratitude"]) == 12
    best = layers[(layers["concept"] == "gratitude") & (layers["layer"] == 1)].iloc[0]
    assert best["max_delta_head"] == 10
    assert best["max_delta"] == pytest.approx(0.340434, abs=5e-7)
