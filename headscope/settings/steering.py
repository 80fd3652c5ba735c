"""What ``steer`` asks: which heads, turned up how, along what, how far, where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from headscope.settings.groups import ASKED, MEASURE, NAMES
from headscope.settings.measuring import HEADS, OF_FILE, RandomSets
from headscope.settings.option import Option
from headscope.terms import STEERING_EDITS, STEERING_SCOPES


@dataclass(frozen=True, kw_only=True)
class Steering(RandomSets):
    """Which edit turns heads up, how far, along what, where, and in whose prompts."""

    edit: Annotated[
        str,
        Option(
            "'add' moves a head's output along a vector, by doses in its standard deviation; 'scale' multiplies it.",
            MEASURE, choices=tuple(STEERING_EDITS), name="steering_edit", flags="--edit",
        ),
    ] = "add"  # fmt: skip
    doses: Annotated[
        Sequence[float] | float | str | None,
        Option(
            "Doses, joined by commas: of 'add' in σ, of 'scale' factors; negative ones turn the concept down. "
            "Default: 2,4,8 and 0,2,4.",
            MEASURE, typed=str | None,
            python="of 'add' in σ, of 'scale' factors; by default 2, 4, 8 and 0, 2, 4",
        ),
    ] = None  # fmt: skip
    vector: Annotated[
        str,
        Option(
            "Along what: 'mean_difference' (concept − control), 'probe' (weights of a logistic probe), or a file with "
            "a vector for each head: .npy [heads, head size], or .safetensors by head.",
            MEASURE,
        ),
    ] = "mean_difference"
    target: Annotated[
        str,
        Option(
            "Whose prompts are steered: 'control', into which the concept is pushed, or the 'concept' itself.",
            MEASURE, choices=("control", "concept"),
        ),
    ] = "control"  # fmt: skip
    steering_scope: Annotated[
        str,
        Option(
            "At which tokens: 'all', 'from_span' (the concept's words and what follows), or 'generated' (what follows "
            "the prompt). Damage is read on control text steered at all tokens.",
            MEASURE, "--scope", choices=tuple(STEERING_SCOPES),
        ),
    ] = "all"  # fmt: skip
    each: Annotated[
        bool, Option("Steer each of the heads alone; without it they are one set.", MEASURE)
    ] = False  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Steered:
    """Which heads are steered."""

    heads: Annotated[
        str | None, Option('Heads to steer: "1:10", "3:0-5", joined by commas; or --from RUN.' + OF_FILE, ASKED, HEADS)
    ] = None
    from_run: Annotated[
        Path | None,
        Option("Take each concept's heads from the verdicts of this run.", ASKED, "--from", metavar="RUN", request=""),
    ] = None
    verdict: Annotated[
        Sequence[str] | None,
        Option(
            "With --from: heads of this verdict; repeatable; left out: carriers of every kind.",
            ASKED, typed=NAMES, request="",
        ),
    ] = None  # fmt: skip
