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
    scope: str = "all",
    family: str = "specificity",
    status: str = "exploratory",
) -> list[EffectBlock]:
    """Blocks for ``effects_table``, one for each other concept, outcome ``specificity_nats:<other>``.

    Args:
        concept: the concept whose prompts were measured.
        tests: as in ``EffectBlock``.
        own: [n_prompts, n_tests], change of the concept's own log-odds, in nats.
        others: other concept -> [n_prompts, n_tests], change of its log-odds on the same prompts.
        templates: template id of each prompt.
        edit: the edit, one table row's worth.
        scope: of the edit.
        family: use one name for all concepts: they are corrected together.
        status: of the rows.

    In the table ``edited_mean`` is the own change, ``baseline_mean`` the other's, both turned to be positive.
    """
    turned = _turned(own, templates)
    return [
        EffectBlock(
            concept=concept,
            outcome=f"{SPECIFICITY_PREFIX}{other}",
            unit="nats",
            edit=edit,
            scope=scope,
            tests=tests,
            baseline=_turned(change, templates),
            edited=turned,
            templates=templates,
            family=family,
            status=status,
            simultaneous=True,
        )
        for other, change in others.items()
    ]


def _turned(change: NDArray[np.floating], templates: Sequence[str | None]) -> FloatArray:
    values = np.asarray(change, dtype=np.float64)
    mean = equal_weight_mean(template_means(values, templates).means)
    return values * np.where(mean < 0.0, -1.0, 1.0)
