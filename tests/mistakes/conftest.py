"""The bundled model and a small part of its profile, for the paths a user takes."""

from __future__ import annotations

import dataclasses

import pytest

from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile

TEMPLATES = 7  # enough for p-values


@pytest.fixture(scope="package")
def model() -> HeadModel:
    """The bundled model. Not to be changed by a test."""
    return load_model("demo")


@pytest.fixture(scope="package")
def profile() -> Profile:
    """The first seven templates of the bundled profile: 14 prompts of each class."""
    whole = load_profile("baseline")
    kept = sorted({prompt.template or "" for prompt in whole.controls})[:TEMPLATES]
    return dataclasses.replace(whole, prompts=tuple(p for p in whole.prompts if p.template in kept))
