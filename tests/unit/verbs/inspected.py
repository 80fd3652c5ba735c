"""The bundled model, a part of its profile, and two prompts to inspect: one of the profile's, and a typed text."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import headscope as hs
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile, Prompt
from headscope.verbs.inspect import Inspector
from headscope.verbs.inspection import TYPED, TYPED_TEMPLATE, Inspection

HEADS = "3:*,1:0"
MANY = "1:*,2:*,3:*"
TEXT = "Thank you so much"
ABLATED = ("mean", "zero", "bos")
TEMPLATE = (
    "{% for m in messages %}### {{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}### assistant: I{% endif %}"
)


@cache
def demo() -> HeadModel:
    return hs.load_model("demo", device="cpu")


@cache
def profile() -> Profile:
    """Seven templates of two concepts and their controls, two readouts, and a typed text beside them."""
    bundled = hs.load_profile("baseline")
    kept = sorted({prompt.template or "" for prompt in bundled.controls})[:7]
    prompts = [
        one for one in bundled.prompts if one.template in kept and one.concept in ("gratitude", "anger", "neutral")
    ]
    typed = Prompt(TYPED, TEXT, "gratitude", template=TYPED_TEMPLATE)
    return replace(
        bundled, concepts={name: bundled.concepts[name] for name in ("gratitude", "anger")},
        prompts=(typed, *prompts), readouts=bundled.readouts[:2],
    )  # fmt: skip


def without_typed() -> Profile:
    return replace(profile(), prompts=tuple(prompt for prompt in profile().prompts if prompt.id != TYPED))


@cache
def study(seed: int = 0) -> hs.Study:
    return hs.Study(demo(), profile(), seed=seed)


@cache
def inspector() -> Inspector:
    return Inspector(demo(), without_typed())


@cache
def own_id() -> str:
    return without_typed().prompts_of("gratitude")[2].id


def views() -> dict[str, Inspection]:
    """The id that the verbs know a prompt by -> the prompt inspected: one of the profile's, and a typed text."""
    return {own_id(): inspector().read(prompt=own_id()), TYPED: inspector().read(TEXT)}
