"""Fast scores of heads as a table, beside the exact effects they predict, and how many heads they may have missed.

1. A score's row is the mean over templates of each template's mean, like an effect's; no test belongs to it.
2. Where the exact effect of the same edit was measured, it stands beside: rank correlation, precision, AUROC.
3. Where only the top of a score and as many random others were measured exactly, the random ones bound how many heads
   with an effect that matters lie among those never measured: the hypergeometric upper 95 % limit K on their number,
   given b of m drawn. Recall is then at least a / (a + K) for the a found. Below 30 random heads it is not estimated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import hypergeom

from headscope.errors import RequestError
from headscope.heads import Head
from headscope.stats.agreement import score_agreement
from headscope.stats.clusters import BoolArray, equal_weight_mean, template_means
from headscope.stats.ranking import single_effects
from headscope.tables import TABLES

MIN_RANDOM_HEADS = 30
EXACT_EDIT = {"zero": "zero", "mean": "mean", "matched_control": "mean"}
"""The edit of a score -> the exact edit it is compared with."""

_KEYS = ["concept", "layer", "head"]
_EXACT = ["exact_estimate", "exact_sim_low", "exact_sim_high"]


def score_rows(
    concept: str,
    measure: str,
    edit: str,
    unit: str,
    values: NDArray[np.floating],
    heads: Sequence[Head],
    templates: Sequence[str | None],
) -> pd.DataFrame:
    """Rows of the ``scores`` table for one concept and score, exact effects still missing.

    ``values`` is [n_prompts, n_heads], the predicted effect, edited - baseline; NaN is missing.

    Returns:
        One row a head; ``rank`` 1 is the largest |estimate|. No rows where every value is missing.
    """
    known: BoolArray = np.asarray(~np.isnan(values).all(axis=1))
    if not known.any():
        return pd.DataFrame()
    labels = [label for label, is_known in zip(templates, known, strict=True) if is_known]
    means = template_means(values[known], labels)
    estimates = equal_weight_mean(means.means)
    sizes = equal_weight_mean(template_means(np.abs(values[known]), labels).means)
    order = np.argsort(-np.abs(estimates), kind="stable")
    ranks = np.empty(len(heads), dtype=np.int64)
    ranks[order] = np.arange(1, len(heads) + 1)
    return pd.DataFrame(
        {
            "concept": concept,
            "layer": [head.layer for head in heads],
            "head": [head.head for head in heads],
            "measure": measure,
            "edit": edit,
            "rank": ranks,
            "estimate": estimates,
            "unit": unit,
            "mean_abs": sizes,
            "exact_estimate": np.nan,
            "exact_sim_low": np.nan,
            "exact_sim_high": np.nan,
            "n_prompts": int(known.sum()),
            "n_templates": len(means.means),
        }
    )


def beside_exact(scores: pd.DataFrame, effects: pd.DataFrame) -> pd.DataFrame:
    """The ``scores`` table with the exact effect of the same edit (``EXACT_EDIT``) where ``effects`` has it."""
    known: list[pd.DataFrame] = []
    for edit in dict.fromkeys(scores["edit"]):
        exact = single_effects(effects, edit=EXACT_EDIT[str(edit)])[[*_KEYS, "estimate", "sim_low", "sim_high"]]
        exact.columns = [*_KEYS, *_EXACT]
        known.append(exact.astype({"layer": int, "head": int}).assign(edit=edit))
    on = [*_KEYS, "edit"]
    joined = scores.drop(columns=_EXACT).merge(pd.concat(known), on=on, how="left", sort=False)
    return joined[list(scores.columns)]


def fast_agreement(
    scores: pd.DataFrame,
    *,
    thresholds_nats: Mapping[str, float],
    random_heads: Collection[Head] = (),
    k: int = 5,
) -> pd.DataFrame:
    """The ``agreement`` table: each score beside the exact effects of the heads that were measured exactly.

    A score of an edit that was measured for fewer heads than another has no row: those heads were chosen by their
    effect under the other edit, and say nothing of the rest.

    Args:
        scores: ``scores`` table with exact effects.
        thresholds_nats: concept -> smallest effect that matters; a head counts as causal where its simultaneous
            95 % interval lies beyond it, and for recall where its |exact effect| reaches it.
        random_heads: of those measured exactly, the ones drawn at random from outside the top.
        k: for precision; at most the number of heads measured both ways.
    """
    rows: list[dict[str, object]] = []
    counted = scores["exact_estimate"].notna().groupby([scores["concept"], scores["measure"]]).sum()
    most = {str(concept): int(n) for concept, n in counted.groupby(level="concept").max().items()}
    for (concept, measure), heads in scores.groupby(["concept", "measure"], sort=False):
        done = heads[heads["exact_estimate"].notna()]
        if len(done) < max(2, most[str(concept)]):
            continue
        limit = thresholds_nats[str(concept)]
        effects = done["exact_estimate"].to_numpy(np.float64)
        causal = ((done["exact_sim_high"] < -limit) | (done["exact_sim_low"] > limit)).to_numpy(bool)
        # Both are effects, negative where removal lowers the concept; score_agreement takes "larger matters more".
        scored = -done["estimate"].to_numpy(np.float64)
        drawn = np.array(
            [Head(int(a), int(b)) in random_heads for a, b in zip(done["layer"], done["head"], strict=True)]
        )
        found = score_agreement(scored, effects, k=min(k, len(done)), causal=causal)
        found |= recall_bound(effects[~drawn], effects[drawn], n_rest=len(heads) - int((~drawn).sum()), threshold=limit)
        rows.append(
            {
                "concept": concept,
                "measure": measure,
                "edit": heads["edit"].iloc[0],
                "k": min(k, len(done)),
                **found,
                "n_random": int(drawn.sum()),
                "threshold_nats": limit,
                "note": _note(len(done), len(heads), int(drawn.sum())),
            }
        )
    return pd.DataFrame(rows, columns=TABLES["agreement"].columns)


def _note(n_done: int, n_heads: int, n_random: int) -> str:
    if n_done == n_heads:
        return "every head was measured exactly"
    note = f"{n_done} of {n_heads} heads were measured exactly, most of them because a score chose them: "
    note += "the correlation is theirs, not that of all heads"
    return (
        note if n_random >= MIN_RANDOM_HEADS else f"{note}; under {MIN_RANDOM_HEADS} random heads: recall not estimated"
    )


def recall_bound(
    top: NDArray[np.floating],
    random: NDArray[np.floating],
    *,
    n_rest: int,
    threshold: float,
    alpha: float = 0.05,
) -> dict[str, float]:
    """How much of the heads whose |effect| reaches ``threshold`` lies in ``top``.

    ``top`` are exact effects of the heads a score chose, ``random`` of heads drawn without replacement from the
    ``n_rest`` others; ``threshold``: smallest |effect| that matters, nats.

    Returns:
        recall, the share with the rest extrapolated from the random heads; recall_low, its lower 95 % limit
        (hypergeometric, one-sided). Both NaN where no head reaches the threshold, and below ``MIN_RANDOM_HEADS``
        random heads, unless every head was measured. Effects are taken as they were estimated.

    Raises:
        RequestError: more random heads than there are others.
    """
    m = len(random)
    if m > n_rest:
        raise RequestError("more random heads than there are others", expected=f"at most {n_rest}", got=str(m))
    nothing = {"recall": np.nan, "recall_low": np.nan}
    if m < MIN_RANDOM_HEADS and m < n_rest:
        return nothing
    a, b = int((np.abs(top) >= threshold).sum()), int((np.abs(random) >= threshold).sum())
    most = b
    if m < n_rest:  # the largest number of such heads among the others under which b among m drawn is not surprising
        possible = np.arange(b, n_rest - (m - b) + 1)
        most = int(possible[hypergeom.cdf(b, n_rest, possible, m) > alpha].max())
    expected = b * n_rest / m if m else 0.0
    return {
        "recall": a / (a + expected) if a + expected else np.nan,
        "recall_low": a / (a + most) if a + most else np.nan,
    }
