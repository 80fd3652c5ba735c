"""The result of a run in a few sentences a concept, the first thing that report and page say."""

from __future__ import annotations

from headscope.plots.steered import Steered
from headscope.report.evaluation_sections import benchmarks
from headscope.report.findings import ConceptFindings
from headscope.report.probe_cells import best_read
from headscope.report.run_report import RunReport
from headscope.report.steering_sections import strongest, told_of

_TOLD = 3


def headlines(run: RunReport, *, briefly: bool = False) -> list[tuple[str, str]]:
    """What was found on each concept, with its tone; of a run that only steers, what turning up each head or set did.
    Of a run that only probes, off which head each concept can be read.

    A tone is ``found``, ``none``, or ``unknown`` where nothing may be said. ``briefly``: of what was turned up for a
    concept only the strongest, without its slope.
    """
    if run.content.asks_benchmarks:
        return [("unknown", text) for text in benchmarks(run, _TOLD)]
    if run.content.only_probes:
        return [("unknown", best_read(run, found.concept)) for found in run.findings]
    if not run.content.only_steers:
        return [(_tone(found), run.teller.headline(found)) for found in run.findings]
    return [told for found in run.findings for told in _of_steering(run, found, briefly=briefly)]


def largest_first(steered: list[Steered]) -> list[Steered]:
    """Heads and sets by the largest effect of any of their doses."""
    return sorted(steered, key=lambda one: -one.reach)


def _of_steering(run: RunReport, found: ConceptFindings, *, briefly: bool) -> list[tuple[str, str]]:
    """Tone and text of each head or set that was turned up for a concept, of many those with the largest effects."""
    mine = [one for one in run.content.steered if one.concept == found.concept]
    if mine and found.assay_shown is False:
        return [("unknown", run.teller.headline(found))]
    first = largest_first(mine)[:1] if briefly else strongest(mine, _TOLD)
    brief = briefly or len(mine) > 1
    told = [(_tone_of(str(one.slope.get("verdict", ""))), told_of(run, one, briefly=brief)) for one in first]
    if len(mine) > len(first):
        tone, last = told.pop()
        more = run.words("steering.more", len(mine) - len(first), of=len(mine))
        told.append((tone, run.words.sentences(last, more)))
    return told


def _tone(found: ConceptFindings) -> str:
    if found.assay_shown is False or not found.has_verdicts:
        return "unknown"
    return "found" if found.carriers else "none"


def _tone_of(verdict: str) -> str:
    if verdict.startswith(("steers", "turns it down")) and not verdict.endswith("not specific"):
        return "found"
    return "unknown" if not verdict or verdict.startswith(("undecided", "no verdict")) else "none"
