"""What turning heads up did, as arrays: slopes through the doses, and the tables of effects and of nulls dose by dose.

1. Doses count from the neutral dose, at which nothing changes: x = dose - neutral, neutral 0 of ``add``, 1 of
   ``scale``. That there is no effect there is no estimate but true by construction, so a slope runs through it.
2. The slope of a prompt is that of least squares through the neutral dose, sum(x d) / sum(x^2), d = steered - baseline.
   It is linear in d, so the mean of slopes is the slope of means.
3. The effects of all doses of all heads are one family with simultaneous intervals: so the smallest dose with an effect
   may be looked for. The residual stream is a comparison, in a family of its own.

What follows from them: ``dose_response``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray

from headscope.errors import RequestError, one_of
from headscope.stats.effects import Scale
from headscope.stats.tables import EffectBlock, class_mean
from headscope.stats.tables import steering_table as steering_table
from headscope.tables import TABLES
from headscope.terms import NULLS, PRIMARIES, RESIDUAL, STEERING_EDITS

NEUTRAL_DOSES: dict[str, float] = {"scale": 1.0, "add": 0.0}
"""Edit -> the dose at which nothing changes."""
SLOPE_UNITS: dict[str, str] = {"scale": "nats_per_factor", "add": "nats_per_sigma"}
"""Edit -> unit of its slopes."""
_KEY = ("concept", "target", "heads", "role", "k", "edit", "vector", "scope")


@dataclass(frozen=True)
class SteeredOutcome:
    """One outcome of several heads at several doses, on one class of prompts; logs for ``log_ratio``.

    Attributes:
        name: e.g. ``lexicon_logodds_nats``.
        unit: of the outcome.
        baseline: [n_prompts]; 0 for ``divergence``.
        steered: [n_prompts, n_tests].
        scale: see ``effects.FamilyTest``.
    """

    name: str
    unit: str
    baseline: NDArray[np.floating]
    steered: NDArray[np.floating]
    scale: Scale = "difference"


@dataclass(frozen=True)
class NullSlopes:
    """Slopes of random vectors, or of random other heads, at the doses of the tested one.

    Attributes:
        slopes: in the order in which they were tried; means over the templates of the tested one (``mean_slopes``).
        n_planned: how many would have been tried at most.
        stopped: whether the search ended at the one with which ``nulls.ENOUGH_REACHING`` reach the tested slope.
        layer_matched: of random heads, whether they lie in the layers of the tested ones.
        note: a sentence for the reason; empty where there is nothing to say.
        own_slope: the tested slope on the prompts on which the null was tried; None where these are all.
    """

    slopes: Sequence[float]
    n_planned: int
    stopped: bool = False
    layer_matched: bool = False
    note: str = ""
    own_slope: float | None = None


@dataclass(frozen=True, kw_only=True)
class DoseResponse:
    """The primary outcome of one head, set or residual stream at several doses.

    Attributes:
        concept: whose vector it is, or whose outcome is read where there is no vector.
        target: the class of prompts that is steered.
        heads: e.g. ``1:10,3:2``; of the residual stream the heads it is compared with.
        k: heads in the set.
        layer: of a single head, else None.
        head: of a single head, else None.
        role: single, requested or residual_stream.
        edit: ``scale`` or ``add``.
        vector: as in ``terms.VECTORS``; "" for ``scale``.
        scope: as in ``terms.STEERING_SCOPES``.
        doses: distinct, none of them the neutral one.
        deltas: [n_prompts, n_doses], nats, steered - baseline; NaN is missing.
        templates: template id of each prompt.
        gap_nats: the model's own gap between concept and controls; NaN where not known.
        shown: whether the unedited model shows the concept; None where that was not asked.
        p_vector: see ``dose_verdicts.DoseEvidence``.
        null_slopes: a name of ``terms.NULLS`` -> its slopes; what is not there was not measured.

    Raises:
        RequestError: an edit or null that does not exist, or doses that are not distinct, finite and other than the
            neutral one, or not as many as the columns of ``deltas``.
    """

    concept: str
    target: str
    heads: str
    k: int
    role: str
    edit: str
    vector: str
    scope: str
    doses: Sequence[float]
    deltas: NDArray[np.floating]
    templates: Sequence[str | None]
    layer: int | None = None
    head: int | None = None
    gap_nats: float = math.nan
    shown: bool | None = None
    p_vector: float | None = None
    null_slopes: Mapping[str, NullSlopes] = field(default_factory=dict[str, NullSlopes])

    def __post_init__(self) -> None:
        one_of("edit", self.edit, STEERING_EDITS)
        for name in self.null_slopes:
            one_of("null", name, NULLS)
        if len(set(self.doses)) < len(self.doses) or self.neutral in self.doses:
            raise RequestError(
                f"the doses of {self.edit} cannot be compared",
                expected=f"each once, and none of {self.neutral:g}, which changes nothing",
                got=", ".join(f"{dose:g}" for dose in self.doses),
            )

    @property
    def neutral(self) -> float:
        """The dose at which nothing changes."""
        return NEUTRAL_DOSES[self.edit]

    def slopes(self) -> Float[NDArray[np.float64], " prompts"]:
        """See ``slopes``."""
        return slopes(self.deltas, self.doses, neutral=self.neutral)

    def key(self) -> dict[str, object]:
        """The columns that identify its row."""
        found: dict[str, object] = {"unit": SLOPE_UNITS[self.edit]}
        for name in ("layer", "head"):
            found[name] = pd.NA if getattr(self, name) is None else getattr(self, name)
        return found | {name: getattr(self, name) for name in _KEY}


@dataclass(frozen=True)
class NullDraws:
    """What the draws of one null did to one concept; rows of ``steering_nulls``.

    Attributes:
        concept: whose vector.
        heads: the tested heads.
        vector: of the tested heads; "" for ``scale``.
        null: a name of ``terms.NULLS``.
        drawn: for each draw what was drawn: the random heads, or a name of the random vector.
        doses: as asked for.
        estimates: [n_draws, n_doses], mean effect over templates, nats.
        perplexity_ratios: the same of the control text's perplexity ratio; None where it was not measured.
    """

    concept: str
    heads: str
    vector: str
    null: str
    drawn: Sequence[str]
    doses: Sequence[float]
    estimates: NDArray[np.floating]
    perplexity_ratios: NDArray[np.floating] | None = None


def slopes(
    deltas: Float[NDArray[np.floating], "prompts doses"], doses: Sequence[float], *, neutral: float
) -> Float[NDArray[np.float64], " prompts"]:
    """Slope of each prompt, by least squares through no effect at the neutral dose.

    sum(x d) / sum(x^2), x = dose - neutral, d the effect.

    NaN where a dose is missing: a slope through fewer doses is another number.

    Raises:
        RequestError: not one finite dose for each column, or none but the neutral one.
    """
    table, x = np.asarray(deltas, dtype=np.float64), np.asarray(doses, dtype=np.float64) - neutral
    if table.ndim != 2 or x.shape != table.shape[1:] or not np.isfinite(x).all() or not x.any():
        raise RequestError(
            "effects and doses make no slope",
            expected=f"effects [n_prompts, n_doses], a finite dose for each column, one of them not {neutral:g}",
            got=f"effects of shape {table.shape} and doses {', '.join(map(str, doses))}",
        )
    scaled = x / np.abs(x).max()  # so that doses of any size neither overflow nor underflow when squared
    return (table * scaled).sum(axis=1) / (scaled**2).sum() / np.abs(x).max()


def mean_slope(
    deltas: Float[NDArray[np.floating], "prompts doses"],
    doses: Sequence[float],
    templates: Sequence[str | None],
    *,
    neutral: float,
) -> float:
    """The mean over templates of prompts' slopes: of the tested heads, and of each draw of a null."""
    return float(class_mean(slopes(deltas, doses, neutral=neutral)[:, None], templates)[0])


