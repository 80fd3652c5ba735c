"""What goes with any measurement: the study, how its model is loaded, how texts are written, where results are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from headscope.settings.option import ABOVE_ZERO, SHARE, Option

ASKED = "What is asked"
MEASURE = "How it is measured"
TEXT = "Generated text"
MACHINE = "Machine"
OUTPUT = "Output"

CONCEPT = "--concept --emotion"
NAMES = list[str] | None


@dataclass(frozen=True)
class StudySettings:
    """What all verbs of one study share."""

    concepts: Annotated[
        Sequence[str] | str | None,
        Option(
            "A concept to look at; repeatable; left out: all.", ASKED, CONCEPT, name="concept", typed=NAMES,
            python="only these concepts; all by default",
        ),
    ] = None  # fmt: skip
    chat_template: Annotated[
        bool | str,
        Option(
            "Wrap prompts in the tokenizer's chat template.", MEASURE, typed=bool,
            python="wrap prompts in the tokenizer's chat template; a text names one of several",
        ),
    ] = False  # fmt: skip
    thinking: Annotated[
        str | None,
        Option(
            "Tell a chat template that knows it that the model is to think before it answers, or is not to: 'on', "
            "'off'; left out: as the template has it.",
            MEASURE, choices=("on", "off"), request="text",
            python="tell the chat template that the model is to think before it answers (on), or is not to (off)",
        ),
    ] = None  # fmt: skip
    pack: Annotated[
        bool,
        Option(
            "lay sequences that begin alike into one row where the model allows it; either way numbers agree within "
            "the load check's tolerance",
            came_later=True,
        ),
    ] = True
    seed: Annotated[int, Option("Seed of every random draw.", MEASURE, check=0, request="seed")] = 0
    batch_tokens: Annotated[
        int | None,
        Option(
            "Tokens in one batch; part of the request, because bits depend on it. Default: by --memory-budget.",
            MACHINE, check=1, request="batch_plan", python="most tokens of a batch; by the model's memory budget",
        ),
    ] = None  # fmt: skip
    progress: Annotated[
        Callable[[str, int, int], None] | None,
        Option("told how far the work is, as ``progress(stage, done, total)``", request=""),
    ] = None
    engine: Annotated[
        Any,
        Option(
            "runs the passes and keeps results (``engines.engine.Engine``); this process by default, nothing kept",
            request="",
        ),
    ] = None
    outcomes: Annotated[
        Sequence[str],
        Option(
            "What is measured beside headscope's own; repeatable: 'refusal', regex:PATTERN, classifier:MODEL#LABEL, or "
            "code of your own, FILE.py:NAME or MODULE:NAME. NAME=regex:... gives a name.",
            MEASURE, "--outcome", metavar="OUTCOME", name="own_outcome", typed=NAMES, came_later=True,
            python="what is measured beside headscope's own: names of registered outcomes (``headscope.outcome``), "
            "'refusal', 'regex:PATTERN', 'classifier:MODEL#LABEL', 'FILE.py:NAME', 'MODULE:NAME'",
        ),
    ] = ()  # fmt: skip


@dataclass(frozen=True)
class Loading:
    """How a model is loaded; see ``models.loading.load_model``."""

    device: Annotated[str, Option("'auto', 'cpu', 'cuda', 'cuda:1', 'mps'.", MACHINE, request="device")] = "auto"
    device_map: Annotated[
        Any,
        Option(
            "Spread a model over several devices instead of --device: 'auto', 'balanced', 'balanced_low_0', "
            "'sequential', or one device.",
            MACHINE, typed=str | None, request="device",
        ),
    ] = None  # fmt: skip
    dtype: Annotated[
        str, Option("'auto' (float32 on a CPU), 'float32', 'bfloat16', 'float16'.", MACHINE, request="dtype")
    ] = "auto"
    bos: Annotated[
        str,
        Option(
            "The beginning-of-text token before every text: 'auto' (where the tokenizer has one), 'always', 'never'.",
            MACHINE, request="text",
        ),
    ] = "auto"  # fmt: skip
    unchecked: Annotated[
        bool, Option("Use a model that fails its load check; the record says so.", MACHINE, request="")
    ] = False
    tokenizer: Annotated[
        Any,
        Option(
            "A tokenizer in place of the checkpoint's own: a folder, a GGUF file, or a name on the hub (NAME or "
            "NAME@REVISION).",
            MACHINE, typed=str | None, metavar="NAME", request="text",
        ),
    ] = None  # fmt: skip
    trust_remote_code: Annotated[
        bool, Option("Let code that comes with a checkpoint run.", MACHINE, request="model_fingerprint")
    ] = False
    memory_budget: Annotated[
        str | int | None,
        Option(
            "What a batch may hold beside the model: '4GiB', '500MB', '25%' of the device's total (the default); "
            "at most 8,192 tokens, on a CPU fewer for wide models.",
            MACHINE, typed=str | None, request="batch_plan",
        ),
    ] = None  # fmt: skip


@dataclass(frozen=True)
class Writing:
    """How texts are written and scored."""

    max_tokens: Annotated[int, Option("New tokens for each prompt.", TEXT, check=1)] = 30
    temperature: Annotated[float, Option("Sampling temperature, above 0.", TEXT, check=ABOVE_ZERO)] = 1.0
    top_p: Annotated[float, Option("Sample from the smallest set of tokens with this mass.", TEXT, check=SHARE)] = 0.9
    samples: Annotated[int, Option("Continuations for each prompt and arm.", TEXT, check=1)] = 1
    greedy: Annotated[bool, Option("Take the likeliest token instead of sampling.", TEXT)] = False
    scope: Annotated[
        str,
        Option(
            "Edit 'all' positions and steps, or 'generated' tokens only.", MEASURE,
            python="of the edit while writing: 'all', or 'generated' tokens only; fixed text is edited throughout",
        ),
    ] = "all"  # fmt: skip
    stop_at_eos: Annotated[
        bool,
        Option(
            "End a text at end-of-text; with --chat-template at the end of a turn as well.",
            TEXT, "--stop-at-eos/--no-stop-at-eos",
        ),
    ] = True  # fmt: skip
    stop_tokens: Annotated[
        Sequence[str],
        Option(
            "One more token that ends a text, as text; repeatable.", TEXT, name="stop_token", typed=NAMES,
            python="further tokens that end a text",
        ),
    ] = ()  # fmt: skip
    sentiment: Annotated[
        str, Option("'vader', or the name or folder of a transformers classifier.", TEXT, is_name=True)
    ] = "vader"
    keyword_counting: Annotated[
        str,
        Option(
            "'continuation' counts whole words of the new text; 'phase6' substrings of prompt and new text.", TEXT,
            choices=("continuation", "phase6"),
        ),
    ] = "continuation"  # fmt: skip


ALWAYS_WRITTEN = ("max_tokens", "temperature", "top_p", "samples", "greedy", "stop_tokens", "sentiment")
"""Of ``Writing`` what every verb that writes can be asked; the rest is of ``ablate`` alone."""


@dataclass(frozen=True)
class Keeping:
    """Where and how a run keeps its results."""

    out: Annotated[
        str | Path | None,
        Option(
            "Run folder; left out: runs/<model>-<profile>-<8 hex digits of the request>.",
            OUTPUT, typed=Path | None, request="",
        ),
    ] = None  # fmt: skip
    resume: Annotated[
        str,
        Option(
            "An unfinished run of the same request: 'auto' goes on with it, 'never' begins anew, 'require' wants one.",
            MACHINE, choices=("auto", "never", "require"), request="",
        ),
    ] = "auto"  # fmt: skip
    force: Annotated[bool, Option("Replace derived files (plots, reports) that exist.", OUTPUT, request="")] = False
    sources: Annotated[Mapping[str, str], Option("where each option came from, for the record", request="")] = field(
        default_factory=dict[str, str]
    )
    command: Annotated[Sequence[str], Option("the command line, for the record", request="")] = ()
