"""What the negative control showed, in numbers: random words in place of the lexicons, judged by the same rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from headscope.report.document import Block
from headscope.report.escaping import plain
from headscope.report.findings import CARRIERS
from headscope.report.numbers import number
from headscope.report.run_report import RunReport
from headscope.report.telling import head_names
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


def control(run: RunReport) -> Iterator[Block]:
    """What the negative control showed; nothing where there is none."""
    shown, words = control_of(run.tables), run.words
    if shown is None:
        return
    told = words(
        "control.told",
        shown.n_concepts,
        shown=shown.n_shown,
        beyond=shown.n_beyond,
        intervals=shown.n_intervals,
        size=number(shown.largest["estimate"]),
        low=number(shown.largest["sim_low"]),
        high=number(shown.largest["sim_high"]),
        heads=head_names(str(shown.largest["heads"])),
        concept=plain(shown.largest["concept"]),
    )
    told = words.sentences(told, words("control.moved") if shown.n_beyond else "")
    about = {"carriers": shown.n_carriers, "tests": shown.n_tests, "told": told}
    yield run.say("control.screened" if shown.screened else "control.unscreened", shown.n_concepts, **about)
