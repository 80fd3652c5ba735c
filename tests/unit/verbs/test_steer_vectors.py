"""Where the vectors of steering are read, and what cannot be steered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import headscope as hs
from headscope.errors import RequestError
from headscope.models.law_rows import tolerance_of
from headscope.profiles.loading import load_profile
from headscope.verbs.steer_vectors import ConceptVectors
from tests.small_world import small_model, small_profile


def test_places_of_two_classes_make_no_vector() -> None:
    """Controls without marked words that are the concept's own texts differ from them in nothing."""
    profile, model = small_profile(), small_model()
    concept = next(iter(profile.concepts))
    mine = [replace(one, pair=None) for one in profile.prompts if one.concept == concept]
    same = [replace(one, id=f"same-{one.id}", concept=profile.control, span=None) for one in mine]
    others = [one for one in profile.prompts if one.concept not in (concept, profile.control)]
    study = hs.Study(model, replace(profile, prompts=(*mine, *same, *(replace(one, pair=None) for one in others))))
    vectors = ConceptVectors(study.only(concept), concept, kind="mean_difference")
    for means in vectors._z[0].values():  # pyright: ignore[reportPrivateUsage]
        n = len(vectors.concept_rows)
        error = tolerance_of(model) * np.abs(means).max()
        np.testing.assert_allclose(means[:n].mean(axis=0), means[n:].mean(axis=0), rtol=0, atol=error)


def test_a_task_without_partners_has_no_answers_to_read_its_controls_with() -> None:
    profile = load_profile("agreement")
    alone = [replace(one, pair=None) for one in profile.prompts if one.concept != profile.control]
    others = list(load_profile("baseline").controls)
    unpaired = replace(profile, prompts=(*alone, *(replace(one, concept=profile.control) for one in others)))
    with pytest.raises(RequestError, match="no answers to read"):
        hs.steer(hs.load_model("demo"), unpaired, "3:3", generate=False)


def test_what_follows_the_prompt_cannot_be_steered_where_nothing_does() -> None:
    """The effect would be 0 by construction, and be called none."""
    model, profile = hs.load_model("demo"), load_profile("agreement")
    with pytest.raises(RequestError, match="no readouts"):
        hs.steer(model, profile, "3:3", steering_scope="generated", generate=False)
