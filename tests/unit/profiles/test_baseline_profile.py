"""Laws of the bundled profile ``baseline`` alone; ``test_prompt_laws.py`` has those that all bundled profiles share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from headscope.profiles.loading import load_profile
from tests.unit.profiles.bundled_prompts import CONTROL, BundledProfile, equal_pair_shares, templates, words_of


@pytest.fixture(scope="module")
def profile() -> BundledProfile:
    return BundledProfile.read("baseline")


def test_there_are_70_prompts_of_each_class_from_35_templates(profile: BundledProfile) -> None:
    assert {len(profile.of(name)) for name in profile.classes} == {70}
    assert list(templates(profile.of(CONTROL))) == [f"t{number:02d}" for number in range(1, 36)]


def test_the_vocabulary_is_small_enough_for_the_bundled_model(profile: BundledProfile) -> None:
    assert len({word for row in profile.rows for word in words_of(row["text"])}) <= 350


def test_60_of_70_pairs_have_equal_token_counts_for_the_bundled_model(
    profile: BundledProfile, project_root: Path
) -> None:
    tokenizer = Tokenizer.from_file(str(project_root / "headscope" / "models" / "demo" / "tokenizer.json"))
    shares = equal_pair_shares(profile, lambda text: tokenizer.encode(text, add_special_tokens=False).ids)
    assert min(shares.values()) >= 60 / 70, shares


def test_headscope_loads_every_row_of_it_without_a_warning(profile: BundledProfile) -> None:
    loaded = load_profile("baseline")
    assert [prompt.id for prompt in loaded.prompts] == [row["id"] for row in profile.rows]
    assert loaded.readouts == tuple(profile.settings["readouts"])
    assert loaded.warnings == ()
