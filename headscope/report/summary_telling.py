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
from headscope.report.numbers import count, equation, interval, number, ratio_interval, share
from headscope.report.run_report import RunReport
from headscope.report.steering_cells import dose_words
from headscope.report.summary import (
    TOP,
    Chip,
    Harm,
    Kind,
    Summary,
    TextPair,
    Together,
    Undecided,
    summary_of,
    tolerated_ratio,
)
from headscope.report.telling import head_names
from headscope.report.words import Words
from headscope.stats.verdicts import (
    CARRIER,
    CARRIER_UNTESTED,
    DAMAGE_UNBOUNDED,
    ELSEWHERE_UNTESTED,
    GENERAL_DAMAGE,
    READING_ELSEWHERE,
)

HEADS_ROW = "heads"
_TESTED = {CARRIER_UNTESTED: CARRIER, ELSEWHERE_UNTESTED: READING_ELSEWHERE}
MOST_TEMPLATES = 10_000
"""Where more templates would be needed, it is only said that they are more than this."""
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
    """One answer: its key among ``summary.rows``, its label and its lines (Markdown)."""

    key: str
    label: str
    lines: tuple[str, ...]


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
        key = "evaluation" if content.asks_benchmarks else "knows" if content.only_probes else "steering_doses"
        texts = headlines(run, briefly=True)
        return [Told("", tone, None, (), _with_evidence(text, [key], run.words, links), "") for tone, text in texts]
    told: list[Told] = []
    for found, (tone, text) in zip(run.findings, headlines(run), strict=True):
        summary = summary_of(content, found)
        if summary is None:
            text = _with_evidence(text, _rests_on(found), run.words, links)
            told.append(Told(found.concept, tone, None, (), text, ""))
        else:
            rows = tuple(_rows(summary, run.words, links))
            told.append(Told(found.concept, summary.tone, summary, rows, "", text))
    return told


def _rests_on(found: ConceptFindings) -> list[str]:
    """The sections that hold what the sentences on a concept say where no head was judged and no set removed."""
    if found.looked and not found.alone:
        return ["screening"]
    told = {"ablation": found.alone, "fast": found.predicted, "patching": found.patched}
    return [key for key, effects in told.items() if effects] or ["assay"]


def _with_evidence(text: str, keys: Sequence[str], words: Words, links: Links) -> str:
    """``text`` with links to the sections that show it; bare where there are none."""
    titles = {key: words(f"{key}.title").partition(words("glue.title"))[0] for key in keys if key in links.places}
    shown = words.listed([links.to(key, title) for key, title in titles.items()], by="items")
    return words.sentences(text, words("summary.where", link=shown)) if shown else text


def _rows(summary: Summary, words: Words, links: Links) -> list[Row]:
    sets = [_set(one, words, links, whole=at == 0) for at, one in enumerate(summary.together)]
    lines = {
        "model": _model(summary.found, words, links),
        HEADS_ROW: [heads_told(summary, words)],
        "sure": _sure(summary, words, links),
        "together": [line for lines in sets for line in lines],
        "harm": [_harm(one, summary, words, links) for one in summary.harm],
    }
    told = {key: tuple(filter(None, of)) for key, of in lines.items()}
    together = any(one.one.n_heads > 1 for one in summary.together)
    labels = {key: key for key in told} | ({} if together else {"together": "removed"})
    return [Row(key, words(f"summary.rows.{labels[key]}"), of) for key, of in told.items() if of]


def _model(found: ConceptFindings, words: Words, links: Links) -> list[str]:
    if found.assay is None:
        return [words("summary.unmeasured")] if found.verdicts else []
    gap = links.to("assay", words("summary.nats", size=number(found.assay.estimate)))
    ends = interval(found.assay.low, found.assay.high)
    if isnan(found.assay.low):
        return [words("summary.untestable", found.assay.n_templates, gap=gap)]
    if not found.assay_shown:
        return [words("summary.unshown", gap=gap, ends=words("ci", ends=ends))]
    lines = [words("summary.shown", gap=gap, ends=ends)]
    if found.accuracy is not None:
        ends = f"[{share(found.accuracy['ci_low'])}, {share(found.accuracy['ci_high'])}]"
        lines.append(words("summary.accuracy", share=links.to("assay", share(found.accuracy["estimate"])), ends=ends))
    return lines


def heads_told(summary: Summary, words: Words) -> str:
    """What stands before the chips: how many heads carry the concept."""
    of = summary.n_judged
    model = words("summary.of_model", summary.n_heads) if of < summary.n_heads else ""
    if not of:  # where the model is not shown to tell the concept, the row on the model says it
        return words("summary.not_judged") if summary.found.verdicts and summary.found.assay_shown else ""
    if not summary.chips:
        return words("summary.nothing", of, model=model)
    n = summary.n_carriers
    if not n:
        harmful = all(chip.kind == "harmful" for chip in summary.chips)
        return words("summary.look_harmful" if harmful else "summary.look_none", of, model=model)
    untested = any(chip.verdict in _TESTED for chip in summary.chips)
    return words("summary.look", n, of=of, model=model, untested=words("summary.untested") if untested else "")


