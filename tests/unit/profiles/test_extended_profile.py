"""Laws of the bundled profile ``extended`` alone; ``test_prompt_laws.py`` has those that all bundled profiles share."""

from __future__ import annotations

import pytest

from headscope.profiles.loading import load_profile
from tests.unit.profiles.bundled_prompts import CONTROL, BundledProfile, frame, templates, words_of


@pytest.fixture(scope="module")
def profile() -> BundledProfile:
    return BundledProfile.read("extended")


@pytest.fixture(scope="module")
def baseline() -> BundledProfile:
    return BundledProfile.read("baseline")


def test_there_are_240_prompts_of_each_class_from_120_templates(profile: BundledProfile) -> None:
    assert {len(profile.of(name)) for name in profile.classes} == {240}
    assert list(templates(profile.of(CONTROL))) == [f"x{number:03d}" for number in range(1, 121)]


def test_words_and_readouts_are_those_of_baseline(profile: BundledProfile, baseline: BundledProfile) -> None:
    assert profile.lexicons == baseline.lexicons
    assert profile.settings["readouts"] == baseline.settings["readouts"]


def test_no_prompt_and_no_frame_is_one_of_baselines(profile: BundledProfile, baseline: BundledProfile) -> None:
    texts = [{tuple(words_of(row["text"])) for row in one.rows} for one in (profile, baseline)]
    frames = [{tuple(tuple(words_of(part)) for part in frame(row)) for row in one.rows} for one in (profile, baseline)]
    assert not texts[0] & texts[1]
    assert not frames[0] & frames[1]


def test_no_template_id_is_one_of_baselines(profile: BundledProfile, baseline: BundledProfile) -> None:
    assert not set(templates(profile.rows)) & set(templates(baseline.rows))


def test_headscope_loads_every_row_of_it_without_a_warning(profile: BundledProfile) -> None:
    loaded = load_profile("extended")
    assert [prompt.id for prompt in loaded.prompts] == [row["id"] for row in profile.rows]
    assert loaded.warnings == ()
