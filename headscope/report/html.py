"""The report's sections as HTML: the same blocks and the same tables that Markdown gets, shown in its own way.

Our sentences are Markdown and go through markdown-it, raw HTML in them stays text; cells are escaped one by one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from headscope.report.document import Block, Cell, Code, Foreign, Heading, Items, Section, Table, Text, Verbatim
from headscope.report.escaping import visible
from headscope.report.markdown import column_title
from headscope.report.words import Words

_NOTICE = Markup('<p class="notice strong" role="note">{}</p>\n')
_FINE = Markup('<p class="fine">{}</p>\n')
_HEAD = re.compile(r"\bL\d+H\d+\b")


def sentence(markdown: str) -> Markup:
    """A sentence of the Markdown report as HTML, its heads as links to their cards; raw HTML in it stays text."""
    return as_it_is(_linked(_markdown().renderInline(markdown)))


def as_it_is(text: str) -> Markup:
    """What may stand in the page unescaped: our files, plotly's, markdown-it's HTML, JSON without ``<``."""
    return Markup(text)  # noqa: S704 - see above  # nosec B704


def section_html(section: Section, words: Words) -> Markup:
    """A section under its heading, which has an id; one that holds a table can be folded."""
    at = f"{section.key}-{words.code}"
    body = blocks_html(section, words)
    title = sentence(re.sub(r"^\d+\. ", "", section.title))
    if section.level == 3 and any(isinstance(block, Table) for block in section.blocks):
        return Markup('<details class="box" id="{}"><summary>{}</summary>{}</details>\n').format(at, title, body)
    return Markup('<h3 id="{}">{}</h3>\n{}').format(at, title, body) if section.title else body


def blocks_html(section: Section, words: Words) -> Markup:
    """What a section says, without its heading."""
    return Markup("").join(_block(block, words) for block in section.blocks)


def _block(block: Block, words: Words) -> Markup:
    match block:
        case Heading(text):
            return Markup("<h4>{}</h4>\n").format(sentence(text))
        case Text(text, quoted):
            return (_NOTICE if quoted else _FINE).format(sentence(text))
        case Items(items):
            return Markup("<ul>{}</ul>\n").format(
                Markup("").join(Markup("<li>{}</li>").format(sentence(one)) for one in items)
            )
        case Table():
            return _table(block, words)
        case Code(text):
            return Markup('<pre tabindex="0"><code>{}</code></pre>\n').format(text)
        case _:
            return Markup("")


def _table(table: Table, words: Words) -> Markup:
    titles = [column_title(table, one, words) for one in table.columns]
    titles = titles if any(titles) else [words("columns.setting"), words("columns.value")]
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(title) for title in titles)
    rows = Markup("").join(_row(row) for row in table.rows)
    notes = Markup("").join(
        Markup('<p class="fine">{} {}</p>').format(mark, cell_html(reason)) for reason, mark in table.reasons.items()
    )
    heading = Markup("<thead><tr>{}</tr></thead>").format(head)
    return Markup('<div class="scroll" tabindex="0"><table class="plain">{}<tbody>{}</tbody></table></div>{}\n').format(
        heading, rows, notes
    )


def _row(row: list[Cell]) -> Markup:
    first, others = cell_html(row[0]), Markup("").join(Markup("<td>{}</td>").format(cell_html(one)) for one in row[1:])
    return Markup('<tr><th scope="row">{}</th>{}</tr>').format(first, others)


def cell_html(cell: Cell) -> Markup:
    """A cell as HTML: our names of heads are links, foreign text is text."""
    match cell:
        case tuple():
            return Markup("").join(map(cell_html, cell))
        case Verbatim(text, longest):
            cut = text if longest is None or len(text) <= longest else text[: longest - 1] + "…"
            return Markup("<code>{}</code>").format(visible(cut))
        case Foreign():
            return escape(visible(cell))
        case _:
            return as_it_is(_linked(str(escape(cell))))


def cell_plain(cell: Cell) -> str:
    """A cell as bare text, for the page's data."""
    if isinstance(cell, tuple):
        return "".join(map(cell_plain, cell))
    return cell.text if isinstance(cell, Verbatim) else str(cell)


def _linked(html: str) -> str:
    return _HEAD.sub(r'<a href="#\g<0>">\g<0></a>', html)


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False})
