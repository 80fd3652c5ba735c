"""A run as Markdown, block by block, in one language: the report (``short_sections``), the evidence (``sections``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import pandas as pd

from headscope.report.document import (
    Block,
    Cell,
    Code,
    Foreign,
    Heading,
    Items,
    Picture,
    Section,
    Space,
    Table,
    Text,
    Verbatim,
)
from headscope.report.escaping import block as fenced
from headscope.report.escaping import code, plain
from headscope.report.run_report import content_of
from headscope.report.sections import sections_of
from headscope.report.short_sections import report_of
from headscope.report.words import Words


def render_markdown(tables: Mapping[str, pd.DataFrame], facts: Mapping[str, Any], language: str) -> str:
    """The report as one Markdown document: the findings, with links into the evidence.

    Args:
        tables: the run's tables, by name; any of them may be missing, and the report then says so.
        facts: the manifest as a mapping, with ``figures`` (paths of pictures relative to the report) and ``artifacts``
            (paths of the run's files) added.
        language: one of ``words.languages()``.

    Raises:
        RequestError: another language was asked for.
    """
    run = content_of(tables, facts).told_in(language)
    report, _ = report_of(run)
    return markdown_of(report, run.words)


def render_evidence(tables: Mapping[str, pd.DataFrame], facts: Mapping[str, Any], language: str) -> str:
    """All tables and sections behind the report as one Markdown document; see ``render_markdown``."""
    run = content_of(tables, facts).told_in(language)
    return markdown_of(sections_of(run), run.words)


def markdown_of(sections: Iterable[Section], words: Words) -> str:
    """Sections as one Markdown document."""
    return "".join(_section(section, words) for section in sections).strip() + "\n"


def _section(section: Section, words: Words) -> str:
    title = f"{'#' * section.level} {section.title}\n\n" if section.title else ""
    return title + "".join(_block(block, words) for block in section.blocks)


def _block(block: Block, words: Words) -> str:
    match block:
        case Heading(text):
            return f"### {text}\n\n"
        case Text(text, quoted):
            return f"> {text}\n\n" if quoted else f"{text}\n\n"
        case Items(items):
            return "".join(f"- {item}\n" for item in items) + "\n"
        case Table():
            return f"{_table(block, words)}\n\n"
        case Code(text):
            return f"{fenced(text)}\n\n"
        case Picture(path, caption, stands_for):
            shown = cell_text(caption)
            return f"![{stands_for or shown}]({quote(path)})\n\n{words('figure_line', caption=shown)}\n\n"
        case Space():
            return "\n"


def cell_text(cell: Cell) -> str:
    """A cell as Markdown."""
    match cell:
        case tuple():
            return "".join(map(cell_text, cell))
        case Verbatim(text, longest):
            return code(text, longest)
        case Foreign():
            return plain(cell)
        case _:
            return cell


def column_title(table: Table, column: str, words: Words) -> str:
    """What a column is called, as plain text."""
    return str(column) if isinstance(column, Foreign) else words(f"columns.{column}", limit=table.limit)


def _table(table: Table, words: Words) -> str:
    """A Markdown table with its notes; first columns left, numbers right."""
    titles = [(plain if isinstance(one, Foreign) else _pipes)(column_title(table, one, words)) for one in table.columns]
    rows = "".join(f"\n| {' | '.join(map(cell_text, row))} |" for row in table.rows)
    notes = "".join(f"\n\n{mark} {cell_text(reason)}" for reason, mark in table.reasons.items())
    if not table.numeric:
        heading = f"| {' | '.join(titles)} |" if any(titles) else f"|{' |' * len(titles)}"
        return f"{heading}\n|{':--|' * len(titles)}{rows}{notes}"
    lines = [":--" if at == 0 else "--:" for at in range(len(titles))]
    return f"| {' | '.join(titles)} |\n|{'|'.join(lines)}|{rows}{notes}"


def _pipes(title: str) -> str:
    return title.replace("|", "\\|")
