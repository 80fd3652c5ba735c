"""Does a head look at the concept by an amount that matters? From the screen, for every head and concept.

1. Measured is Δ, attention to the concept's words minus attention to the neutral words in their place, as a share of
   the attention that is not on sinks (``attention_without_sinks``). Where a head has no interval of that (next to
   nothing is left beside its sinks), Δ as a share of all its attention decides (``attention``), and the row says so.
2. The simultaneous interval over all heads and concepts, against the smallest share that matters: wholly above it the
   head *attends*, wholly below it it does not (one that looks *less* at the concept does not attend to it), else this
   is *undecided*. A q says only that Δ is not 0: with many templates a share of .0002 is told from 0.
3. Without simultaneous intervals (protocol ``phase6``, fewer than six templates) there is no answer.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from headscope.stats.ranking import primary_screen

YES, NO, OPEN, UNKNOWN = "yes", "no", "undecided", ""
MEASURES = ("attention_without_sinks", "attention")
"""The first of which a head has an interval decides."""

_KEYS = ["concept", "layer", "head"]
_NUMBERS = ["estimate", "ci_low", "ci_high", "sim_low", "sim_high", "n_templates"]


def answer(low: float, high: float, smallest: float) -> str:
    """``yes``, ``no`` or ``undecided``; empty where there is no interval."""
    if math.isnan(low) or math.isnan(high):
        return UNKNOWN
    return YES if low > smallest else NO if high < smallest else OPEN


def attending(screen: pd.DataFrame | None, smallest: float, *, query: str | None = None) -> pd.DataFrame:
    """What decides whether each head attends to each concept, and the answer.

    ``smallest``: the smallest share of attention that matters; ``query`` as in ``primary_screen``.

    Returns:
        One row a concept and head that was screened: ``measure`` (which decided), ``estimate`` and its intervals,
        ``n_templates``, ``answer``.
    """
    columns = [*_KEYS, "measure", *_NUMBERS]
    if screen is None or screen.empty:
        return pd.DataFrame(columns=[*columns, "answer"])
    parts = [primary_screen(screen, query=query, measure=measure)[columns] for measure in MEASURES]
    rows = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    place = rows["measure"].map(MEASURES.index).to_numpy()
    # The first with an interval; where none has one, what is known of all attention.
    rank = np.where(rows["sim_low"].notna(), place, 2 * len(MEASURES) - place)
    rows = rows.iloc[np.argsort(rank, kind="stable")].drop_duplicates(_KEYS)
    rows = rows.sort_values(_KEYS, kind="stable").reset_index(drop=True)
    limits = zip(rows["sim_low"].astype(float), rows["sim_high"].astype(float), strict=True)
    return rows.assign(answer=[answer(low, high, smallest) for low, high in limits])
