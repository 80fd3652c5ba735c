"""Where a set's effect lies among random sets of the same size that share no head with it.

1. Sets are disjoint from the tested set: random sets that may contain the tested heads hide effects.
2. They have as many heads in each layer as the tested set where at least 100 distinct such sets exist; else they come
   from any layer, and the row says so.
3. Where fewer exist than are asked for, all of them are used.
4. The result is a percentile with its floor, no z: the null is not normal. With b of N random sets at least as large
   in magnitude, p = (b + 1) / (N + 1), percentile = 100 (1 - p); the largest is 100 (1 - floor), floor = 1 / (N + 1).
5. Sets may be tried one by one, in random order, until ``ENOUGH_REACHING`` of them reach the tested one; with n tried
   p = ENOUGH_REACHING / n then, which is valid (Besag & Clifford 1991, Biometrika 78, 301-304): a set that is like
   random ones shows so after few.
6. A large p says only that random ones were not exceeded. That many of them reach the tested one is shown where the
   lower 95 % limit of their share is above a level (Clopper & Pearson 1934; at a search that stopped too, because the
   number tried is then negative binomial, with the same tail).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, product

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import special

from headscope.errors import RequestError
from headscope.heads import Head, HeadSet, every_head
from headscope.random_streams import generator
from headscope.tables import TABLES
from headscope.terms import ALPHA

MIN_MATCHED_SETS = 100
ENOUGH_REACHING = 10
_LIST_ALL_BELOW = 20_000


@dataclass(frozen=True)
class RandomSets:
    """Random sets of heads for one tested set.

    Attributes:
        sets: distinct, each disjoint from the tested set and of its size.
        layer_matched: True where each has as many heads in each layer as the tested set.
        n_possible: how many distinct sets of this kind exist.
        note: a sentence for the record; empty where there is nothing to say.
    """

    sets: tuple[HeadSet, ...]
    layer_matched: bool
    n_possible: int
    note: str


@dataclass(frozen=True)
class Placed:
    """Where a number lies among what random ones give.

    Attributes:
        n_tried: random ones that were tried.
        n_reaching: those at least as large in magnitude.
        p_value: see ``place_among``.
        floor: the smallest p that could have come out.
        share_low: lower one-sided 95 % limit of the share of random ones that reach it.
    """

    n_tried: int
    n_reaching: int
    p_value: float
    floor: float
    share_low: float

    @property
    def exceeds(self) -> bool:
        """The tested one is larger than random ones are; False where nothing was tried."""
        return self.p_value <= ALPHA

    @property
    def is_like_random(self) -> bool:
        """More random ones than ``ALPHA`` are shown to reach it; False where that is merely not ruled out."""
        return self.share_low > ALPHA


def draw_disjoint_sets(
    heads_per_layer: Sequence[int], tested: HeadSet, *, n_sets: int = 200, seed: int, name: str = ""
) -> RandomSets:
    """Draw the random sets that a tested set is compared with.

    All are taken where fewer than ``n_sets`` exist; ``name`` distinguishes several draws for the same set.

    Raises:
        RequestError: ``n_sets`` is not positive, or a tested head does not exist in the model.
    """
    if n_sets < 1:
        raise RequestError("no random sets were asked for", expected="n_sets >= 1", got=f"{n_sets}")
    pool = [head for head in every_head(heads_per_layer) if head not in tested]
    if len(pool) + len(tested) != sum(heads_per_layer):
        raise RequestError(f"the set {tested} has heads this model does not have", expected=f"{list(heads_per_layer)}")
    by_layer = [[head for head in pool if head.layer == layer] for layer in range(len(heads_per_layer))]
    wanted = [sum(head.layer == layer for head in tested) for layer in range(len(heads_per_layer))]
    n_matched = math.prod(math.comb(len(free), k) for free, k in zip(by_layer, wanted, strict=True))
    matched = n_matched >= MIN_MATCHED_SETS
    groups = list(zip(by_layer, wanted, strict=True)) if matched else [(pool, len(tested))]
    n_possible = math.prod(math.comb(len(free), k) for free, k in groups)
    rng = generator(seed, "random_sets", str(tested), name)
    if n_possible <= max(n_sets, _LIST_ALL_BELOW):
        every = list(_all_sets(groups))
        chosen = range(len(every)) if n_possible <= n_sets else np.sort(rng.permutation(len(every))[:n_sets])
        sets = tuple(every[int(i)] for i in chosen)
    else:
        sets = tuple(islice(_random_sets(groups, rng), n_sets))
    notes: list[str] = []
    if not matched:
        notes.append(
            f"sets come from any layer: only {n_matched} disjoint sets match its layers, {MIN_MATCHED_SETS} are needed"
        )
    if n_possible == 0:
        notes.append(f"no set of {len(tested)} heads is disjoint from it")
    elif n_possible <= n_sets:
        notes.append(f"all {n_possible} disjoint sets were used")
    return RandomSets(sets, matched, n_possible, "; ".join(notes))


def n_to_try(estimate: float, null_estimates: Sequence[float] | NDArray[np.floating]) -> int | None:
    """At which of the random sets, tried in this order, ``ENOUGH_REACHING`` reach the estimate; None where too few do.

    Raises:
        RequestError: a random effect or the estimate is NaN.
    """
    reaching = np.cumsum(_reaching(estimate, np.asarray(null_estimates, dtype=np.float64)))
    enough = np.flatnonzero(reaching >= ENOUGH_REACHING)
    return int(enough[0]) + 1 if len(enough) else None


def null_row(
    concept: str,
    tested: HeadSet,
    outcome: str,
    estimate: float,
    null_estimates: NDArray[np.floating],
    sets: RandomSets,
    *,
    stopped: bool = False,
) -> pd.DataFrame:
    """One row of the ``nulls`` table.

    ``null_estimates``: [n_sets], the random sets' effects on the same prompts; where the search ``stopped``, those of
    the first sets, up to the one at which enough had reached the tested set.

    Raises:
        RequestError: the number of effects and sets disagree, or an effect is missing.
    """
    null = np.asarray(null_estimates, dtype=np.float64)
    n_expected = n_to_try(estimate, null) if stopped else len(sets.sets)
    if null.shape != (n_expected,):
        raise RequestError("not every random set has an effect", expected=f"{n_expected}", got=f"{null.shape}")
    notes = [sets.note] if sets.note else []
    if stopped:
        notes.append(f"stopped after {len(null)} of {len(sets.sets)} sets: {ENOUGH_REACHING} of them reach it")
    row = {
        "concept": concept,
        "heads": str(tested),
        "k": len(tested),
        "outcome": outcome,
        "estimate": float(estimate),
        "percentile": 100.0 * (1.0 - ENOUGH_REACHING / len(null)) if stopped else percentile_among(estimate, null),
        "floor": 1.0 / (len(sets.sets) + 1) if len(null) else math.nan,
        "n_random": len(null),
        "layer_matched": sets.layer_matched,
        "note": "; ".join(notes),
    }
    return pd.DataFrame([row], columns=TABLES["nulls"].columns)


def percentile_among(estimate: float, null_estimates: Float[NDArray[np.floating], " sets"]) -> float:
    """100 (1 - (b + 1) / (N + 1)), b random effects at least as large in magnitude; two-sided. NaN without any.

    Raises:
        RequestError: a random effect or the estimate is NaN.
    """
    reaching = _reaching(estimate, np.asarray(null_estimates, dtype=np.float64))
    if len(reaching) == 0:
        return math.nan
    return 100.0 * (1.0 - (int(reaching.sum()) + 1) / (len(reaching) + 1))


def place_among(
    estimate: float, null: Sequence[float] | NDArray[np.floating], *, n_planned: int, stopped: bool = False
) -> Placed:
    """Where a number lies among those of random ones, tried in the order given; two-sided.

    p = (b + 1) / (n + 1) with b of n reaching it, or ``ENOUGH_REACHING`` / n where the search ``stopped``; NaN without
    any. ``n_planned``: how many would have been tried at most.

    Raises:
        RequestError: a number is missing, not as many were tried as planned, or the search stopped elsewhere than at
            the one with which ``ENOUGH_REACHING`` reach it.
    """
    tried = np.asarray(null, dtype=np.float64)
    expected = n_to_try(estimate, tried) if stopped else n_planned
    if tried.shape != (expected,):
        raise RequestError(
            "not every random one has an effect",
            expected=f"up to the one with which {ENOUGH_REACHING} reach {estimate:g}" if stopped else f"{n_planned}",
            got=f"{tried.shape}",
        )
    n, b = len(tried), int(_reaching(estimate, tried).sum())
    if n == 0:
        return Placed(0, 0, math.nan, math.nan, math.nan)
    p = ENOUGH_REACHING / n if stopped else (b + 1) / (n + 1)
    low = 0.0 if b == 0 else float(special.betaincinv(b, n - b + 1, ALPHA))
    return Placed(n, b, p, 1.0 / (n_planned + 1), low)


def _reaching(estimate: float, null: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[n_sets] which random effects are at least as large in magnitude."""
    if np.isnan(null).any() or math.isnan(estimate):
        raise RequestError("an effect to be placed among random sets is missing", expected="numbers, no NaN")
    return np.abs(null) >= abs(estimate) * (1.0 - 1e-9)


def _all_sets(groups: Sequence[tuple[Sequence[Head], int]]) -> Iterator[HeadSet]:
    for parts in product(*(combinations(free, k) for free, k in groups)):
        yield HeadSet.of(head for part in parts for head in part)


def _random_sets(groups: Sequence[tuple[Sequence[Head], int]], rng: np.random.Generator) -> Iterator[HeadSet]:
    """Distinct random sets; only for groups with many more sets than are taken, so repeats are rare."""
    seen: set[HeadSet] = set()
    while True:
        drawn = HeadSet.of(
            free[int(i)] for free, k in groups if k for i in rng.choice(len(free), size=k, replace=False)
        )
        if drawn not in seen:
            seen.add(drawn)
            yield drawn
