"""Write a run's reports into its folder: ``report.md`` in English, ``report.ja.md`` in Japanese."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscope.report.markdown import render_markdown

if TYPE_CHECKING:
    from headscope.runs.folder import Run

_NAMES = {"en": "report.md", "ja": "report.ja.md"}
_FILES = ("manifest.json", "arrays.safetensors", "head_scores.json")


def write_report(run: Run, languages: Sequence[str] = ("en", "ja")) -> list[Path]:
    """Write the report in each language.

    Args:
        run: a run opened to write; its manifest, tables and the names of its pictures are read.
        languages: of ``en`` and ``ja``.

    Returns:
        The files written, in the order of the languages.

    Raises:
        RequestError: an unknown language, a damaged table, or a report is there already with other content and the
            run was not opened with ``force``.
    """
    tables = {name: run.table(name) for name in run.tables}
    facts = facts_from(run)
    texts = {language: render_markdown(tables, facts, language) for language in languages}
    return [run.write_derived(_NAMES[language], text) for language, text in texts.items()]


def facts_from(run: Run) -> dict[str, Any]:
    """The manifest as a mapping, with the run's pictures and files, relative to its folder.

    A report is written before its run is finished, and tells of the finished one.
    """
    facts = run.manifest.model_dump(mode="json")
    if facts["status"] == "running":
        facts["status"] = "finished"
    figures = sorted((run.path / "plots").glob("*.png"), key=lambda path: path.name)
    facts["figures"] = [f"plots/{path.name}" for path in figures]
    facts["artifacts"] = list(_artifacts(run))
    return facts


def _artifacts(run: Run) -> Iterator[str]:
    yield from (name for name in _FILES if (run.path / name).is_file())
    yield from (f"tables/{name}.csv" for name in run.tables)
