"""The first screen on the page: a box a concept, its heads as chips that open their cards, and one pair of texts.

A chip says its verdict by a mark, a color and in words. What a box leaves out (every interval, p and condition) unfolds
in it; a number leads to the part of the page where it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from markupsafe import Markup, escape

from headscope.report.escaping import visible
from headscope.report.html import as_it_is, sentence
from headscope.report.numbers import number
from headscope.report.page_texts import difference
from headscope.report.run_report import RunReport
from headscope.report.summary import Chip, Summary, TextPair, first_pair
from headscope.report.summary_telling import (
    HEADS_ROW,
    MARKS,
    Links,
    Row,
    Told,
    chip_verdict,
    fine_told,
    pair_told,
    rest_told,
    told_of,
)
from headscope.report.telling import head_names
from headscope.report.words import Words

_INTERVAL = re.compile(r"\[[−\d.,% ]+\]")
_SCREEN = Markup('<div class="headlines">{}</div>')
_PAIR = Markup('<div class="pair"><h2>{}</h2><p class="fine">{}</p><div class="arms">{}</div></div>')
_CHIP = Markup(
    '<li><a class="chip {kind}" href="#{head}"><span class="mark" aria-hidden="true">{mark}</span> <b>{head}</b> '
    '<span class="size">{size}</span> <span class="verdict">{verdict}</span></a></li>'
)
_ROW = Markup('<div class="row {key}"><dt>{label}</dt>{lines}</div>')
_BOX = Markup(
    '<article class="headline told {tone}"><h2 dir="auto">{concept}</h2><dl>{rows}</dl>'
    "<details><summary>{more}</summary><p>{full}</p></details></article>"
)
_TEXT = Markup(
    '<div class="text"><div class="who">{who}</div><span class="written" dir="auto"><b>{prompt}</b>{text}</span></div>'
)


def summary_html(run: RunReport, places: Mapping[str, str]) -> Markup:
    """The boxes; ``places``: key of a section -> its address on the page."""
    told = told_of(run, Links(places))
    boxes = [_box(one, run.words) for one in told] or [_plain("unknown", run.words("intro.no_result"))]
    return _SCREEN.format(Markup("").join(boxes))


def fine_html(run: RunReport) -> Markup:
    """What the boxes' numbers are, and what they are no evidence of."""
    told = fine_told(run, told_of(run, Links({})))
    return Markup('<p class="fine how">{}</p>').format(sentence(run.words.sentences(told, run.words(run.fine))))


def pair_html(run: RunReport) -> Markup:
    """The pair of texts with the rule that chose it; empty where a run wrote none."""
    pair = first_pair(run.content)
    if pair is None:
        return Markup("")
    rule, edited = pair_told(pair, run.words)
    return _PAIR.format(run.words("summary.pair"), sentence(rule), _arms(pair, edited, run.words))


def _box(told: Told, words: Words) -> Markup:
    if told.summary is None:
        return _plain(told.tone, told.text)
    return _BOX.format(
        tone=told.tone,
        concept=visible(told.concept),
        rows=Markup("").join(_row(row, told.summary, words) for row in told.rows),
        more=words("summary.full"),
        full=sentence(told.full),
    )


def _plain(tone: str, text: str) -> Markup:
    return Markup('<article class="headline {}"><p>{}</p></article>').format(tone, sentence(text))


def _row(row: Row, summary: Summary, words: Words) -> Markup:
    lines = [Markup(" <dd>{}</dd>").format(_unbroken(sentence(line))) for line in row.lines]
    if row.key == HEADS_ROW:
        lines.append(Markup("<dd>{}</dd>").format(_chips(summary, words)))
    return _ROW.format(key=row.key, label=row.label, lines=Markup("").join(lines))


def _unbroken(text: Markup) -> Markup:
    """Text whose intervals stay on one line."""
    return as_it_is(_INTERVAL.sub(r'<span class="interval">\g<0></span>', str(text)))


def _chips(summary: Summary, words: Words) -> Markup:
    chips = Markup("").join(_chip(chip, words) for chip in summary.chips)
    html = Markup('<ul class="chips">{}</ul>').format(chips) if chips else Markup("")
    rest = rest_told(summary, words)
    return html + (Markup('<a class="rest" href="#heads">{}</a>').format(rest) if rest else "")


def _chip(chip: Chip, words: Words) -> Markup:
    verdict = sentence(chip_verdict(chip, words))
    shown = {"mark": MARKS[chip.kind], "size": number(chip.estimate_nats), "verdict": verdict}
    return _CHIP.format(kind=chip.kind, head=head_names(chip.heads), **shown)


def _arms(pair: TextPair, edited: str, words: Words) -> Markup:
    pieces = difference(pair.baseline, pair.edited)
    arms = (
        (words("summary.baseline"), "-", Markup("<del>{}</del>")),
        (edited, "+", Markup("<ins>{}</ins>")),
    )
    texts = [
        _TEXT.format(
            who=sentence(who),
            prompt=pair.prompt,
            text=Markup("").join(
                changed.format(text) if sign == own else escape(text) for sign, text in pieces if sign in ("=", own)
            ),
        )
        for who, own, changed in arms
    ]
    return Markup("").join(texts)
