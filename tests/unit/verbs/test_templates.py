"""A prompt counts to one template, whatever stage of a run looks at it and whichever concepts were asked for."""

import random
from dataclasses import replace

import pytest

from headscope.api import screen
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile, Prompt
from headscope.stats.template_labels import templates_of
from headscope.study import Study
from headscope.verbs.patch_pairs import patchable_concepts
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import CONCEPTS, CONTROL, NAMES, SLOT_WORDS, make_profile

FILLERS = ("felt", "because", "work", "went", "slow", "while", "rain", "came", "early", "people", "stayed", "quiet")
N_SETS = 25


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return worlds()[0].load()


def label_free_profile(seed: int) -> Profile:
    """Texts of a few frames, each word of which may be another: alike, less alike, and links between the two."""
    draw = random.Random(seed)
    frames = [draw.choices(FILLERS, k=6) for _ in range(4)]
    prompts: list[Prompt] = []
    for concept in (*CONCEPTS, CONTROL):
        for number in range(10):
            words = [draw.choice(FILLERS) if draw.random() < 0.3 else word for word in draw.choice(frames)]
            slot = draw.choice(SLOT_WORDS[concept])
            start = len(" ".join([draw.choice(NAMES), ""]))
            name = draw.choice([name for name in NAMES if len(name) == start - 1])
            text = " ".join([name, slot, *words])
            prompts.append(Prompt(f"{concept}-{number}", text, concept, span=(start, start + len(slot))))
    return replace(make_profile(), prompts=tuple(prompts), readouts=())


def test_every_stage_and_every_choice_of_concepts_gives_a_prompt_the_same_template(model: HeadModel):
    n_alone = 0
    for seed in range(N_SETS):
        profile = label_free_profile(seed)
        of, _ = templates_of(profile)
        assert set(of) == {prompt.id for prompt in profile.prompts}
        for concepts in (None, *CONCEPTS):
            layouts = Study(model, profile, concepts=concepts, batch_tokens=1000).layouts
            assert {one.id: one.template for one in layouts} == {one.id: of[one.id] for one in layouts}
        n_alone += len(set(of.values()))
    assert n_alone > 2 * N_SETS  # the sets do fall into several templates


@pytest.mark.parametrize("protocol", ["matched", "phase6"])
def test_a_screen_groups_prompts_as_the_sweep_does(model: HeadModel, protocol: str):
    for seed in range(6):
        profile = label_free_profile(seed)
        of, _ = templates_of(profile)
        for concepts in (None, *CONCEPTS):
            lenient = protocol == "matched"  # the study's protocol has no use for it
            values = screen(model, profile, protocol=protocol, concepts=concepts, allow_low_coverage=lenient).values
            found = dict(
                zip(map(str, values["prompt"].to_numpy()), map(str, values["template"].to_numpy()), strict=True)
            )
            assert found == {prompt: of[prompt] for prompt in found}


def test_what_can_be_patched_is_asked_of_the_same_templates(model: HeadModel):
    """A class of one template cannot be patched: that depends on its own prompts, not on which others are asked for."""
    profile = label_free_profile(3)
    paired = [replace(one, pair=one.id.replace(one.concept, CONTROL)) if one.concept != CONTROL else one
              for one in profile.prompts]  # fmt: skip
    profile = replace(profile, prompts=tuple(paired))
    every = patchable_concepts(Study(model, profile))
    alone = [name for name in CONCEPTS if patchable_concepts(Study(model, profile, concepts=name))]
    assert every == alone
