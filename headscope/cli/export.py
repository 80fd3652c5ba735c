"""``headscope export``: an ordinary checkpoint with an edit of heads folded into its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from headscope.cli import console
from headscope.cli.commands import command
from headscope.cli.edits import FROM_PROMPTS, Edited, made
from headscope.cli.job import LOADING, Job, load
from headscope.errors import RequestError
from headscope.settings import Option
from headscope.settings.groups import ASKED, OUTPUT


@dataclass(frozen=True, kw_only=True)
class _Exported:
    out: Annotated[Path, Option("The folder to write, new or empty.", OUTPUT)]
    edit_file: Annotated[
        Path | None, Option("A file of headscope edits save, in place of --heads and --edit.", ASKED)
    ] = None
    any_model: Annotated[
        bool, Option("With --edit-file: also one that was made on another model, if it fits.", ASKED)
    ] = False


@command(f"model heads edit factor values vector dose edit_file any_model note {FROM_PROMPTS} {LOADING} out json")
def export(job: Job, edited: Edited, asked: _Exported) -> None:
    """Write a Hugging Face checkpoint with an edit of heads folded into its weights, for plain transformers.

    zero and scale in every family, mean, replace and add where the output projection can have a bias. The checkpoint
    is loaded anew and compared with the edited model before it is kept. Nothing is pushed anywhere.

    [bold]Examples[/bold]

    headscope export --model demo --heads "1:2" --edit zero --out without_1_2

    headscope export --model demo --edit-file mean.safetensors --out edited
    """
    from headscope.models.exporting import check_empty
    from headscope.models.exporting import export as export_model

    check_empty(asked.out)
    if asked.edit_file is None:
        if asked.any_model:
            raise RequestError("--any-model is not used without --edit-file", fix="leave it out")
        model, edit = made(job, edited)
    else:
        from headscope.models.edit_files import load_edit

        names = ("heads", "edit", "factor", "values", "vector", "dose", "note", *FROM_PROMPTS.split())
        job.refuse(names, "with --edit-file, which says it all")
        edit = load_edit(asked.edit_file, any_model=asked.any_model)
        model = load(job.asked.model, job.loading)
    written = export_model(model, edit, asked.out)
    if job.printed.json:
        console.print_json({"folder": str(written.path), **written.facts})
        return
    facts = written.facts
    console.say(f"{written.path}: {facts['kind']} of {','.join(facts['heads'])}, {facts['dtype']}")
    for setting in facts["settings_turned_on"]:
        console.say(f"config.json: {setting} is now true, to make room for a bias")
    console.say(
        f"loaded anew, its logits differ from the edited model's by at most {facts['largest_difference']:.1e} of the "
        f"largest ({facts['tolerance']:.1e} is allowed)"
    )
