"""What ``headscope eval`` asks: which heads, edited how, on which benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from headscope.settings.groups import ASKED, MACHINE, MEASURE
from headscope.settings.measuring import HEADS, OF_FILE
from headscope.settings.option import Option

EVALUATION_EDITS = ("zero", "mean", "scale")


@dataclass(frozen=True, kw_only=True)
class Evaluating:
    """Which heads are edited, and what the model is then asked."""

    heads: Annotated[
        str | None,
        Option(
            'Heads, counted from 0: "1:10", "L1H10", "3:0-5", "7:*", joined by commas; or --edit-file.' + OF_FILE,
            ASKED, HEADS,
        ),
    ] = None  # fmt: skip
    edit_file: Annotated[
        Path | None, Option("A file of headscope edits save, in place of --heads and --edit.", ASKED, request="")
    ] = None
    tasks: Annotated[
        str,
        Option("Tasks, groups or tags of lm-evaluation-harness, joined by commas.", ASKED, metavar="NAME[,NAME]"),
    ]
    edit: Annotated[
        str,
        Option(
            "What takes the place of a head's output: 'zero', its 'mean' over the profile's control prompts, or "
            "'scale', the output times --factor.",
            MEASURE, choices=EVALUATION_EDITS,
        ),
    ] = "zero"  # fmt: skip
    factor: Annotated[float | None, Option("With --edit scale: 0 switches off, 1 changes nothing.", MEASURE)] = None
    include_path: Annotated[
        Path | None,
        Option(
            "A folder with tasks of your own, as lm-eval's YAML files; what they hold is in the request.",
            ASKED, request="",
        ),
    ] = None  # fmt: skip
    limit: Annotated[int | None, Option("Only so many items of each task, the first ones.", ASKED, check=1)] = None
    num_fewshot: Annotated[
        int | None, Option("Examples before each item; left out: as the task has it.", ASKED, check=0)
    ] = None
    batch_size: Annotated[
        int, Option("Requests of the benchmark in one pass; part of the request, because bits depend on it.",
                    MACHINE, check=1)
    ] = 8  # fmt: skip
    confirm_unsafe_code: Annotated[
        bool, Option("Let tasks run code that the model wrote, on this machine.", MACHINE)
    ] = False
