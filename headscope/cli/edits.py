"""``headscope edits``: save an edit of heads to a file, and show what is in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headscope.cli import console
from headscope.cli.commands import command
from headscope.cli.inputs import check_outputs
from headscope.cli.job import LOADING, PROMPTS, Job, load
from headscope.errors import RequestError, one_of
from headscope.settings import Option
from headscope.settings.command_line import Json
from headscope.settings.groups import ASKED, MEASURE, OUTPUT
from headscope.settings.measuring import HEADS, OF_FILE
from headscope.terms import FITTED_VECTORS

if TYPE_CHECKING:
    from headscope.models.editing import HeadEdit
    from headscope.models.head_model import HeadModel

app = typer.Typer(no_args_is_help=True, help="Save an edit of heads to a file, or show one.")

FROM_PROMPTS = f"{PROMPTS} concept chat_template chat_template_name thinking"
"""Options that only a mean over control prompts, or a concept's vector, uses."""


@dataclass(frozen=True, kw_only=True)
class Edited:
    """Which heads, and what becomes of what they put out."""

    heads: Annotated[
        str | None,
        Option('Heads, counted from 0: "1:10", "L1H10", "3:0-5", "7:*", joined by commas.' + OF_FILE, ASKED, HEADS),
    ] = None
    edit: Annotated[
        str | None,
        Option(
            "What becomes of a head's output: 'zero'; 'scale', times --factor; 'mean', that of the profile's control "
            "prompts, or 'replace', by --values; 'add', plus --values, or plus --dose of a concept's --vector.",
            MEASURE,
        ),
    ] = None  # fmt: skip
    factor: Annotated[float | None, Option("With --edit scale: 0 switches off, 1 changes nothing.", MEASURE)] = None
    values: Annotated[
        Path | None,
        Option("With --edit mean, replace or add: a vector for each head, in a .npy or .safetensors file.", MEASURE),
    ] = None
    vector: Annotated[
        str | None,
        Option("With --edit add: 'mean_difference' or 'probe', fitted to --concept of the profile.", MEASURE),
    ] = None
    dose: Annotated[float | None, Option("With --vector: how far, in σ, as headscope steer has it.", MEASURE)] = None
    note: Annotated[str | None, Option("How the heads were found; kept with the edit.", OUTPUT)] = None


@dataclass(frozen=True, kw_only=True)
class _File:
    out: Annotated[Path, Option("The file to write, .safetensors; one that exists is replaced.", OUTPUT)]


@dataclass(frozen=True, kw_only=True)
class _Shown(Json):
    file: Annotated[Path, Option("A file that headscope edits save wrote.", "", is_argument=True)]


@app.command("save")
@command(f"model heads edit factor values vector dose note {FROM_PROMPTS} {LOADING} out json")
def save(job: Job, edited: Edited, file: _File) -> None:
    """Save an edit of heads as a file: values, heads, kind, the model's fingerprint, where it came from.

    In Python: with model.edit(hs.load_edit(FILE)).

    [bold]Examples[/bold]

    headscope edits save --model demo --heads "1:2" --edit zero --out off.safetensors

    headscope edits save --model demo --profile baseline --heads "1:2" --edit mean --out mean.safetensors

    headscope edits save --model demo --heads 3:3 --edit add --vector mean_difference --dose 4 --concept gratitude
    --out up.safetensors
    """
    check_outputs(None, file.out, ".safetensors")
    model, edit = made(job, edited)
    path = model.save_edit(file.out, edit)
    if job.printed.json:
        console.print_json({"file": str(path), **edit.record(model).facts()})
        return
    console.say(f"{path}: {edit.kind} of {edit.heads}")


@app.command("show")
@command("file json")
def show(shown: _Shown) -> None:
    """What a file of an edit holds.

    [bold]Examples[/bold]

    headscope edits show off.safetensors

    headscope edits show off.safetensors --json
    """
    from headscope.models.edit_format import read_record

    record = read_record(shown.file)
    norms = {name: float(value.double().norm()) for name, value in record.values.items()}
    rows = [{"head": head, "size": record.values[head].numel() if head in norms else None, "norm": norms.get(head)}
            for head in record.heads]  # fmt: skip
    facts = record.facts()
    if shown.json:
        console.print_json({"file": str(shown.file), **facts, "values": rows if norms else []})
        return
    what = f"{record.kind} by {record.factor:g}" if record.kind == "scale" else record.kind
    kept = ", value bias kept" if record.value_bias == "keep" else ""
    console.say(f"{shown.file}: {what}{kept}, of {len(rows)} {'head' if len(rows) == 1 else 'heads'}, at all positions")
    console.say(f"model: {record.model['name']}, fingerprint {record.model['fingerprint'][:12]}")
    for name, value in sorted(record.about.items()):
        console.say(f"{name}: {value}")
    console.say(f"written by headscope {record.headscope}")
    console.print_table("", rows, {"head": "head", "size": "numbers", "norm": "norm of its vector"})


def made(job: Job, edited: Edited) -> tuple[HeadModel, HeadEdit]:
    """The model and the edit that are asked for; what is wrong with the request is refused before the model is loaded.

    Raises:
        RequestError: an option is missing, does not fit the edit, or has no use.
    """
    from headscope.models.edit_values import read_values
    from headscope.verbs.making_edits import check_kind, edit, head_edit

    if edited.heads is None or edited.edit is None:
        raise RequestError(
            "no edit is asked for", expected='--heads "1:10" and --edit zero, scale, mean, replace or add'
        )
    has_values = edited.values is not None
    _check_vector(edited, job.settings.concepts)
    has_some = has_values or edited.vector is not None
    check_kind(edited.edit, factor=edited.factor, has_values=has_some, may_take_mean=True)
    values = None if edited.values is None else read_values(edited.values)
    about: dict[str, Any] = {} if edited.note is None else {"note": edited.note}
    if edited.heads.startswith("@"):
        about["heads_from"] = edited.heads
    if edited.edit == "mean" and not has_values:
        study = job.study(job.profile())
        return study.model, edit(study, edited.heads, kind="mean", **about)
    if edited.vector is not None and edited.dose is not None:
        from headscope.verbs.steer_request import steering_edit

        study = job.study(job.profile())
        (concept,) = study.names
        return study.model, steering_edit(study, edited.heads, concept, edited.dose, vector=edited.vector, **about)
    job.refuse(FROM_PROMPTS.split(), "where no mean over control prompts is taken, and no vector fitted")
    if edited.values is not None:
        about["values"] = f"from {edited.values.name}"
    asked = head_edit(edited.heads, edited.edit, factor=edited.factor, values=values, about=about)
    model = load(job.asked.model, job.loading)
    asked = replace(asked, heads=str(model.head_set(edited.heads)))  # not the file that named them
    asked.layer_edits(model)
    return model, asked


def _check_vector(edited: Edited, concepts: Sequence[str] | str | None) -> None:
    """Raise RequestError where --vector and what belongs to it do not fit together."""
    if (edited.vector is None) != (edited.dose is None):
        raise RequestError("a vector needs a dose, and a dose a vector", expected="--vector and --dose, or neither")
    if edited.vector is None:
        return
    one_of("vector", edited.vector, FITTED_VECTORS)
    if edited.edit != "add" or edited.values is not None:
        raise RequestError("--vector is of --edit add without --values", fix="leave one of them out")
    if concepts is None or len(concepts) != 1:
        raise RequestError("a vector is fitted to one concept", expected="--concept NAME, once")
