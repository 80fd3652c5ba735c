"""Does removing a head change its own concept more than any other, on the same prompts?

For each prompt, the concept's own log-odds change and another concept's are each turned so that their mean over
templates is positive; the contrast is own - other, one number per prompt, so a head that lowers two concepts alike has
a contrast near 0 however large its effect. A head is specific where, for *every* other concept, the simultaneous
interval of the contrast lies beyond the smallest effect that matters (an intersection-union test, Berger 1982: no
further correction for the number of other concepts). Turning the other's sign by its own mean can only make the other
change look larger, so it errs against specificity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from headscope.stats.clusters import FloatArray, equal_weight_mean, template_means
from headscope.stats.tables import EffectBlock

SPECIFICITY_PREFIX = "specificity_nats:"


def specificity_blocks(
    concept: str,
    tests: Sequence[Mapping[str, object]],
    own: NDArray[np.floating],
    others: Mapping[str, NDArray[np.floating]],
    templates: Sequence[str | None],
    *,
    edit: str = "mean",
    family: str = "specificity",
) -> list[EffectBlock]:
    """Blocks for ``effects_table``, one for each other concept, outcome ``specificity_nats:<other>``.

    ``own`` is the change of the concept's own log-odds, [n_prompts, n_tests] in nats, and ``others`` that of each
    other concept's on the same prompts. All concepts have one ``family``: they are corrected together.
    In the table ``edited_mean`` is the own change, ``baseline_mean`` the other's, both turned to be positive.
    """
    turned = _turned(own, templates)
    return [
        EffectBlock(
            concept, f"{SPECIFICITY_PREFIX}{other}", "nats", edit, "all", tests, _turned(change, templates), turned,
            templates, family=family, simultaneous=True,
        )
        for other, change in others.items()
    ]  # fmt: skip


def unpaired_specificity_blocks(
    concept: str,
    tests: Sequence[Mapping[str, object]],
    own: NDArray[np.floating],
    templates: Sequence[str | None],
    others: Mapping[str, tuple[NDArray[np.floating], Sequence[str | None]]],
    *,
    edit: str = "mean",
    family: str = "specificity",
) -> list[EffectBlock]:
    """As ``specificity_blocks`` for tasks, whose prompts cannot be read with another task's answers.

    ``others``: task -> the change on its own prompts [n_prompts, n_tests], nats, and their templates. The contrast is
    a difference of two means over templates that are not paired.
    """
    turned = _turned(own, templates)
    return [
        EffectBlock(
            concept, f"{SPECIFICITY_PREFIX}{other}", "nats", edit, "all", tests, _turned(change, of), turned,
            templates, family=family, simultaneous=True, baseline_templates=of,
        )
        for other, (change, of) in others.items()
    ]  # fmt: skip


def _turned(change: NDArray[np.floating], templates: Sequence[str | None]) -> FloatArray:
    values = np.asarray(change, dtype=np.float64)
    mean = equal_weight_mean(template_means(values, templates).means)
    return values * np.where(mean < 0.0, -1.0, 1.0)
