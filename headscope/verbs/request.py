"""What every verb settles first: which concepts, which template each prompt counts to, how large a batch may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headscope.errors import RequestError
from headscope.models.head_model import HeadModel
from headscope.models.memory_budget import batch_tokens_within
from headscope.profiles.types import Profile
from headscope.stats import label_templates
from headscope.stats.clusters import MIN_TEMPLATES


@dataclass(frozen=True)
class Templates:
    """The template each prompt counts to, and what is to be said about it.

    Attributes:
        of: prompt id -> template label.
        warnings: a sentence where templates were inferred from text.
    """

    of: dict[str, str]
    warnings: tuple[str, ...]


def chosen_concepts(profile: Profile, concepts: Sequence[str] | str | None) -> tuple[str, ...]:
    """The concepts asked for, in the profile's order; all of them where None.

    Raises:
        RequestError: one is not in the profile, or the control class is asked for.
    """
    if concepts is None:
        return tuple(profile.concepts)
    asked = (concepts,) if isinstance(concepts, str) else tuple(concepts)
    for name in asked:
        if name not in profile.concepts:
            raise RequestError(
                f'profile "{profile.name}" has no concept "{name}"',
                expected=", ".join(profile.concepts),
                got=name,
                fix="headscope profiles show lists a profile's concepts",
            )
    return tuple(name for name in profile.concepts if name in asked)


def templates_of(profile: Profile) -> Templates:
    """The template of each prompt, inferred from the texts where the profile gives none.

    All prompts of the profile are labelled together, whichever of its concepts are asked for: which prompts are alike
    depends on what they are compared with, and a prompt must be the same unit in everything that is said of it.
    """
    prompts = profile.prompts
    labels = label_templates(
        [prompt.template for prompt in prompts],
        [prompt.text for prompt in prompts],
        spans=[prompt.span for prompt in prompts],
    )
    of = {prompt.id: label for prompt, label in zip(prompts, labels.labels, strict=True)}
    return Templates(of, () if labels.warning is None else (labels.warning,))


def require_verdicts(profile: Profile, concepts: Sequence[str] | str | None) -> None:
    """Refuse, before anything runs, a concept whose templates can give no verdict on any head, whatever is found.

    Sign-flips of n templates reach a family-wise p of 2 / 2^n, whatever the size of the family, so six are the least.

    Raises:
        RequestError: names the concept, how many templates it has, and how many would do.
    """
    templates = templates_of(profile).of
    for name in chosen_concepts(profile, concepts):
        prompts = profile.prompts_of(name)
        n_templates = len({templates[prompt.id] for prompt in prompts})
        if n_templates < MIN_TEMPLATES:
            raise RequestError(
                f'no verdict on "{name}" can be reached with {n_templates} templates',
                expected=f"at least {MIN_TEMPLATES} templates",
                got=f"{n_templates} templates, {len(prompts)} prompts",
                fix="add templates, or leave out --require-verdicts: estimates alone (descriptive) need no minimum",
            )


def batch_budget(model: HeadModel, batch_tokens: int | None) -> int:
    """Most tokens of a batch: as asked, else what fits the model's memory budget.

    Raises:
        RequestError: it is not positive, or not even one token fits.
    """
    if batch_tokens is None:
        return batch_tokens_within(model)
    if batch_tokens < 1:
        raise RequestError("batch_tokens must be positive", expected="1 or more", got=str(batch_tokens))
    return batch_tokens
