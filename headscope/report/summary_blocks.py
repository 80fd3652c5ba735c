"""The first screen as blocks of a Markdown report; see ``summary_telling``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from headscope.report.anchors import anchors_of
from headscope.report.document import Block, Heading, Items, Section, Table, Text, Verbatim
from headscope.report.escaping import plain
from headscope.report.run_report import RunReport
from headscope.report.summary import first_pair
from headscope.report.summary_telling import HEADS_ROW, Links, Row, Told, fine_told, heads_listed, told_of
from headscope.report.telling import head_names

LONGEST_TEXT = 600
"""Characters of a continuation on the first screen; a longer one is cut."""


def links_into(evidence: Sequence[Section], file: str = "") -> Links:
    """Links to the headings of a Markdown file made of ``evidence``; ``file`` is empty where it is the same file."""
    own = {key: anchor for (key, text), anchor in anchors_of(evidence).items() if not text}
    return Links({key: f"{quote(file)}#{anchor}" for key, anchor in own.items()}, names_heads=True)


def summary_section(run: RunReport, links: Links) -> Section:
    """The first screen as a section of its own, between the report's title and its first numbered section."""
    return Section("summary", run.words("summary.title"), 2, list(summary_blocks(run, links)))


def summary_blocks(run: RunReport, links: Links) -> Iterator[Block]:
    """Each concept in a few lines, what its numbers are, and one pair of texts."""
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
    yield from _pair(run, links)


def _item(row: Row, one: Told, run: RunReport, links: Links) -> str:
    text = row.text
    if row.key == HEADS_ROW and one.summary is not None:
        text = run.words.sentences(text, heads_listed(one.summary, run.words, links))
    return run.words("summary.row", label=row.label, text=text)


def _pair(run: RunReport, links: Links) -> Iterator[Block]:
    pair = first_pair(run.content)
    if pair is None:
        return
    yield Heading(run.words("summary.pair"))
    about = {"concept": plain(pair.concept), "heads": head_names(pair.heads)}
    yield Text(run.words("summary.rule", **about))
    texts = [Verbatim(text, LONGEST_TEXT) for text in (pair.prompt, pair.baseline, pair.edited)]
    yield Table(("prompt", "baseline_text", "edited_text"), [[*texts]], numeric=False)
