"""Two arms on the items of a benchmark, paired: one row a task and metric.

1. The item is the unit: benchmark items are not written from sentence frames, so nothing is averaged before.
2. A metric of 0 and 1 is tested by McNemar's exact test: of the items that only one arm has right, binomial with one
   half. (It *is* the sign-flip test of such differences, in closed form.) Its interval is Agresti & Min's (2005): half
   an item added to each of the four cells, so that it has a width where no item changed.
3. Any other metric is tested by flipping the signs of its differences (``resampling``); its interval is Student's t.
4. Below six items no test and no interval, because no sign-flip test of them can reach .05.
5. A score that is not the mean over items (perplexity, BLEU, F1 over a corpus) has a difference and nothing else.
6. Benjamini-Hochberg q over all tasks and metrics of the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from headscope.random_streams import generator
from headscope.stats.clusters import FloatArray, standard_deviation
from headscope.stats.multiplicity import benjamini_hochberg
from headscope.stats.resampling import flip_test
from headscope.tables import TABLES
from headscope.terms import ALPHA

MIN_ITEMS = 6  # as of templates: 2 / 2^5 = .0625
LOWER_IS_BETTER = "lower is better"
"""Begins the note of such a metric, of which a positive difference is a loss."""


@dataclass(frozen=True)
class PairedItems:
    """One metric of one task in both arms.

    Attributes:
        task: its name.
        metric: its name; with lm-eval's filter behind a comma where it is not ``none``.
        baseline_score: the task's score of the unedited model.
        edited_score: of the edited one.
        is_mean: the score is the mean over the items.
        lower_is_better: of the metric.
        doc_ids: the items that both arms have a number for.
        doc_hashes: SHA-256 of each item.
        baseline: [n_items], of the unedited model.
        edited: [n_items], of the edited one.
    """

    task: str
    metric: str
    baseline_score: float
    edited_score: float
    is_mean: bool
    lower_is_better: bool
    doc_ids: tuple[int, ...]
    doc_hashes: tuple[str, ...]
    baseline: FloatArray
    edited: FloatArray

    @property
    def is_binary(self) -> bool:
        """Every item is 0 or 1 in both arms."""
        return bool(np.isin(self.baseline, (0.0, 1.0)).all() and np.isin(self.edited, (0.0, 1.0)).all())


def evaluation_table(scores: Sequence[PairedItems], *, heads: str, edit: str, seed: int) -> pd.DataFrame:
    """The table ``evaluation``: differences edited - baseline with 95 % intervals, p and q."""
    rows = [{"heads": heads, "edit": edit, **_row(one, seed)} for one in scores]
    table = pd.DataFrame(rows, columns=[name for name in TABLES["evaluation"].columns if name != "q_value"])
    table["q_value"] = benjamini_hochberg(table["p_value"].to_numpy(dtype=np.float64))
    return table[TABLES["evaluation"].columns]


def items_table(scores: Sequence[PairedItems]) -> pd.DataFrame:
    """The table ``evaluation_items``: each item's number in both arms."""
    rows = [
        (one.task, one.metric, doc_id, doc_hash[:16], before, after)
        for one in scores
        for doc_id, doc_hash, before, after in zip(one.doc_ids, one.doc_hashes, one.baseline, one.edited, strict=True)
    ]
    return pd.DataFrame(rows, columns=TABLES["evaluation_items"].columns)


def _row(one: PairedItems, seed: int) -> dict[str, object]:
    n = len(one.doc_ids)
    row: dict[str, object] = {
        "task": one.task, "metric": one.metric, "unit": "metric", "n_items": n,
        "baseline_mean": one.baseline_score, "edited_mean": one.edited_score,
        "estimate": one.edited_score - one.baseline_score,
        "ci_low": math.nan, "ci_high": math.nan, "p_value": math.nan,
        "n_only_baseline_right": None, "n_only_edited_right": None,
    }  # fmt: skip
    notes = [LOWER_IS_BETTER] if one.lower_is_better else []
    if not one.is_mean:
        notes.append("the score is of all items together, not their mean: no interval and no test")
    elif n < MIN_ITEMS:
        notes.append(f"fewer than {MIN_ITEMS} items: no interval and no test")
    if one.is_mean and n:
        differences = one.edited - one.baseline
        row["estimate"] = float(differences.mean())
        if one.is_binary:
            lost, won = int((differences < 0).sum()), int((differences > 0).sum())
            lost, won = (won, lost) if one.lower_is_better else (lost, won)  # right is 0 then
            row |= {"unit": "share", "n_only_baseline_right": lost, "n_only_edited_right": won}
        if n >= MIN_ITEMS:
            tested = _binary(differences) if one.is_binary else _numbers(differences, one, seed)
            row |= dict(zip(("ci_low", "ci_high", "p_value"), tested, strict=True))
    return row | {"note": "; ".join(notes)}


def _binary(differences: FloatArray) -> tuple[float, float, float]:
    """Agresti & Min's interval and McNemar's exact p of differences that are -1, 0 or 1."""
    n = len(differences)
    lost, won = int((differences < 0).sum()), int((differences > 0).sum())
    size, total, shift = n + 2.0, lost + won + 1.0, (won - lost) / (n + 2.0)
    error = math.sqrt(total - size * shift**2) / size
    half = float(stats.norm.isf(ALPHA / 2)) * error
    p = float(stats.binomtest(lost, lost + won).pvalue) if lost + won else 1.0
    return max(shift - half, -1.0), min(shift + half, 1.0), p


def _numbers(differences: FloatArray, one: PairedItems, seed: int) -> tuple[float, float, float]:
    """Student's interval and the sign-flip p of differences."""
    n, column = len(differences), differences[:, None]
    half = float(stats.t.isf(ALPHA / 2, n - 1) * standard_deviation(column)[0] / math.sqrt(n))
    mean = float(differences.mean())
    flips = flip_test(column, generator(seed, "sign_flips", "evaluation", one.task, one.metric), simultaneous=False)
    return mean - half, mean + half, float(flips.p_value[0])
