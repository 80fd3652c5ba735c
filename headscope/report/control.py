"""What the negative control showed, in numbers: random words in place of the lexicons, judged by the same rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from headscope.report.findings import CARRIERS
from headscope.stats.verdicts import NO_VERDICT


@dataclass(frozen=True)
class NegativeControl:
    """Counts over heads x concepts (``n_tests``), and the row of the effect that is ``largest`` in size.

    ``n_shown``: concepts for which the model tells prompts from controls by the random words, too. ``screened``:
    whether it was measured where heads look; without that no head can be called a carrier. ``n_beyond``: of the
    ``n_intervals`` simultaneous intervals those wholly beyond the smallest effect that matters.
    """

    n_tests: int
    n_concepts: int
    n_shown: int
    screened: bool
    n_carriers: int
    n_intervals: int
    n_beyond: int
    largest: Mapping[Any, Any]


def control_of(tables: Mapping[str, pd.DataFrame]) -> NegativeControl | None:
    """The control's numbers from the table ``negative_control``; None where there is none."""
    table = tables.get("negative_control")
    if table is None or table.empty:
        return None
    judged = table[table["verdict"] != NO_VERDICT]
    beyond = (table["sim_low"] > table["threshold_nats"]) | (table["sim_high"] < -table["threshold_nats"])
    return NegativeControl(
        n_tests=len(table),
        n_concepts=table["concept"].nunique(),
        n_shown=judged["concept"].nunique(),
        screened=bool((table["attends"] != "").any()),
        n_carriers=int(table["verdict"].isin(CARRIERS).sum()),
        n_intervals=int(table["sim_low"].notna().sum()),
        n_beyond=int(beyond.sum()),
        largest=max(table.to_dict("records"), key=lambda row: abs(row["estimate"])),
    )
