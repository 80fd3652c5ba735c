"""A model set by hand and eight templates of its profile, for tests that need a whole study and little time."""

from __future__ import annotations

from dataclasses import replace

from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import make_profile


def small_model() -> HeadModel:
    """The first world's."""
    return worlds()[0].load()


def small_profile() -> Profile:
    """Its profile's first eight templates, with the prompts of each class."""
    whole = make_profile()
    kept = {f"t{i:02d}" for i in range(8)}
    return replace(whole, prompts=tuple(prompt for prompt in whole.prompts if prompt.template in kept))
