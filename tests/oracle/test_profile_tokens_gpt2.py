"""The bundled profiles under GPT-2's own tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import GPT2Tokenizer

from tests.unit.profiles.bundled_prompts import BundledProfile, equal_pair_shares

pytestmark = pytest.mark.oracle
PROFILES = ("baseline", "extended")


@pytest.fixture(scope="module")
def tokenizer(shared: Path) -> GPT2Tokenizer:
    return GPT2Tokenizer.from_pretrained(shared / "tokenizers" / "gpt2")


@pytest.mark.parametrize("name", PROFILES)
def test_60_of_70_pairs_have_equal_token_counts_for_gpt2(name: str, tokenizer: GPT2Tokenizer) -> None:
    shares = equal_pair_shares(BundledProfile.read(name), tokenizer.encode)
    assert min(shares.values()) >= 60 / 70, shares


@pytest.mark.parametrize("name", PROFILES)
def test_every_lexicon_has_three_adjectives_and_three_nouns_of_one_token(name: str, tokenizer: GPT2Tokenizer) -> None:
    for lexicon, parts in BundledProfile.read(name).lexicons.items():
        single = {part: [len(tokenizer.encode(f" {word}")) for word in words].count(1) for part, words in parts.items()}
        assert min(single["adjective"], single["noun"]) >= 3, (lexicon, single)
