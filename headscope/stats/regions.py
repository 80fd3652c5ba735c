"""Where a head reads: its attention at the place of the answer, divided over the regions of the text.

1. Every token that the query sees belongs to one region: the concept's words, the rest of the prompt, its final
   punctuation, the readout (without the query), the first token (BOS where there is one), the query itself. Shares of
   attention sum to 1, less what a learned sink takes.
2. Beside each share stands the norm of what the head writes from the region (Kobayashi et al. 2020). Norms do not sum:
   what is written from one region may cancel what is written from another.
3. Means over templates with t-intervals. This describes concept prompts; there is no control and no test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from headscope.heads import Head
from headscope.stats.clusters import MIN_TEMPLATES, FloatArray, IntArray, TemplateMeans, equal_weight_mean
from headscope.stats.intervals import t_interval
from headscope.tables import TABLES
from headscope.terms import REGIONS


@dataclass(frozen=True)
class RegionBlock:
    """One concept's prompts, averaged within templates.

    Attributes:
        concept: its name.
        heads: the second axis of the arrays.
        share: of attention, regions as in ``terms.REGIONS``.
        written: the same of the norm of what is written; NaN where a head has none.
        n_prompts: prompts behind each mean.
    """

    concept: str
    heads: Sequence[Head]
    share: Float[FloatArray, "templates heads regions"]
    written: Float[FloatArray, "templates heads regions"]
    n_prompts: Int[IntArray, " templates"]


def regions_table(blocks: Sequence[RegionBlock], *, alpha: float = 0.05) -> pd.DataFrame:
    """The ``attention_by_region`` table: a row a concept, head and region; no intervals below six templates."""
    parts = [_rows(block, alpha) for block in blocks]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=TABLES["attention_by_region"].columns)


def _rows(block: RegionBlock, alpha: float) -> pd.DataFrame:
    n_templates, n_heads, n_regions = block.share.shape
    rows: dict[str, object] = {
        "concept": block.concept,
        "layer": np.repeat([head.layer for head in block.heads], n_regions),
        "head": np.repeat([head.head for head in block.heads], n_regions),
        "region": list(REGIONS) * n_heads,
    }
    for name, values in (("share", block.share), ("written_norm", block.written)):
        means = values.reshape(n_templates, -1)
        counts = np.where(np.isnan(means), 0, block.n_prompts[:, None])
        bounds = t_interval(TemplateMeans(means, counts, tuple(map(str, range(n_templates)))), alpha)
        enough = n_templates >= MIN_TEMPLATES
        rows[name] = equal_weight_mean(means)
        rows[f"{name}_low"] = np.where(enough, np.maximum(bounds.low, 0.0), np.nan)
        rows[f"{name}_high"] = np.where(enough, bounds.high, np.nan)
    rows |= {"n_prompts": int(block.n_prompts.sum()), "n_templates": n_templates}
    return pd.DataFrame(rows)[TABLES["attention_by_region"].columns]


def shares_of(regions: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    """(concept, head) -> region -> share of attention."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for r in regions.to_dict("records"):
        of_head = found.setdefault((str(r["concept"]), f"{int(r['layer'])}:{int(r['head'])}"), {})
        of_head[str(r["region"])] = float(r["share"])
    return found


def places_read(shares: Mapping[str, float], least: float = 0.1, most: int = 2) -> list[tuple[str, float]]:
    """The regions with the largest shares, largest first: at most ``most``, the first always, others from ``least``."""
    ranked = sorted(shares.items(), key=lambda one: -one[1])[:most]
    return [one for place, one in enumerate(ranked) if place == 0 or one[1] >= least]
