"""The first screen in a language: each concept in at most five rows, every number a link to its evidence.

A row is a label and Markdown. Where a link leads is the medium's: the page has the sections beside it, a Markdown
report has them in another file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from headscope.report.escaping import plain
from headscope.report.findings import ConceptFindings
from headscope.report.headlines import headlines
from headscope.report.numbers import as_float, count, equation, interval, number, ratio_interval, share
from headscope.report.run_report import RunReport
from headscope.report.summary import Chip, Harm, Kind, Summary, Together, Undecided, summary_of, tolerated_ratio
from headscope.report.telling import head_names
from headscope.report.words import Words
from headscope.stats.verdicts import DAMAGE_UNBOUNDED, GENERAL_DAMAGE

HEADS_ROW = "heads"
MARKS: Mapping[Kind, str] = {"carrier": "●", "causal": "◐", "open": "?", "harmful": "▲"}
"""The mark of a chip, so that its color is not all that tells its kind."""


@dataclass(frozen=True)
class Links:
    """Where what is said is shown.

    ``places``: key of a section -> address. ``names_heads``: heads become links of their own, to where verdicts stand;
    the page has a card for each and makes its links itself.
    """

    places: Mapping[str, str]
    names_heads: bool = False

    def to(self, key: str, text: str) -> str:
        """``text`` as a link to a section; bare where there is no such section."""
        return f"[{text}]({self.places[key]})" if key in self.places else text

    def heads(self, heads: str) -> str:
        """Names of heads."""
        return self.to("judged", head_names(heads)) if self.names_heads else head_names(heads)


@dataclass(frozen=True)
class Row:
    """One answer: its key among ``summary.rows``, its label and its Markdown."""

    key: str
    label: str
    text: str


@dataclass(frozen=True)
class Told:
    """One concept on the first screen: rows, or one ``text`` where a run has less to say; ``full`` is all of it."""

    concept: str
    tone: str
    summary: Summary | None
    rows: tuple[Row, ...]
    text: str
    full: str


def told_of(run: RunReport, links: Links) -> list[Told]:
    """The whole first screen but its texts; empty where the run has found nothing to tell."""
    content = run.content
    if content.asks_benchmarks or content.only_probes or content.only_steers:
        return [Told("", tone, None, (), text, "") for tone, text in headlines(run, briefly=True)]
    told: list[Told] = []
    for found, (tone, text) in zip(run.findings, headlines(run), strict=True):
        summary = summary_of(content, found)
        if summary is None:
            told.append(Told(found.concept, tone, None, (), text, ""))
        else:
            rows = tuple(_rows(summary, run.words, links))
            told.append(Told(found.concept, summary.tone, summary, rows, "", text))
    return told


def _rows(summary: Summary, words: Words, links: Links) -> list[Row]:
    texts = {
        "model": _model(summary.found, words, links),
        HEADS_ROW: heads_told(summary, words) if summary.found.assay_shown else "",
        "sure": _sure(summary, words, links),
        "together": words.listed([_set(one, words, links, at == 0) for at, one in enumerate(summary.together)]),
        "harm": words.listed([_harm(one, summary, words, links) for one in summary.harm], by="items"),
    }
    return [Row(key, words(f"summary.rows.{key}"), text) for key, text in texts.items() if text]


def _model(found: ConceptFindings, words: Words, links: Links) -> str:
    if found.assay is None:
        return words("summary.unmeasured") if found.verdicts else ""
    gap = links.to("assay", words("summary.nats", size=number(found.assay.estimate)))
    ends = interval(found.assay.low, found.assay.high)
    texts = [words("summary.shown" if found.assay_shown else "summary.unshown", gap=gap, ends=ends)]
    if found.accuracy is not None:
        ends = f"[{share(found.accuracy['ci_low'])}, {share(found.accuracy['ci_high'])}]"
        texts.append(words("summary.accuracy", share=links.to("assay", share(found.accuracy["estimate"])), ends=ends))
    return words.listed(texts)


def heads_told(summary: Summary, words: Words) -> str:
    """What stands before the chips: how many heads carry the concept."""
    of = summary.n_judged
    if not of:
        return words("summary.not_judged") if summary.found.verdicts else ""
    if not summary.chips:
        return words("summary.nothing", of=of)
    n = summary.n_carriers
    return words("summary.look", n, of=of) if n else words("summary.look_none", of=of)


def chip_verdict(chip: Chip, words: Words) -> str:
    """A head's verdict in words (Markdown)."""
    return words.known("verdicts", chip.verdict) or plain(chip.verdict)


