"""Write a run's reports into its folder: the page ``report.html``; ``report.md`` and what it rests on, ``evidence.md``,
in Japanese ``report.ja.md`` and ``evidence.ja.md``.

A table or the arrays that cannot be read (edited by hand, cut off) do not stop a report: it shows what there is, and
names what it could not read among its warnings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscope.errors import RequestError
from headscope.report.anchors import evidence_file
from headscope.report.markdown import markdown_of
from headscope.report.page import page_of
from headscope.report.run_report import content_of
from headscope.report.short_sections import report_of
from headscope.report.words import languages as known_languages

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from headscope.runs.folder import Run

PAGE = "report.html"
_ARRAYS = "arrays.safetensors"
_FILES = ("manifest.json", _ARRAYS, "head_scores.json")
_WITHOUT_ARRAYS = ("probe", "eval")
"""Verbs that write tables alone."""


def write_report(run: Run, languages: Sequence[str] = ("en", "ja"), *, status: str = "finished") -> list[Path]:
    """Write the report in each language, and the page.

    Args:
        run: a run opened to write; its manifest, tables, arrays and the names of its pictures are read.
        languages: of the Markdown; the page holds every language and opens in the first of these.
        status: of a run that is being made, as its report tells it: by default that of the finished run; ``running``
            makes a page that loads itself again. A run that was opened has the status of its manifest, and one that
            was running when its process ended was stopped.

    Returns:
        The files written: of each language in their order the report and its evidence, then the page.

    Raises:
        RequestError: an unknown language, or a report is there already with other content and the run was not opened
            with ``force``.
    """
    tables, problems = readable_tables(run)
    arrays, more = _readable_arrays(run)
    problems += more
    facts = facts_from(run)
    facts["warnings"] = [*facts["warnings"], *problems]
    if run.making:
        facts["status"] = status
    elif facts["status"] == "running":
        facts["status"] = "stopped"
    content = content_of(tables, facts)
    first = next(iter(languages), "en")
    codes = dict.fromkeys((first, *languages, *known_languages()))
    told = {code: content.told_in(code) for code in codes}
    sections = {code: report_of(run) for code, run in told.items()}
    texts: dict[str, str] = {}
    for code in languages:
        report, evidence = sections[code]
        texts[file_name(code)] = markdown_of(report, told[code].words)
        texts[evidence_file(code)] = markdown_of(evidence, told[code].words)
    texts[PAGE] = page_of(told, {code: evidence for code, (_, evidence) in sections.items()}, arrays, tuple(problems))
    return [run.write_derived(name, text) for name, text in texts.items()]


def file_name(language: str) -> str:
    """``report.md`` in English, else ``report.<code>.md``."""
    return "report.md" if language == "en" else f"report.{language}.md"


def readable_tables(run: Run) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The run's tables by name, and a sentence for each that is there and cannot be read."""
    tables: dict[str, pd.DataFrame] = {}
    problems: list[str] = []
    for name in run.tables:
        try:
            tables[name] = run.table(name)
        except RequestError as error:
            problems.append(_problem(error, run))
    return tables, problems


def _readable_arrays(run: Run) -> tuple[dict[str, xr.Dataset], list[str]]:
    if run.manifest.request.verb in _WITHOUT_ARRAYS and not (run.path / _ARRAYS).exists():
        return {}, []
    try:
        return run.read_arrays(), []
    except RequestError as error:
        return {}, [_problem(error, run)]


def _problem(error: RequestError, run: Run) -> str:
    """The error in one line, its places named from the folder on, so that a report holds no path of this machine."""
    lines = str(error).replace(f"{run.path}/", "").split("\n")
    return "; ".join(" ".join(line.split()) for line in lines) + "."


def facts_from(run: Run) -> dict[str, Any]:
    """The manifest as a mapping, with the run's pictures and files, relative to its folder."""
    facts = run.manifest.model_dump(mode="json")
    figures = sorted((run.path / "plots").glob("*.png"), key=lambda path: path.name)
    facts["figures"] = [f"plots/{path.name}" for path in figures]
    facts["artifacts"] = list(_artifacts(run))
    return facts


def _artifacts(run: Run) -> Iterator[str]:
    yield from (name for name in _FILES if (run.path / name).is_file())
    yield from (f"tables/{name}.csv" for name in run.tables)
