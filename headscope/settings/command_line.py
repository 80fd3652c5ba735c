"""What only the command line asks: where model and prompts lie, who works, what is printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from headscope.settings.groups import ASKED, MACHINE, MEASURE, OUTPUT
from headscope.settings.option import Option


@dataclass(frozen=True, kw_only=True)
class Columns:
    """How files of prompts are read."""

    text_column: Annotated[
        str | None,
        Option(
            "The column of the files of prompts that holds the text; left out: text, or the only one that is named "
            "like it (prompt, sentence, content, messages).",
            ASKED, metavar="NAME", request="profile_fingerprint",
        ),
    ] = None  # fmt: skip
    label_column: Annotated[
        str | None,
        Option(
            "The column that names the class of each prompt; left out: concept, label or emotion, where there is one.",
            ASKED, metavar="NAME", request="profile_fingerprint",
        ),
    ] = None  # fmt: skip
    drop_duplicates: Annotated[
        bool,
        Option(
            "Leave out prompts that repeat an earlier one of their class exactly, and say how many; "
            "without it they are an error.",
            ASKED, request="profile_fingerprint",
        ),
    ] = False  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Prompts(Columns):
    """Which profile, and which prompts in the place of its own."""

    profile: Annotated[
        str,
        Option(
            "A bundled profile, a profile folder, or one file of prompts.",
            ASKED, "--profile -p", is_name=True, request="profile_fingerprint",
        ),
    ] = "baseline"  # fmt: skip
    data_dir: Annotated[
        Path | None,
        Option(
            "Folder with <concept>_prompts.json files that take the place of the profile's prompts.",
            ASKED, request="profile_fingerprint",
        ),
    ] = None  # fmt: skip
    prompts: Annotated[
        list[str] | None,
        Option(
            "Prompts of one class from a file, e.g. gratitude=mine.jsonl; repeatable; goes before --data-dir.",
            ASKED, metavar="CLASS=FILE", request="profile_fingerprint",
        ),
    ] = None  # fmt: skip
    prompts_file: Annotated[
        Path | None,
        Option("Prompts to generate from, instead of the concept's own.", ASKED, request="profile_fingerprint"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Asked(Prompts):
    """Which model is asked which prompts."""

    model: Annotated[
        str,
        Option(
            "The bundled 'demo', a checkpoint or adapter folder, a GGUF file, or a model on the Hugging Face hub: NAME "
            "or NAME@REVISION.",
            ASKED, "--model -m", is_name=True, request="model_fingerprint",
        ),
    ]  # fmt: skip
    chat_template_name: Annotated[
        str | None,
        Option(
            "The same, with the template of that name, where the tokenizer holds several.",
            MEASURE, metavar="NAME", request="text",
        ),
    ] = None  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Who runs the passes."""

    engine: Annotated[
        str,
        Option(
            "Where the passes run: 'local', on this machine, or 'ray', on the workers of a Ray cluster.",
            MACHINE, choices=("local", "ray"), request="",
        ),
    ] = "local"  # fmt: skip
    workers: Annotated[
        str | None,
        Option(
            "Processes of one thread each that share the passes and one copy of the weights, on a CPU; 'auto' decides "
            "by the model and the cores, and says so; left out: this process alone, with its threads.",
            MACHINE, metavar="N|auto", request="",
        ),
    ] = None  # fmt: skip
    address: Annotated[
        str | None,
        Option(
            "With --engine ray: of the cluster, e.g. 'auto' or 'head:6379'; left out: Ray starts on this machine.",
            MACHINE, request="",
        ),
    ] = None  # fmt: skip
    shard: Annotated[
        str | None,
        Option(
            "Run only the K-th of N parts of the sweep, into the folder --out names with '.part-K-of-N' added; "
            "'headscope gather' puts the parts together.",
            MACHINE, metavar="K/N", request="",
        ),
    ] = None  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Json:
    """Whether a program reads what is printed."""

    json: Annotated[bool, Option("Print one JSON object and nothing else.", OUTPUT, request="")] = False


@dataclass(frozen=True, kw_only=True)
class Printed(Json):
    """What is printed, and what is written beside the run."""

    quiet: Annotated[bool, Option("No progress and no tables.", OUTPUT, "--quiet -q", request="")] = False
    top_n: Annotated[int, Option("Heads to list for each concept and over all.", OUTPUT, check=1, request="")] = 10
    dry_run: Annotated[
        bool,
        Option(
            "Say how many passes, how long, how much memory, and the smallest effect these prompts can show; "
            "measure nothing, write nothing.",
            OUTPUT, request="",
        ),
    ] = False  # fmt: skip
    output: Annotated[Path | None, Option("Also write the study's file here.", OUTPUT, request="")] = None


@dataclass(frozen=True, kw_only=True)
class OneRun:
    """The run folder that is read."""

    run: Annotated[Path, Option("A run folder.", OUTPUT, metavar="RUN", is_argument=True, request="")]