def chip_verdict(chip: Chip, words: Words) -> str:
    """A head's verdict in few words (Markdown); that specificity is not tested stands once before all chips."""
    verdict = _TESTED.get(chip.told, chip.told)
    short = words.entries["summary"]["verdicts"].get(verdict)
    return str(short) if short else words.known("verdicts", verdict) or plain(verdict)


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
    """What the numbers of the rows are, a sentence for each kind that there is; empty where there are none."""
    shown = [one.summary for one in told if one.summary is not None]
    sets = [one for summary in shown for one in summary.together]
    judged = any(summary.n_judged for summary in shown)
    by_gradients = "scores" in run.tables and any(0 < summary.n_judged < summary.n_heads for summary in shown)
    harms = [harm for summary in shown for harm in summary.harm]
    needed = [summary.undecided.n_with_number for summary in shown] + [
        not isnan(harm.templates_needed) for harm in harms
    ]
    said = {
        "gap": any(summary.found.assay is not None for summary in shown),
        "brackets": bool(shown),
        "heads": judged,
        "removed": judged or bool(sets),
        "limit": judged,
        "by_gradients": by_gradients,
        "sets": any(one.one.role == TOP for one in sets),
        "random": any(not isnan(one.p_among) for one in sets),
        "any_layer": any(not isnan(one.p_among) and not one.layer_matched for one in sets),
        "templates": any(needed),
        "harm": bool(harms),
    }
    bound = f"{tolerated_ratio(run.content):g}"
    return run.words.sentences(
        *(run.words(f"summary.fine.{key}", bound=bound) for key, is_said in said.items() if is_said)
    )


def pair_told(pair: TextPair, words: Words) -> tuple[str, str]:
    """By what rule a pair of texts was chosen, and what was done to the second (Markdown)."""
    heads = head_names(pair.heads)
    if isnan(pair.dose):
        rule = words.sentences(words("summary.rule", concept=plain(pair.concept)), words("summary.example"))
        return rule, words("summary.edited", heads=heads)
    rule = words.sentences(words("steering_texts.about"), words("summary.example"))
    return rule, words("summary.steered", heads=heads, dose=dose_words(pair.dose, pair.edit, words))


def rest_told(summary: Summary, words: Words) -> str:
    """What stands behind the chips: the heads that have none."""
    texts = [words("summary.more", summary.n_more)] if summary.n_more else []
    texts += [words("summary.without_effect", summary.n_without_effect)] if summary.n_without_effect else []
    return words.listed(texts, by="items")


def _sure(summary: Summary, words: Words, links: Links) -> list[str]:
    if not summary.n_judged:
        return []
    sure, limit = summary.sure, links.to("judged", number(summary.found.threshold_nats))
    if sure is None:
        return [words("summary.sure.none", limit=limit)]
    about = {"head": links.heads(sure.heads), "ends": interval(sure.low, sure.high), "limit": limit}
    first = words("summary.sure.beyond" if sure.beyond else "summary.sure.open", **about)
    return [first, _undecided(summary.undecided, words)]


def _undecided(undecided: Undecided, words: Words) -> str:
    if not undecided.n:
        return words("summary.undecided.none")
    number_of = words("summary.undecided.number", undecided.n)
    if not undecided.n_with_number:
        return number_of
    low, high = (_templates(needed, words) for needed in (undecided.fewest, undecided.most))
    templates = low if low == high else words("glue.range", low=low, high=high)
    kind = "all" if undecided.n_with_number == undecided.n else "some"
    needed = words(f"summary.undecided.{kind}", undecided.n_with_number, templates=templates)
    needed += words("summary.undecided.now", undecided.n_templates) if undecided.n_templates else ""
    return words.listed([number_of, needed], by="items")


def _templates(needed: float, words: Words) -> str:
    return words("summary.over", MOST_TEMPLATES) if needed > MOST_TEMPLATES else count(needed)


def _set(told: Together, words: Words, links: Links, *, whole: bool) -> list[str]:
    """A set's effect; ``whole`` with its verdict, what its heads do alone and what random sets do."""
    one, effect = told.one, told.one.primary
    if effect is None:
        return []
    size = links.to("joint", words("summary.nats", size=number(effect.estimate)))
    ends = interval(effect.low, effect.high)
    if not whole:
        return [words("summary.other", size=size, ends=ends)]
    parts = [words("summary.set", heads=links.heads(one.heads), size=size, ends=ends)]
    if told.verdict and told.verdict not in (GENERAL_DAMAGE, DAMAGE_UNBOUNDED):  # the row on harm says it
        parts.append(words.known("verdicts", told.verdict) or plain(told.verdict))
    if one.total is not None and one.n_heads > 1:
        parts.append(words("summary.singles", sum=links.to("joint", number(one.total.estimate))))
    lines = [words.listed(parts, by="items")]
    if not isnan(told.p_among):
        p_value = links.to("joint", equation("p", told.p_among))
        key = "summary.exceeds" if told.exceeds else "summary.among"
        floor = words("summary.floor") if told.at_floor else ""
        lines.append(words(key, count(told.n_random), p=p_value, floor=floor))
    return lines


def _harm(harm: Harm, summary: Summary, words: Words, links: Links) -> str:
    sets = [one.one.heads for one in summary.together]
    of_set = harm.heads in sets
    ends = links.to("ablation" if of_set else "judged", ratio_interval(harm.low, harm.high))
    answer = words(f"summary.harm.{harm.answer}", above=f"{harm.above:g}", ends=ends)
    if len(sets) < 2 and not isnan(harm.templates_needed):
        needed = words("summary.undecided.all", templates=_templates(harm.templates_needed, words))
        answer = words.listed([answer, needed], by="items")
    who = links.heads(harm.heads)
    if "," in harm.heads:
        who = words("summary.harm.set" if harm.heads == sets[0] else "summary.harm.other")
    return words("summary.harm.of", who=who, answer=answer)
