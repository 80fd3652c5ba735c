"""The sections of the evidence and the page in their order: what stands in each, on what condition, in no language and
no medium. What of it is finding stands in ``short_sections``.

A section is a function of the run that yields blocks (see ``document``) under the key of its words; its number is its
place in ``SECTIONS``. A new section is one function here, one entry of ``SECTIONS`` and its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pandas as pd

from headscope.report import cells, edit_sections, fast_cells, made, probe_cells, steering_sections
from headscope.report.control import control
from headscope.report.document import (
    Block,
    Heading,
    Items,
    Picture,
    Section,
    Space,
    Table,
    Text,
)
from headscope.report.escaping import code, plain
from headscope.report.evaluation_sections import evaluation_sections
from headscope.report.headlines import headlines
from headscope.report.numbers import number, share
from headscope.report.progress import STAGE_OF_SECTION, STAGE_OF_TABLE, is_told, progress, state
from headscope.report.run_report import RunReport
from headscope.stats.ranking import OVERALL

EXPECTED_TABLES = (
    "coverage", "screen", "assay", "effects", "ranking", "layers", "verdicts", "texts", "nulls", "areas", "patching",
)  # fmt: skip
TABLES_OF_VERB = {
    "screen": ("coverage", "screen"),
    "sweep": ("assay", "effects"),
    "ablate": ("assay", "effects"),
    "attribute": ("scores",),
    "patch": ("patching",),
    "steer": ("assay", "dose_response"),
    "probe": ("probes",),
    "eval": ("evaluation",),
}
"""What the folder of a single verb holds; of every other run ``EXPECTED_TABLES``."""


def intro(run: RunReport) -> Iterator[Block]:
    """The result in whole sentences, what was measured, and what a reader must know before all else."""
    told = [text for _, text in headlines(run)]
    yield run.say("intro.result", text=" ".join(told) or run.words("intro.no_result"))
    yield from measured_on(run)


def measured_on(run: RunReport) -> Iterator[Block]:
    """Model, profile, protocol and seed; how far the run is where that has no section; warnings."""
    words, facts = run.words, run.facts
    text = words("intro.model", model=code(facts.model))
    text += words("intro.size", layers=facts.n_layers, heads=facts.n_heads) if facts.n_layers else ""
    text += words("intro.profile", profile=code(facts.profile))
    text += words("intro.protocol", protocol=code(facts.protocol)) if facts.protocol else ""
    text += words("intro.seed", seed=plain(facts.seed))
    told = is_told(facts)
    text += words("intro.unfinished", status=plain(facts.status)) if facts.unfinished and not told else ""
    yield Text(text + words("intro.end"))
    if not told and (left_out := state(run)):
        yield Text(left_out)
    yield from warnings_of(run)


def warnings_of(run: RunReport) -> Iterator[Text]:
    """What a reader must know before all else: a confounded protocol, tables that are missing."""
    if run.facts.protocol == "phase6":
        yield Text(run.words("intro.phase6"), quoted=True)
    known = {stage.name for stage in run.facts.stages if not stage.done}
    expected = TABLES_OF_VERB.get(run.facts.verb, EXPECTED_TABLES)
    lacking = [code(name) for name in expected if name not in run.tables and STAGE_OF_TABLE.get(name) not in known]
    if lacking:
        tables = run.words.listed(lacking, by="items")
        yield Text(run.words("intro.lacking", len(lacking), tables=tables), quoted=True)


def _purpose(run: RunReport) -> Iterator[Block]:
    yield run.say("purpose.question")
    yield Items([run.words(f"purpose.{key}") for key in ("screening", "effect", "evidence")])


def _coverage(run: RunReport) -> Iterator[Block]:
    table = cells.coverage_table(run.findings)
    if table.rows:
        yield table
        yield run.say("coverage.pairs")
        yield from (Text(plain(note)) for note in run.remarks("coverage"))
    else:
        yield run.say("coverage.none")
    if run.facts.bundled:
        yield run.say("coverage.bundled")


def _assay(run: RunReport) -> Iterator[Block]:
    told = _about(run, "assay", cells.assay_table(run.findings, run.teller))
    yield from told or [run.say("assay.none")]
    yield from accuracies(run)


def accuracies(run: RunReport) -> Iterator[Text]:
    """How often the unedited model answers right, a sentence a task."""
    for found in run.findings:
        if found.accuracy is not None:
            row = found.accuracy
            ends = f"[{share(row['ci_low'])}, {share(row['ci_high'])}]"
            yield run.say(
                "assay.accuracy_alone" if pd.isna(row["control_mean"]) else "assay.accuracy",
                concept=plain(found.concept), share=share(row["estimate"]), ends=ends,
                corrupted=share(row["control_mean"]),
            )  # fmt: skip


def _about(run: RunReport, key: str, table: Table) -> list[Block]:
    """A table under what it is about; nothing where it is empty."""
    return [run.say(f"{key}.about"), table] if table.rows else []


def _screening(run: RunReport) -> Iterator[Block]:
    looked = [found for found in run.findings if found.looked]
    for at, found in enumerate(looked, start=1):
        table = cells.screen_table(found, run.teller)
        title = run.words("screening.top", len(table.rows), concept=plain(found.concept))
        yield Heading(f"{run.numbers['screening']}.{at} {title}")
        yield table
    yield run.say("screening.about", limit=number(run.smallest_share)) if looked else run.say("screening.none")


def _ranking(run: RunReport) -> Iterator[Block]:
    ranking = run.tables.get("ranking")
    kinds = [] if ranking is None else list(dict.fromkeys(ranking.loc[ranking["concept"] == OVERALL, "by"]))
    if ranking is None or not kinds:
        yield run.say("ranking.none")
        return
    yield run.say("ranking.about")
    for by in kinds:
        yield Heading(run.words("ranking.by_screen" if by == "screen" else "ranking.by_effect"))
        yield cells.ranking_table(ranking, by, run.teller)
    yield Space()


def _reliability(run: RunReport) -> Iterator[Block]:
    yield from _about(run, "reliability", cells.reliability_table(run.tables))


def _layers(run: RunReport) -> Iterator[Block]:
    layers = run.tables.get("layers")
    if layers is None:
        yield run.say("layers.none")
        return
    for concept in map(str, dict.fromkeys(layers["concept"])):
        yield Heading(run.words("layers.overall") if concept == OVERALL else plain(concept))
        yield cells.layer_table(layers, concept, run.smallest_share)
    yield run.say("layers.about")


def _beside(run: RunReport) -> Iterator[Block]:
    both = [found for found in run.findings if found.looked and found.alone]
    for found in both:
        table = cells.beside_table(run.content.ranked, found.concept, run.teller)
        yield Heading(run.words("beside.top", len(table.rows), concept=plain(found.concept)))
        yield table
    yield Space() if both else run.say("beside.none")


def _fast(run: RunReport) -> Iterator[Block]:
    agreement, differing = fast_cells.agreement_table(run.tables), fast_cells.disagreement_table(run.tables)
    if agreement.rows or differing.rows:
        yield run.say("fast.about")
    if agreement.rows:
        yield agreement
        yield from (run.say("fast.note", note=plain(note)) for note in run.remarks("agreement"))
    if differing.rows:
        yield run.say("fast.differ")
        yield differing


def _repair(run: RunReport) -> Iterator[Block]:
    yield from _about(run, "repair", fast_cells.repair_table(run.tables))


def _judged(run: RunReport) -> Iterator[Block]:
    if not run.limits:
        yield run.say("judged.none")
        return
    yield rules_of(run)
    if measured := measured_of(run):
        yield Text(measured)
    yield cells.verdict_counts(run.findings, run.teller)
    for found in run.findings:
        table = cells.verdict_table(found, run.teller)
        if table.rows:
            yield Heading(run.words("judged.of_concept", concept=plain(found.concept)))
            yield table
    yield run.say("judged.columns")


def rules_of(run: RunReport) -> Text:
    """By what rules heads were judged."""
    return run.say("judged.rules", limits=run.limits, limit=number(run.smallest_share))


def measured_of(run: RunReport) -> str:
    """Of how many heads more than the deciding effect was measured; empty where of all."""
    lacking, swept = run.facts.n_not_measured, run.content.n_swept
    return run.words("judged.measured", n=swept - lacking, of=swept) if 0 < lacking <= swept else ""


def _pictures(run: RunReport) -> Iterator[Block]:
    elsewhere = steering_sections.pictures_of(run) if run.content.steered else []
    figures = [path for path in run.facts.figures if path not in elsewhere]
    for path in figures:
        yield Picture(path, run.words.figure(path))
    yield Space() if figures else run.say("pictures.none")


def _discussion(run: RunReport) -> Iterator[Block]:
    for found in run.findings:
        yield run.concept(found)
        yield Items(run.teller.discussion(found) or [run.words("discussion.nothing")])
    yield Space() if run.findings else run.say("discussion.none")


def n_confirmatory(tables: Mapping[str, pd.DataFrame]) -> int:
    """How many rows of the effects are confirmatory."""
    effects = tables.get("effects")
    return 0 if effects is None else int((effects["status"] == "confirmatory").sum())


def _notes(run: RunReport) -> Iterator[Block]:
    n_tests, facts = n_confirmatory(run.tables), run.facts
    keys = ["confirmatory"] if n_tests else [] if facts.awaits("sweep") else ["exploratory"]
    if not run.content.only_steers:
        keys += ["attention"] if facts.awaits("sweep") else ["attention", "repair"]
        keys += [] if facts.awaits("verdicts") else ["off_data"]
    keys += ["templates"]
    keys += ["detectable", "absent"]
    keys += ["phase6"] if facts.protocol == "phase6" else []
    keys += ["bundled"] if facts.bundled else []
    notes = [run.say(f"notes.{key}", n_tests).text for key in (*keys, "rounded")]
    warnings = [run.words("notes.warning", warning=plain(warning)) for warning in run.facts.warnings]
    yield Items([*notes, *warnings])


Tell = Callable[[RunReport], Iterator[Block]]
SECTIONS: dict[str, tuple[Tell, dict[str, Tell]]] = {
    "purpose": (_purpose, {}),
    "artifacts": (made.artifacts, {}),
    "commands": (made.commands, {}),
    "coverage": (_coverage, {}),
    "assay": (_assay, {}),
    "screening": (_screening, {}),
    "ablation": (
        edit_sections.ablation,
        {"joint": edit_sections.joint, "growing": edit_sections.growing, "examples": edit_sections.examples},
    ),
    "ranking": (_ranking, {"reliability": _reliability}),
    "layers": (_layers, {}),
    "beside": (_beside, {"knows": probe_cells.knows, "fast": _fast, "repair": _repair}),
    "judged": (_judged, {"control": control}),
    "pictures": (_pictures, {}),
    "discussion": (_discussion, {}),
    "patching": (
        edit_sections.patching,
        {
            "patch_texts": edit_sections.patch_texts,
            "patch_agreement": edit_sections.patch_agreement,
            "dissociation": edit_sections.dissociation,
        },
    ),
    "steering": (
        steering_sections.steering,
        {"steering_doses": steering_sections.doses, "steering_texts": steering_sections.texts},
    ),
    "notes": (_notes, {}),
}
"""The numbered sections by the key of their words, each with its parts."""
_SHOWING = (Table, Picture)
_ONLY_WITH_SETS = ("joint", "growing", "examples")
_ONLY_WITH_PATCHES = ("patch_texts", "patch_agreement", "dissociation")
_OF_STEERING = ("artifacts", "commands", "coverage", "assay", "steering", "notes")
"""What the evidence of a run says that only turned heads up: the rest is about what it did not do."""


def sections_of(run: RunReport) -> Iterator[Section]:
    """Every section of the evidence of a run, in order; parts that have nothing to say are left out."""
    if run.content.asks_benchmarks:
        yield from evaluation_sections(run, {"artifacts": made.artifacts, "commands": made.commands})
        return
    keys = _keys_of(run)
    run = replace(run, numbers={key: number for number, key in enumerate(keys, start=1)})
    yield Section("intro", run.words("intro.evidence", title=title_of(run)), 1, list(intro(run)))
    if is_told(run.facts):
        yield Section("progress", run.words("progress.title"), 2, list(progress(run)))
    for key in keys:
        tell, parts = SECTIONS[key]
        blocks = list(tell(run))
        if not _awaited(key, blocks, run):
            yield Section(key, f"{run.numbers[key]}. {run.words(f'{key}.title')}", 2, blocks)
        patched = any(isinstance(block, Table) for block in blocks)
        for part, tell_part in parts.items():
            if (part in _ONLY_WITH_SETS and not run.sets) or (part in _ONLY_WITH_PATCHES and not patched):
                continue
            blocks = list(tell_part(run))
            if blocks and not _awaited(part, blocks, run):
                part_title = run.words.entries[part].get("title", "")
                yield Section(part, str(part_title), 3, blocks)


def title_of(run: RunReport) -> str:
    """The report's own title."""
    concepts = [plain(found.concept) for found in run.findings]
    named = run.words("intro.concepts_by").join(concepts) or run.words("intro.the_concepts")
    return run.words(run.title, model=plain(run.facts.model), concepts=named)


def _keys_of(run: RunReport) -> list[str]:
    """The sections that the run has, in order: a run that steers nothing has no section on steering."""
    if run.content.only_steers:
        return [key for key in _OF_STEERING if key != "coverage" or key in run.tables]
    return [key for key in SECTIONS if key != "steering" or run.content.steered]


def _awaited(key: str, blocks: list[Block], run: RunReport) -> bool:
    """Whether a section has nothing to show yet: the table of stages says what is to come, and it need not."""
    facts = run.facts
    if any(isinstance(block, _SHOWING) for block in blocks):
        return False
    if key == "pictures":
        return is_told(facts) and facts.unfinished
    if key == "discussion":
        return is_told(facts) and not run.findings
    return facts.awaits(STAGE_OF_SECTION.get(key, ""))