def steering_blocks(
    outcome: SteeredOutcome,
    *,
    concept: str,
    target: str,
    edit: str,
    vector: str,
    scope: str,
    tests: Sequence[Mapping[str, object]],
    templates: Sequence[str | None],
) -> list[EffectBlock]:
    """Blocks for ``steering_table``: one outcome of every head at every dose; all exploratory.

    All heads, doses and concepts of one edit, vector, scope and outcome (other concepts' lexicons together) are a
    family, the residual stream beside them another. The primary outcome gets max-T p-values and simultaneous intervals.

    Args:
        outcome: [n_prompts, n_tests].
        concept: whose vector, of damage too.
        target: the class of prompts.
        edit: ``scale`` or ``add``.
        vector: "" for ``scale``.
        scope: of the edit.
        tests: for each column ``heads``, ``role``, ``k``, ``dose`` and, of a single head, ``layer`` and ``head``.
        templates: template id of each prompt.
    """
    own, _, other = outcome.name.partition(":")
    family = "/".join(filter(None, ("steer", edit, vector, scope, f"{own}{'_of_others' if other else ''}")))
    is_residual = np.array([test["role"] == RESIDUAL for test in tests], dtype=np.bool_)
    steered = np.asarray(outcome.steered, dtype=np.float64)
    return [
        EffectBlock(
            concept, outcome.name, outcome.unit, edit, scope,
            [test for test, chosen in zip(tests, part, strict=True) if chosen], outcome.baseline, steered[:, part],
            templates, family=f"{family}/{RESIDUAL}" if part is is_residual else family,
            simultaneous=outcome.name in PRIMARIES, scale=outcome.scale, keys={"target": target, "vector": vector},
        )
        for part in (~is_residual, is_residual)
        if part.any()
    ]  # fmt: skip


def steering_nulls_table(draws: Sequence[NullDraws]) -> pd.DataFrame:
    """The ``steering_nulls`` table: one row a draw and dose."""
    rows: list[dict[str, object]] = []
    for one in draws:
        shape = (len(one.drawn), len(one.doses))
        ratios = np.full(shape, np.nan) if one.perplexity_ratios is None else np.asarray(one.perplexity_ratios)
        if np.shape(one.estimates) != shape or ratios.shape != shape:
            raise RequestError(
                "the draws of a null have not one effect for each dose",
                expected=f"[n_draws, n_doses] = {list(shape)}",
                got=f"effects {np.shape(one.estimates)}, perplexity ratios {ratios.shape}",
            )
        key = {name: getattr(one, name) for name in ("concept", "heads", "vector", "null")}
        for i, drawn in enumerate(one.drawn):
            for j, dose in enumerate(one.doses):
                numbers = {"dose": dose, "estimate": one.estimates[i, j], "perplexity_ratio": ratios[i, j]}
                found = {name: float(value) for name, value in numbers.items()}
                rows.append({**key, **found, "draw": i, "drawn": drawn, "unit": "nats"})
    return pd.DataFrame(rows, columns=TABLES["steering_nulls"].columns)
