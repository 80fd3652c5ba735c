"""How far a run is: its stages as a table, and what a report of an unfinished run leaves out.

A run's stages come in the order of their value, and its report is written after each. What a stage to come will measure
is no gap in the run: the table of stages says it once, and sections that have nothing to show without it are left out.
Runs whose manifest names no stages (of one verb, or of an older headscope) are told as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isnan

from headscope.report.document import Block, Cell, Foreign, Table, Text
from headscope.report.escaping import plain
from headscope.report.facts import RunFacts, Stage
from headscope.report.numbers import MISSING
from headscope.report.run_report import RunReport
from headscope.report.words import Words

STAGE_OF_TABLE = {
    "assay": "assay",
    **dict.fromkeys(("coverage", "screen", "attention_by_region", "ranking", "layers"), "screen"),
    "probes": "probes",
    **dict.fromkeys(("scores", "components"), "scores"),
    **dict.fromkeys(("effects", "agreement"), "sweep"),
    "verdicts": "verdicts",
    "texts": "texts",
    "nulls": "nulls",
    "patching": "patching",
    **dict.fromkeys(("areas", "smallest", "orders"), "curves"),
}
"""Table -> the stage that is the first to write it."""
STAGE_OF_SECTION = {
    "coverage": "screen", "assay": "assay", "screening": "screen", "ablation": "texts", "joint": "texts",
    "growing": "curves", "examples": "texts", "ranking": "screen", "layers": "screen", "beside": "sweep",
    "knows": "probes", "fast": "sweep", "judged": "verdicts", "patching": "patching",
}  # fmt: skip
"""Section of the report -> the stage without which it has nothing to show."""
_UNITS = (("seconds", 1, 90.0), ("minutes", 60, 90.0 * 60), ("hours", 3600, inf))


def is_told(facts: RunFacts) -> bool:
    """Whether a report says how far its run is: it is not finished, or a stage was not reached."""
    return bool(facts.stages) and (facts.unfinished or any(stage.open for stage in facts.stages))


def state(run: RunReport) -> str:
    """How far the run is, in a sentence; what was left out, where that is all there is to say; else empty."""
    words, stages = run.words, run.facts.stages
    done = [stage for stage in stages if stage.done]
    if not is_told(run.facts):
        return _listed("left_out", [stage for stage in stages if stage.status == "left out"], words)
    if not run.facts.unfinished:
        return _listed("not_reached", [stage for stage in stages if stage.open], words)
    if run.facts.status == "running":
        now = next((stage for stage in stages if stage.open), None)
        return words("progress.running", stage=_name(now, words)) if now else words("progress.writing")
    kind = "failed" if run.facts.status == "failed" else "stopped"
    return words(f"progress.{kind}", stage=_name(done[-1], words)) if done else words(f"progress.{kind}_at_once")


def progress(run: RunReport) -> Iterator[Block]:
    """The sentence, the table of stages, and what that means for what follows; the last is about numbers."""
    yield Text(state(run), quoted=True)
    yield stage_table(run)
    yield run.say("progress.about")
    yield run.say("progress.numbers")


def stage_table(run: RunReport) -> Table:
    """A row a stage: what it does, whether it is done, how long it took or will take, and why it was left out."""
    words = run.words
    rows: list[list[Cell]] = [
        [
            words.named("stages", stage.name),
            words.named("stage_statuses", stage.status),
            _time(stage, words),
            Foreign(stage.why) if stage.why else MISSING,
        ]
        for stage in run.facts.stages
    ]
    told = any(stage.why for stage in run.facts.stages)
    columns = ("stage", "status", "time", "why") if told else ("stage", "status", "time")
    return Table(columns, [row[: len(columns)] for row in rows], numeric=False)


def duration(seconds: float, words: Words, *, about: bool = False) -> str:
    """A time a reader takes in at a glance: ``2.4 s``, ``45 s``, ``3 min``; ``about`` rounds it further."""
    unit, size = next((unit, size) for unit, size, until in _UNITS if seconds < until)
    value = seconds / size
    shown = f"{max(value, 1.0):.0f}" if about or value >= 9.5 else f"{max(value, 0.1):.2g}"
    time = words(f"times.{unit}", shown)
    return words("times.about", time=time) if about else time


def _time(stage: Stage, words: Words) -> str:
    if not isnan(stage.seconds) and stage.done:
        return duration(stage.seconds, words)
    if stage.open and not isnan(stage.expected_seconds):
        return duration(stage.expected_seconds, words, about=True)
    return MISSING


def _name(stage: Stage, words: Words) -> str:
    return words.known("stage_names", stage.name) or plain(stage.name)


def _listed(key: str, stages: list[Stage], words: Words) -> str:
    """The sentence ``key`` about stages, each with its reason; empty where there are none."""
    if not stages:
        return ""
    names = [
        words("glue.with", name=_name(stage, words), parts=plain(stage.why)) if stage.why else _name(stage, words)
        for stage in stages
    ]
    return words(f"progress.{key}", stages=words.listed(names, by="items"))
