"""One measured effect with what is needed to say it: size, interval, p, power.

An effect is *detectable* where the strictest p it has (max-T over its family, else q, else p) is below .05 *and* its
interval leaves out the value of no change: that it is not 0, and nothing about its size. It is *beyond* a size where
its simultaneous interval is. Everything else is called not detectable, with the smallest effect that could have been
seen and the number of templates that would decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, isfinite, isnan, nan
from typing import Any, Literal

import pandas as pd

from headscope.report.numbers import as_float
from headscope.stats.clusters import MIN_TEMPLATES
from headscope.stats.power import templates_for_power
from headscope.terms import ALPHA, KL, PERPLEXITY_RATIO

RATIO_OUTCOMES = frozenset({PERPLEXITY_RATIO})
DIVERGENCES = frozenset({KL})

Missing = Literal["too_few_templates", "no_test_of_divergence", "not_measured"]


@dataclass(frozen=True)
class Effect:
    """One row of ``effects``, ``screen`` or ``assay``; NaN is missing.

    ``heads`` is what was edited, or the head that was read. ``estimate`` is edited - baseline (of a ratio: edited /
    baseline) or concept - control, and ``unit`` its unit and that of ``low``, ``high`` (95 % interval), ``sim_low``,
    ``sim_high`` (simultaneous interval) and ``mde`` (smallest effect detectable with 80 % power). ``before`` and
    ``after`` are means of baseline and edited arm, or of control and concept. ``n_tests``: tests of its family.
    """

    concept: str
    heads: str
    edit: str
    outcome: str
    unit: str
    estimate: float
    low: float
    high: float
    sim_low: float
    sim_high: float
    p_value: float
    p_max_t: float
    q_value: float
    d_z: float
    mde: float
    before: float
    after: float
    n_prompts: int
    n_templates: int
    n_tests: int

    @property
    def null(self) -> float:
        """The value of no change: 1 for a ratio, else 0."""
        return 1.0 if self.outcome in RATIO_OUTCOMES else 0.0

    @property
    def strictest_p(self) -> tuple[str, float]:
        """The name and value of the p that decides: ``p_max_t``, else ``q``, else ``p``."""
        for name, value in (("p_max_t", self.p_max_t), ("q", self.q_value), ("p", self.p_value)):
            if not isnan(value):
                return name, value
        return "p", nan

    @property
    def direction(self) -> int:
        """-1 or 1 where the effect detectably lowers or raises the outcome, however little; 0 where not detectable."""
        if not self.strictest_p[1] < ALPHA:
            return 0
        return -1 if self.high < self.null else 1 if self.low > self.null else 0

    def beyond(self, size: float) -> int:
        """-1 or 1 where the simultaneous interval lies wholly below -``size`` or above ``size``, else 0."""
        return -1 if self.sim_high < -size else 1 if self.sim_low > size else 0

    @property
    def missing(self) -> Missing | None:
        """Why there is no p; None where there is one."""
        if not isnan(self.p_value):
            return None
        if isnan(self.estimate):
            return "not_measured"
        if self.outcome in DIVERGENCES and self.n_templates >= MIN_TEMPLATES:
            return "no_test_of_divergence"
        return "too_few_templates"

    @property
    def templates_needed(self) -> float:
        """Templates that would show an effect of this size with 80 % power at its family's level; NaN, inf if none."""
        return templates_for_power(self.d_z, n_tests=self.n_tests) if isfinite(self.d_z) else nan

    @property
    def prompts_needed(self) -> float:
        """The same in prompts, at as many prompts a template as here."""
        needed = self.templates_needed
        if not isfinite(needed) or not self.n_templates:
            return needed
        return float(ceil(needed * self.n_prompts / self.n_templates))


def effect_of(row: Mapping[Any, Any], n_tests: int = 1) -> Effect:
    """An ``Effect`` from a row of the tables ``effects``, ``screen`` or ``assay``."""

    def value(*names: str) -> float:
        found = [as_float(row[name]) for name in names if name in row]
        return found[0] if found else nan

    layer, head = row.get("layer"), row.get("head")
    address = str(row["heads"]) if "heads" in row else "" if layer is None else f"{int(layer)}:{int(as_float(head))}"
    same = ("estimate", "sim_low", "sim_high", "p_value", "p_max_t", "q_value", "d_z", "mde")
    n_prompts, n_templates = value("n_prompts"), value("n_templates")
    return Effect(
        concept=str(row["concept"]),
        heads=address,
        edit=str(row.get("edit", "")),
        outcome=str(row.get("outcome", row.get("measure", ""))),
        unit=str(row.get("unit", "")),
        low=value("ci_low"),
        high=value("ci_high"),
        before=value("baseline_mean", "control_mean"),
        after=value("edited_mean", "concept_mean"),
        n_prompts=0 if isnan(n_prompts) else int(n_prompts),
        n_templates=0 if isnan(n_templates) else int(n_templates),
        n_tests=n_tests,
        **{name: value(name) for name in same},
    )


def effects_of(rows: pd.DataFrame, everything: pd.DataFrame | None = None) -> list[Effect]:
    """Effects of a table's rows, in order; families are counted in ``everything`` (the table itself by default)."""
    whole = rows if everything is None else everything
    sizes = whole["family"].value_counts().to_dict() if "family" in whole.columns else {}
    return [effect_of(row, int(sizes.get(row.get("family"), 1))) for row in rows.to_dict("records")]
