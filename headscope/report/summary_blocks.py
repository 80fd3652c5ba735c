"""The first screen as blocks of a Markdown report; see ``summary_telling``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headscope.report.document import Block, Foreign, Heading, Items, Section, Table, Text, Verbatim
from headscope.report.escaping import plain
from headscope.report.run_report import RunReport
from headscope.report.summary import first_pair
from headscope.report.summary_telling import HEADS_ROW, Links, Row, Told, fine_told, heads_listed, pair_told, told_of

LONGEST_TEXT = 600
"""Characters of a continuation on the first screen; a longer one is cut."""


def summary_section(run: RunReport, targets: Mapping[str, str]) -> Section:
    """The first screen as a section of its own, between the report's title and its first numbered section."""
    return Section("summary", run.words("summary.title"), 2, list(summary_blocks(run, targets)))


def summary_blocks(run: RunReport, targets: Mapping[str, str]) -> Iterator[Block]:
    """Each concept in a few lines, what its numbers are, and one pair of texts.

    ``targets``: key of a section -> what a link to it names; where a section is missing, its number is no link.
    """
    links = Links(targets, names_heads=True)
    told = told_of(run, links)
    if not told:
        yield run.say("intro.no_result")
    for one in told:
        if one.summary is None:
            yield Text(one.text)
        else:
            yield Heading(plain(one.concept))
            yield Items([_item(row, one, run, links) for row in one.rows])
    if fine := fine_told(run, told):
        yield Text(fine)
    yield from _pair(run)


def _item(row: Row, one: Told, run: RunReport, links: Links) -> str:
    text = run.words("summary.then").join(row.lines)
    if row.key == HEADS_ROW and one.summary is not None:
        text = run.words.sentences(text, heads_listed(one.summary, run.words, links))
    return run.words("summary.row", label=row.label, text=text)


def _pair(run: RunReport) -> Iterator[Block]:
    pair = first_pair(run.content)
    if pair is None:
        return
    yield Heading(run.words("summary.pair"))
    rule, edited = pair_told(pair, run.words)
    yield Text(rule)
    rows = [
        [name, Verbatim(text, LONGEST_TEXT)]
        for name, text in (
            (run.words("columns.prompt"), pair.prompt),
            (run.words("summary.baseline"), pair.baseline),
            (edited, pair.edited),
        )
    ]
    yield Table((Foreign(""), Foreign("")), [[*row] for row in rows], numeric=False)
