"""``headscope profiles import``: other people's files of tasks as a profile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from headscope.cli import console
from headscope.cli.commands import Called, command
from headscope.cli.job import refuse_unused
from headscope.settings import Option
from headscope.settings.command_line import Json
from headscope.settings.groups import ASKED, OUTPUT

if TYPE_CHECKING:
    from headscope.profiles.importing.importing import Imported
    from headscope.profiles.importing.kinds import Importer

KINDS = (
    "eap-ig", "mib", "function-vectors", "caa", "blimp", "transformer-lens", "causalgym", "table", "refusal",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Import(Json):
    file: Annotated[
        str,
        Option(
            "A file (.csv, .tsv, .json, .jsonl, .parquet), a data set on the Hugging Face hub "
            "(hf:NAME or hf:NAME:CONFIG, with @SPLIT where it has several), or a folder that datasets saved one to.",
            "", metavar="FILE", is_name=True, is_argument=True,
        ),
    ]  # fmt: skip
    out: Annotated[Path, Option("Folder of the profile; a new or an empty one.", OUTPUT)]
    kind: Annotated[
        str | None,
        Option(
            "Of what kind the file is; left out: found by its columns, and told.", ASKED, "--as", metavar="KIND",
            choices=KINDS,
        ),
    ] = None  # fmt: skip
    name: Annotated[str | None, Option("Name of the profile and its task; left out: the file's.", ASKED)] = None
    ids_of: Annotated[
        str | None,
        Option(
            "The tokenizer that the file's token ids are of: a folder, or a name on the hub.", ASKED,
            metavar="TOKENIZER", is_name=True,
        ),
    ] = None  # fmt: skip
    counterfactual: Annotated[
        str | None,
        Option("The column of the corrupted prompts, where the file has several.", ASKED, metavar="NAME"),
    ] = None
    shots: Annotated[int, Option("Of function-vectors: examples before each question.", ASKED, check=2)] = 10
    frames: Annotated[
        int, Option("Of function-vectors: in how many frames prompts are built, each a template.", ASKED, check=1)
    ] = 1
    limit: Annotated[
        int | None, Option("At most so many prompts of each task, drawn from all templates in turn.", ASKED, check=1)
    ] = None
    seed: Annotated[int, Option("Seed of what is drawn.", ASKED, check=0)] = 0


# Field of ``Wanted`` -> the option that fills it.
_OPTIONS = {"token_text": "ids_of", "counterfactual": "counterfactual", "n_shots": "shots", "n_frames": "frames"}


@command("file out kind name ids_of counterfactual shots frames limit seed json")
def import_tasks(asked: _Import, called: Called) -> None:
    """Make a profile of a file of tasks as other programs write it: prompts with answers of their own.

    EAP-IG, MIB, function vectors, CAA, BLiMP, TransformerLens' lists, CausalGym, or any table of prompts and answers.
    Says what was recognised, what was left out and why. Where anything is wrong, nothing is written.

    [bold]Examples[/bold]

    headscope profiles import ioi.csv --ids-of ./gpt2 --out ioi

    headscope profiles import hf:mib-bench/ioi@test --limit 300 --out mib-ioi
    """
    from headscope.profiles.importing.importing import check_free, import_rows, written
    from headscope.profiles.importing.kinds import Wanted
    from headscope.profiles.importing.registry import importer_for
    from headscope.profiles.importing.sources import read_source

    check_free(asked.out)
    table, notes, stem = read_source(asked.file)
    importer = importer_for(table, asked.kind)
    unused = [option for field, option in _OPTIONS.items() if field not in importer.uses]
    unused += ["seed"] if asked.limit is None and "seed" not in importer.uses else []
    refuse_unused(called.context, unused, f"with a file of the kind {importer.kind}")
    token_text = None if asked.ids_of is None else _token_text(asked.ids_of)
    wanted = Wanted(token_text, asked.counterfactual, asked.shots, asked.frames, asked.seed)
    imported = import_rows(table, importer, wanted, name=asked.name or stem, limit=asked.limit)
    profile = written(imported, asked.out, Path(asked.file).name)
    warnings = [*profile.warnings, *_on_templates(imported)]
    if asked.json:
        console.print_json(_facts(imported, importer, [*notes, *imported.notes], warnings, asked.out))
        return
    _tell(imported, importer, [*notes, *imported.notes], asked.kind is None)
    for warning in warnings:
        console.warn(warning)
    console.say(str(asked.out))


def _token_text(name: str) -> Any:
    """The text of a token of the tokenizer called ``name``."""
    from functools import partial

    from headscope.models.tokenizer_loading import named_tokenizer
    from headscope.vocabulary import token_text

    return partial(token_text, named_tokenizer(name, trust_remote_code=False))


def _on_templates(imported: Imported) -> list[str]:
    if imported.n_templates > 1:
        return []
    return [
        "all rows come from one template: they are ONE observation, with which nothing can be tested, and the edit "
        "mean, which takes its values from other templates, has none. A column template in the file names what texts "
        "do not tell"
    ]


def _facts(
    imported: Imported, importer: Importer, notes: list[str], warnings: list[str], folder: Path
) -> dict[str, Any]:
    from headscope.profiles.importing.importing import EXAMPLES_SHOWN

    left = [
        {"reason": reason, "count": len(places), "examples": [f"{at}: {got}" for at, got in places[:EXAMPLES_SHOWN]]}
        for reason, places in imported.left.items()
    ]
    return {
        "kind": importer.kind,
        "folder": str(folder),
        "tasks": {task: len(rows) for task, rows in imported.rows.items()},
        "left": left,
        "templates_count": imported.n_templates,
        "templates_found_count": imported.n_found,
        "pairs_of_equal_length_count": imported.n_equal,
        "pairs_of_unequal_length_count": imported.n_unequal,
        "notes": notes,
        "warnings": warnings,
    }


def _tell(imported: Imported, importer: Importer, notes: list[str], is_found: bool) -> None:
    from headscope.profiles.importing.importing import EXAMPLES_SHOWN

    console.say(f"kind: {importer.kind}" + (f", by its columns ({importer.looks_for})" if is_found else ""))
    for note in notes:
        console.say(note)
    n_left = sum(map(len, imported.left.values()))
    console.say(f"{imported.n_rows} prompts taken, {n_left} left out")
    for task, rows in imported.rows.items():
        if len(imported.rows) > 1:
            console.say(f"  {task}: {len(rows)}")
    for reason, places in imported.left.items():
        examples = "; ".join(f"{at}: {got}" if got else at for at, got in places[:EXAMPLES_SHOWN])
        console.say(f"  left out, {len(places)}: {reason} ({examples})")
    found = f" ({imported.n_found} prompts by their text)" if imported.n_found else ""
    console.say(f"templates: {imported.n_templates}{found}")
    if imported.n_equal or imported.n_unequal:
        console.say(
            f"corrupted partners: {imported.n_equal} of as many words, {imported.n_unequal} of another number of words"
        )
    else:
        console.say("corrupted partners: none in the file")
