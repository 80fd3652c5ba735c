"""What ``inspect`` asks: one prompt, and the edits of heads under which it is read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from headscope.settings.groups import ASKED, CONCEPT, MEASURE, NAMES, OUTPUT
from headscope.settings.measuring import HEADS, OF_FILE
from headscope.settings.option import Option


@dataclass(frozen=True, kw_only=True)
class Inspecting:
    """Which prompt, and which heads are edited how."""

    text: Annotated[
        str | None,
        Option("The prompt; in its place --prompt-id or --messages.", "", metavar="TEXT", is_argument=True, request=""),
    ] = None
    prompt_id: Annotated[
        str | None,
        Option("A prompt of the profile, by its id, in place of TEXT.", ASKED, metavar="ID", request=""),
    ] = None  # fmt: skip
    messages: Annotated[
        str | None,
        Option(
            'A conversation in place of TEXT, as JSON, e.g. [{"role": "user", "content": "Hello"}]; it stands in the '
            "tokenizer's chat template.",
            ASKED, metavar="JSON", request="",
        ),
    ] = None  # fmt: skip
    concept: Annotated[
        str | None,
        Option(
            "The concept that is asked of the prompt; left out: its own, or the profile's first.",
            ASKED, CONCEPT, request="",
        ),
    ] = None  # fmt: skip
    heads: Annotated[
        Sequence[str],
        Option(
            'Heads to edit, counted from 0: "1:10", "3:0-5", "5:*", joined by commas; repeatable, each with an --edit '
            "of its own." + OF_FILE,
            ASKED, HEADS, typed=NAMES, request="",
        ),
    ] = ()  # fmt: skip
    edits: Annotated[
        Sequence[str],
        Option(
            "What becomes of what these heads put out, in the order of --heads: 'zero'; 'mean', that of the control "
            "prompts; 'bos', that on a BOS alone; 'scale=0.5', times so much; 'add=4', plus so many doses of the "
            "concept's steering vector, or 'add=4:anger' of another's.",
            MEASURE, name="edit", typed=NAMES, request="",
        ),
    ] = ()  # fmt: skip
    words: Annotated[
        int, Option("How many of the most probable next words of either arm are shown.", OUTPUT, check=1, request="")
    ] = 10
