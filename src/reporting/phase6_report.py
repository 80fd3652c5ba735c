"""Phase 6 report: the study's fourth artifact, written from its files alone.

    python -m src.reporting.phase6_report --profile baseline --head-scores head_scores_gpt2.json \
        --ablation-file gpt2_gratitude_1_10.pkl --plots-dir results/baseline/plots/heads \
        --output docs/report/phase6_head_screening_report.md

Japanese by default, as the study's own. A report of this command is replaced; a file of anyone else's is not.
"""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from headscope.cli import console
from headscope.cli.commands import command, one_of
from headscope.cli.exits import run_and_exit
from headscope.cli.inputs import check_outputs
from headscope.errors import RequestError
from headscope.profiles.files import expanded
from headscope.settings import Option
from headscope.settings.command_line import Printed, Prompts

MARK = "<!-- written by src.reporting.phase6_report -->\n\n"
_PICTURE = ".png"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, kw_only=True)
class Reported(Prompts):
    """What the report is on, and where it goes."""

    head_scores: Annotated[Path, Option("A head_scores JSON.", "")]
    ablation_files: Annotated[
        list[Path] | None, Option("An ablation .pkl or .json; repeatable.", "", "--ablation-file", name="ablation_file")
    ] = None
    plots_dir: Annotated[
        Path | None, Option("Folder of the study's pictures. Default: results/<profile>/plots/heads, if there.", "")
    ] = None
    report: Annotated[Path, Option("The report, .md.", "", "--output", name="report")] = Path(
        "docs/report/phase6_head_screening_report.md"
    )
    language: Annotated[str, Option("Language of the report: ja or en.", "", "--language --lang")] = "ja"


@app.command()
@command("profile head_scores ablation_file plots_dir report language top_n")
def phase6_report(reported: Reported, printed: Printed) -> None:
    """Write the study's report from its files: head scores, ablations and pictures."""
    from headscope.report.study import study_report
    from headscope.report.study_files import read_study
    from headscope.report.words import languages
    from headscope.runs.atomic import write_text_atomic

    output = reported.report
    one_of("language", reported.language, languages())
    check_outputs(None, output, ".md")
    _check_own(output)
    files = read_study(
        reported.head_scores,
        [expanded(path) for path in reported.ablation_files or ()],
        figures=_pictures(reported),
        profile=reported.profile,
        command=f"python -m src.reporting.phase6_report {shlex.join(sys.argv[1:])}",
    )
    text = study_report(files, reported.language, printed.top_n)
    console.say(f"report: {write_text_atomic(output, MARK + text)}")


def _pictures(reported: Reported) -> dict[str, str]:
    """Pictures, the study's three first: path relative to the report -> path.

    Raises:
        RequestError: the folder that was asked for is not there.
    """
    from headscope.report.study_files import FIGURES
    from headscope.runs.paths import file_part

    folder = reported.plots_dir or Path("results") / file_part(reported.profile) / "plots" / "heads"
    if not folder.is_dir():
        if reported.plots_dir is None:
            return {}
        raise RequestError(
            "folder of pictures does not exist", expected="a folder", got=str(folder), fix="check the path"
        )
    names = sorted(path.stem for path in folder.iterdir() if path.suffix == _PICTURE)
    ordered = [*(name for name in FIGURES if name in names), *(name for name in names if name not in FIGURES)]
    beside = os.path.relpath(folder.resolve(), reported.report.resolve().parent)
    return {Path(beside, f"{name}{_PICTURE}").as_posix(): (folder / f"{name}{_PICTURE}").as_posix() for name in ordered}


def _check_own(path: Path) -> None:
    """Refuse to replace what another hand wrote."""
    if path.is_file() and not path.read_bytes().startswith(MARK.encode()):
        raise RequestError(
            "a report is there that this command did not write", expected="a new file, or one that it wrote",
            where=str(path), fix="name another with --output, or move it away",
        )  # fmt: skip


if __name__ == "__main__":
    run_and_exit(app, "phase6_report")
