"""How well does one score of heads predict another, above all a fast score the exact causal effect?

Rank correlation over all heads; where the head with the largest effect stands in the score's order; how much of the
top k the score finds; and, where at least five heads are causal, the area under the ROC curve. Fewer than five
positives make that area a number about two or three heads, so it stays missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.stats import rankdata

from headscope.errors import RequestError
from headscope.stats.clusters import BoolArray, FloatArray
from headscope.stats.ranking import primary_screen, single_effects

MIN_CAUSAL_FOR_AUROC = 5


def rank_correlation(first: Float[FloatArray, " heads"], second: Float[FloatArray, " heads"]) -> float:
    """Spearman's rho; NaN below three heads or where one side does not vary. No p: heads are not a sample."""
    a, b = rankdata(first), rankdata(second)
    a, b = a - a.mean(), b - b.mean()
    length = float(np.sqrt(np.sum(a**2) * np.sum(b**2)))
    return float(np.sum(a * b)) / length if len(a) >= 3 and length > 0.0 else np.nan


def auroc(scores: Float[FloatArray, " heads"], positive: Bool[BoolArray, " heads"]) -> float:
    """Chance that a positive head scores above another, ties half (Mann & Whitney 1947). NaN below five positives."""
    n_positive, n = int(positive.sum()), len(scores)
    if n_positive < MIN_CAUSAL_FOR_AUROC or n_positive == n:
        return np.nan
    rank_sum = float(rankdata(scores)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * (n - n_positive))


def score_agreement(
    scores: NDArray[np.floating],
    effects: NDArray[np.floating],
    *,
    k: int = 5,
    causal: NDArray[np.bool_] | None = None,
) -> dict[str, float]:
    """Agreement of a score with the exact effect of the same heads.

    Args:
        scores: [n_heads]; larger magnitude is "matters more". Heads missing on either side are left out.
        effects: [n_heads], edited - baseline; negative where removal lowers the concept.
        k: for precision: share of the k largest |effects| among the k largest |scores|.
        causal: [n_heads], True where the effect is beyond the threshold; for AUROC.

    Returns:
        n_heads; spearman_abs of magnitudes; spearman_signed of score and -effect; rank_of_top_effect, from 1, mean
        rank at ties; precision_at_k; n_causal; auroc.

    Raises:
        RequestError: shapes disagree, or k is not between 1 and the number of heads both have.
    """
    score, effect = np.asarray(scores, dtype=np.float64), np.asarray(effects, dtype=np.float64)
    if score.shape != effect.shape or score.ndim != 1:
        raise RequestError("scores and effects do not belong together", got=f"shapes {score.shape} and {effect.shape}")
    both = ~np.isnan(score) & ~np.isnan(effect)
    score, effect = score[both], effect[both]
    if not 1 <= k <= len(score):
        raise RequestError("k is not between 1 and the number of heads", expected=f"1 to {len(score)}", got=f"{k}")
    size = np.abs(score)
    top = np.argsort(-np.abs(effect), kind="stable")[:k]
    found = np.isin(np.argsort(-size, kind="stable")[:k], top)
    positive = np.zeros(len(score), dtype=bool) if causal is None else np.asarray(causal, dtype=bool)[both]
    return {
        "n_heads": float(len(score)),
        "spearman_abs": rank_correlation(size, np.abs(effect)),
        "spearman_signed": rank_correlation(score, -effect),
        "rank_of_top_effect": float(rankdata(-size)[top[0]]),
        "precision_at_k": float(found.mean()),
        "n_causal": float(positive.sum()) if causal is not None else np.nan,
        "auroc": auroc(size, positive) if causal is not None else np.nan,
    }


def screen_agreement(
    screen: pd.DataFrame,
    effects: pd.DataFrame,
    *,
    thresholds_nats: dict[str, float] | None = None,
    measures: Sequence[str] = ("attention", "value_weighted"),
    query: str | None = None,
    k: int = 5,
) -> pd.DataFrame:
    """Screening beside cause: one row a concept and measure, columns as ``score_agreement``.

    Args:
        screen: ``screen`` table.
        effects: ``effects`` table with single-head rows.
        thresholds_nats: concept -> smallest effect that matters (column ``threshold_nats`` of the verdicts); heads
            whose simultaneous interval lies beyond it count as causal. None: no AUROC.
        measures: screening measures to compare.
        query: see ``ranking.primary_screen``.
        k: for precision; at most the number of heads measured both ways.
    """
    done = single_effects(effects)
    rows: list[dict[str, object]] = []
    for measure in measures:
        looked = primary_screen(screen, query=query, measure=measure)
        joined = looked.merge(done, on=["concept", "layer", "head"], suffixes=("", "_effect"))
        for concept, heads in joined.groupby("concept", sort=False):
            causal = None
            if thresholds_nats is not None and str(concept) in thresholds_nats:
                limit = thresholds_nats[str(concept)]
                low, high = heads["sim_low_effect"], heads["sim_high_effect"]
                causal = ((high < -limit) | (low > limit)).to_numpy(bool)
            found = score_agreement(
                heads["estimate"].to_numpy(np.float64),
                heads["estimate_effect"].to_numpy(np.float64),
                k=min(k, len(heads)),
                causal=causal,
            )
            first = heads.iloc[0]
            rows.append(
                {
                    "concept": concept,
                    "measure": measure,
                    "query": first["query"],
                    "control": first["control"],
                    "k": min(k, len(heads)),
                    **found,
                }
            )
    return pd.DataFrame(rows)
