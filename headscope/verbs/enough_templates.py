"""What a request must have before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

from headscope.errors import RequestError
from headscope.profiles.types import Profile
from headscope.stats.clusters import MIN_TEMPLATES
from headscope.stats.template_labels import templates_of


def require_verdicts(profile: Profile, concepts: Sequence[str] | str | None) -> None:
    """Refuse, before anything runs, a concept whose templates can give no verdict on any head, whatever is found.

    Sign-flips of n templates reach a family-wise p of 2 / 2^n, whatever the size of the family, so six are the least.

    Raises:
        RequestError: names the concept, how many templates it has, and how many would do.
    """
    templates, _ = templates_of(profile)
    for name in profile.chosen(concepts):
        prompts = profile.prompts_of(name)
        n_templates = len({templates[prompt.id] for prompt in prompts})
        if n_templates < MIN_TEMPLATES:
            raise RequestError(
                f'no verdict on "{name}" can be reached with {n_templates} templates',
                expected=f"at least {MIN_TEMPLATES} templates",
                got=f"{n_templates} templates, {len(prompts)} prompts",
                fix="add templates, or leave out --require-verdicts: estimates alone (descriptive) need no minimum",
            )
