"""Does an edit harm text that has nothing to do with the concept? Three answers, not two.

Damage is the ratio of the control text's perplexity, edited / baseline, with its 95 % interval over templates.

- *bounded*: the upper limit is at most the ratio that is tolerated. The data rule harm out.
- *shown*: the lower limit is above 1 and the upper limit above what is tolerated. There is harm, and nothing says that
  it is small.
- *not bounded*: neither. Few or varied control prompts cannot rule harm out, which is no evidence that there is any; an
  estimate of 1.018 [.978, 1.059] is not a damaged model.

Only *bounded* lets a head be called a carrier; only *shown* lets it be called damaging. Limits are those of one head:
a carrier must pass every requirement at once (an intersection-union test, Berger 1982), so correcting this one over
heads would only make the others' failures cheaper.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from scipy import special

from headscope.stats.clusters import MIN_TEMPLATES
from headscope.stats.power import POWER, corrected_critical_t, fewest


@dataclass(frozen=True)
class Damage:
    """The control text's perplexity ratio, edited / baseline; NaN where it was not measured.

    Attributes:
        ratio: geometric mean over templates.
        low: lower limit of its interval.
        high: upper limit.
        n_templates: templates it rests on.
    """

    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n_templates: int = 0

    @classmethod
    def of_row(cls, row: Mapping[Hashable, Any]) -> Damage:
        """From a ``perplexity_ratio`` row of the ``effects`` table."""
        return cls(float(row["estimate"]), float(row["ci_low"]), float(row["ci_high"]), int(row["n_templates"]))

    @property
    def measured(self) -> bool:
        """Whether there is an interval."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def bounded(self, tolerated: float) -> bool:
        """Whether the data rule out a ratio above ``tolerated``."""
        return self.high <= tolerated

    def shown(self, tolerated: float) -> bool:
        """Whether there is harm, and it may be more than ``tolerated``."""
        return self.low > 1.0 and self.high > tolerated

    def templates_needed(self, tolerated: float, alpha: float) -> float:
        """Templates after which harm is bounded or shown with 80 % power, if the true ratio is the estimate.

        Neither holds where the interval reaches from 1 or below to above ``tolerated``, which an interval narrower
        than that cannot do: so some number of templates always decides. NaN where the interval has no width.
        """
        if self.n_templates < 2 or not self.high > self.low:
            return math.nan
        critical = corrected_critical_t(self.n_templates, alpha=alpha)
        deviation = (math.log(self.high) - math.log(self.low)) / 2 / critical * math.sqrt(self.n_templates)
        mean, limit = math.log(self.ratio), math.log(tolerated)

        def enough(n: int) -> bool:
            error = deviation / math.sqrt(n)
            half = corrected_critical_t(n, alpha=alpha) * error
            between = special.ndtr((half - mean) / error) - special.ndtr((limit - half - mean) / error)
            return float(between) <= 1.0 - POWER

        return fewest(enough, MIN_TEMPLATES)

    def __str__(self) -> str:
        return f"perplexity ratio of control text {self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}]"