def heads_listed(summary: Summary, words: Words, links: Links) -> str:
    """The chips as words, with what stands behind them."""
    chips = [
        words(
            "summary.chip",
            mark=MARKS[chip.kind],
            head=links.heads(chip.heads),
            size=number(chip.estimate_nats),
            verdict=chip_verdict(chip, words),
        )
        for chip in summary.chips
    ]
    return words.listed([*chips, *filter(None, [rest_told(summary, words)])])


def fine_told(run: RunReport, told: Sequence[Told]) -> str:
    """What the numbers of the rows are; empty where there are none."""
    if not any(one.summary is not None for one in told):
        return ""
    return run.words("summary.fine", bound=f"{tolerated_ratio(run.content):g}")


def rest_told(summary: Summary, words: Words) -> str:
    """What stands behind the chips: the heads that have none."""
    texts = [words("summary.more", summary.n_more)] if summary.n_more else []
    texts += [words("summary.without_effect", summary.n_without_effect)] if summary.n_without_effect else []
    return words.listed(texts, by="items")


def _sure(summary: Summary, words: Words, links: Links) -> str:
    if not summary.n_judged:
        return ""
    sure, limit = summary.sure, number(summary.found.threshold_nats)
    if sure is None:
        return words("summary.sure.none", limit=links.to("judged", limit))
    about = {
        "head": links.heads(sure.heads),
        "ends": interval(sure.low, sure.high),
        "limit": links.to("judged", limit),
    }
    first = words("summary.sure.beyond" if sure.beyond else "summary.sure.open", **about)
    return words.listed([first, _undecided(summary.undecided, words)])


def _undecided(undecided: Undecided, words: Words) -> str:
    if not undecided.n:
        return words("summary.undecided.none")
    number_of = words("summary.undecided.number", undecided.n)
    if not undecided.n_with_number:
        return number_of
    low, high = count(undecided.fewest), count(undecided.most)
    templates = low if low == high else words("glue.range", low=low, high=high)
    kind = "all" if undecided.n_with_number == undecided.n else "some"
    needed = words(f"summary.undecided.{kind}", undecided.n_with_number, templates=templates)
    return words.listed([number_of, needed], by="items")


def _set(told: Together, words: Words, links: Links, whole: bool) -> str:
    """A set's effect; ``whole`` with what its heads do alone and what random sets do."""
    one, effect = told.one, told.one.primary
    if effect is None:
        return ""
    size = links.to("joint", words("summary.nats", size=number(effect.estimate)))
    parts = [words("summary.set", heads=links.heads(one.heads), size=size, ends=interval(effect.low, effect.high))]
    if told.verdict and told.verdict not in (GENERAL_DAMAGE, DAMAGE_UNBOUNDED):  # the row on harm says it
        parts.append(words.known("verdicts", told.verdict) or plain(told.verdict))
    if not whole:
        return words.listed(parts, by="items")
    if one.total is not None and one.n_heads > 1:
        parts.append(words("summary.singles", sum=links.to("joint", number(one.total.estimate))))
    text = words.listed(parts, by="items")
    if isnan(told.p_among):
        return text
    key = "summary.exceeds" if told.exceeds else "summary.among"
    placed = {"p": links.to("joint", equation("p", told.p_among)), "floor": number(told.floor)}
    return words.listed([text, words(key, **placed)])


def _harm(harm: Harm, summary: Summary, words: Words, links: Links) -> str:
    ends = ratio_interval(harm.low, harm.high)
    answer = words(f"summary.harm.{harm.answer}", bound=f"{summary.bound:g}", ends=ends)
    several = bool(summary.together) and harm.heads == summary.together[0].one.heads
    who = words("summary.harm.set") if several and "," in harm.heads else links.heads(harm.heads)
    if not isnan(as_float(harm.templates_needed)):
        needed = words("summary.undecided.all", templates=count(harm.templates_needed))
        answer = words("glue.with", name=answer, parts=needed)
    return words("summary.harm.of", who=who, answer=links.to("ablation" if several else "judged", answer))
