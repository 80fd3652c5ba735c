"""The sections of the report: the findings, short, in the order of the Phase 6 study's report.

Each is a function of the run that yields blocks, and ends with links to the sections of the evidence on which it rests
(see ``sections``). A section that has nothing to show is left out. A new one is one function here, one entry of
``SECTIONS`` and its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from headscope.report import cells, edit_sections, made, short_cells, steering_cells
from headscope.report.anchors import evidence_file, targets_of
from headscope.report.control import control
from headscope.report.document import Block, Code, Heading, Items, Picture, Section, Table, Text
from headscope.report.escaping import code, plain
from headscope.report.evaluation_sections import asked, benchmark_table
from headscope.report.findings import ConceptFindings
from headscope.report.numbers import count, number
from headscope.report.progress import is_told, progress
from headscope.report.run_report import RunReport
from headscope.report.sections import accuracies, measured_on, n_confirmatory, sections_of, title_of
from headscope.report.short_telling import MOST_SETS, ShortTeller, told_sets
from headscope.report.steering_sections import MOST_TOLD, pictures_of, strongest
from headscope.report.summary_blocks import summary_section
from headscope.report.telling import head_names
from headscope.stats.evidence import Criteria
from headscope.stats.ranking import OVERALL

MOST_BENCHMARKS = 20
_SHOWING = (Table, Picture, Items, Code)
"""What a section of the evidence holds that has more to say than that there is nothing."""
_MOST_WARNINGS = 10
_SETTINGS = ("max_tokens", "temperature", "top_p", "samples", "keyword_counting", "sentiment")
_PICTURES = ("head_reaction_heatmap", "effect_heatmap", "ablation_comparison")
"""Kinds of pictures that the report shows, one of each; the evidence has all."""


def report_of(run: RunReport) -> tuple[list[Section], list[Section]]:
    """The sections of the report and of its evidence, in the run's language."""
    evidence = list(sections_of(run))
    return list(short_sections_of(run, evidence)), evidence


def short_sections_of(run: RunReport, evidence: list[Section]) -> Iterator[Section]:
    """Every section of the report on a run, in order, numbered; what has nothing to show is left out."""
    showing = {section.key for section in evidence if any(isinstance(block, _SHOWING) for block in section.blocks)}
    targets = targets_of(evidence, evidence_file(run.words.code))
    run = replace(run, targets={key: target for key, target in targets.items() if key in showing})
    if run.content.asks_benchmarks:
        title = run.words("evaluation.report", model=plain(run.facts.model))
        yield Section("intro", title, 1, [Text(asked(run))])
    else:
        yield Section("intro", title_of(run), 1, list(measured_on(run)))
    if is_told(run.facts):
        blocks = list(progress(run))[:-1]  # the last is about numbers of sections, which only the evidence keeps
        yield Section("progress", run.words("progress.title"), 2, blocks)
    if not run.content.asks_benchmarks:
        yield summary_section(run, run.targets)
    n_told = 0
    for key, (title, tell, rests_on) in SECTIONS.items():
        blocks = list(tell(run))
        if not blocks:
            continue
        n_told += 1
        blocks += _evidence(run, rests_on)
        yield Section(key, f"{n_told}. {run.words(title)}", 2, blocks)


def _evidence(run: RunReport, rests_on: Sequence[str]) -> Iterator[Block]:
    """Where a section's evidence stands: one link, or one a part of it by a short name."""
    there = [key for key in rests_on if key in run.targets]
    if len(there) == 1:
        yield run.say("short.link", link=run.link(there[0], run.words("short.evidence")))
    elif there:
        links = [run.link(key, run.words(f"short.parts.{key}")) for key in there]
        yield run.say("short.links", links=run.words.listed(links, by="items"))


def _purpose(run: RunReport) -> Iterator[Block]:
    looks, does = "screen" in run.tables, "effects" in run.tables
    if not looks and not does:
        return
    yield run.say("short.purpose.question")
    items = [run.words("short.purpose.screening")] if looks else []
    items += [run.words("short.purpose.effect")] if does else []
    items += [run.words("short.purpose.limits")] if run.limits else []
    yield Items([*items, run.words("short.purpose.evidence")])


def _artifacts(run: RunReport) -> Iterator[Block]:
    words, facts = run.words, run.facts
    files = [evidence_file(words.code), "report.html", *(name for name in facts.artifacts if "/" not in name)]
    items = [words("short.artifacts.file", file=code(name), holds=words.file(name)) for name in files]
    tables = [name for name in facts.artifacts if name.startswith("tables/")]
    for folder, inside in (("tables/", tables), ("plots/", facts.figures)):
        if inside:
            holds = words(f"short.artifacts.{folder.strip('/')}", len(inside))
            items.append(words("short.artifacts.file", file=code(folder), holds=holds))
    yield Items(items)


def _settings(run: RunReport) -> Iterator[Block]:
    if run.facts.sampling and run.sets:
        yield Text(_written_by(run))
    table = short_cells.data_table(run.findings)
    if table.rows:
        yield table
    if any(found.assay is not None for found in run.findings):
        yield run.say("short.settings.about")
    yield from accuracies(run)


def _written_by(run: RunReport) -> str:
    """How texts were written and scored, in a sentence."""
    words, settings = run.words, edit_sections.settings_of(run)
    told = [
        words("short.settings.one", name=words.known("options", name) or plain(name), value=plain(settings[name]))
        for name in _SETTINGS
        if name in settings
    ]
    return words("short.settings.written", settings=words.listed(told))


def _heads(run: RunReport) -> Iterator[Block]:
    told = [found for found in run.findings if found.looked or len(found.alone) > 1]
    for found in told:
        yield from _heads_of(run, found)
    if told:
        yield Text(_read_as(run))
    if "probes" in run.tables and not told:
        yield run.say("short.heads.probed")
        yield short_cells.probed_table(run.tables["probes"])


def _heads_of(run: RunReport, found: ConceptFindings) -> Iterator[Block]:
    table = short_cells.heads_table(found, run.teller)
    n_first = min(cells.TOP_N, len(found.looked or found.alone))
    by = "look" if found.looked else "effect"
    yield Heading(run.words(f"short.heads.by_{by}", n_first, concept=plain(found.concept)))
    yield table
    if found.looked and (more := short_cells.beyond(found)[short_cells.MOST_BEYOND :]):
        yield run.say("short.heads.more", len(more))


def _read_as(run: RunReport) -> str:
    """How the tables of heads are to be read, of what they hold."""
    words = run.words
    told = [words("short.heads.brackets")]
    if any(found.looked for found in run.findings):
        told.append(words("short.heads.looking", limit=number(run.smallest_share)))
    if any(found.alone for found in run.findings):
        told.append(words("short.heads.doing"))
    if any(found.looked and short_cells.beyond(found) for found in run.findings):
        told.append(words("short.heads.beyond", n_first=cells.TOP_N))
    if any(found.has_verdicts for found in run.findings):
        told.append(words("short.heads.verdicts"))
    shared = [
        words("short.heads.shared", concept=plain(found.concept), n=found.shared_top(top), top=top)
        for found in run.findings
        if (top := short_cells.n_compared(found))
    ]
    told += [words("short.heads.looking_and_doing", shared=words.listed(shared, by="items"))] if shared else []
    return words.sentences(*told)


def _ablation(run: RunReport) -> Iterator[Block]:
    teller, left = _teller(run), 0
    for found in run.findings:
        told = told_sets(found)
        left += len(found.sets) - len(told)
        for one in told:
            edit = short_cells.edit_of(one)
            edit = run.words.known("edits", edit) or plain(edit)
            about = {"heads": head_names(one.heads), "role": run.words(f"short.ablation.{one.role}"), "edit": edit}
            yield Heading(run.words("short.ablation.set", concept=plain(found.concept), **about))
            yield short_cells.ablation_table(one, teller)
            yield from [Text(told)] if (told := teller.verdict_of(one, found)) else []
    if run.sets:
        prompts = {(one.primary.n_prompts, one.primary.n_templates) for one in run.sets if one.primary}
        based = [run.words("short.ablation.prompts", prompts=n, templates=of) for n, of in sorted(prompts)[:1]]
        more = run.words("short.ablation.more", left, most=MOST_SETS) if left else ""
        yield Text(run.words.sentences(*(based if len(prompts) == 1 else []), run.words("short.ablation.about"), more))


def _ranking(run: RunReport) -> Iterator[Block]:
    ranking = run.tables.get("ranking")
    table = None if ranking is None else short_cells.ranking_table(ranking)
    if table is not None and table.rows:
        yield table
        yield run.say("short.ranking.about")


def _layers(run: RunReport) -> Iterator[Block]:
    layers = run.tables.get("layers")
    if layers is None:
        return
    concepts = list(map(str, dict.fromkeys(layers["concept"])))
    concept = OVERALL if OVERALL in concepts else concepts[0]
    table = cells.layer_table(layers, concept, run.smallest_share)
    yield short_cells.kept(table, "layer", "mean_abs_delta", "max_delta", "n_attending", "effect_sum", "effect_min")
    named = run.words("layers.overall") if concept == OVERALL else plain(concept)
    yield Text(run.words.sentences(run.words("short.layers.of", of=named), run.words("layers.about")))


def _pictures(run: RunReport) -> Iterator[Block]:
    steered = pictures_of(run)
    figures = [path for path in run.facts.figures if path not in steered]
    shown = [path for kind in _PICTURES if (path := next((one for one in figures if f"/{kind}" in one), None))]
    for at, path in enumerate(shown or figures[:1], start=1):
        yield Picture(path, run.words.figure(path), run.words("short.pictures.figure", at))


def _discussion(run: RunReport) -> Iterator[Block]:
    teller = _teller(run)
    for found in run.findings:
        if points := teller.points(found):
            yield run.concept(found)
            yield Items(points)
    yield from control(run)
    if any(found.looked or found.alone or found.sets for found in run.findings):
        yield run.say("short.discussion.bounds")


def _patching(run: RunReport) -> Iterator[Block]:
    table = short_cells.patch_table(run.findings)
    if table.rows:
        yield table
        yield run.say("short.patching.about")
        return
    known = [found for found in run.findings if found.looked or found.alone]
    if not known or run.facts.awaits("patching"):
        return
    for_each = [(found, count(found.coverage["n_paired_equal"]) if found.coverage else "") for found in known]
    yield Items(
        [
            run.words(
                "patching.candidate",
                concept=plain(found.concept),
                pairs=run.words("patching.pairs", pairs) if pairs else run.words("patching.unknown_pairs"),
                heads=_teller(run).next_heads(found),
            )
            for found, pairs in for_each
        ]
    )
    yield run.say("short.patching.how")


def _steering(run: RunReport) -> Iterator[Block]:
    steered = run.content.steered
    if not steered:
        return
    told = strongest(steered, MOST_TOLD)
    yield steering_cells.slope_table(told, run.words)
    if len(steered) > len(told):
        yield run.say("steering.more", len(steered) - len(told), of=len(steered))
    yield from (Picture(path, run.words.figure(path)) for path in pictures_of(run))
    yield run.say("short.steering.about", bound=f"{Criteria().max_perplexity_ratio:g}")


def _benchmarks(run: RunReport) -> Iterator[Block]:
    if not run.content.asks_benchmarks:
        return
    table = benchmark_table(run)
    n_rows = len(table.rows)
    table.rows[MOST_BENCHMARKS:] = []
    yield table
    yield run.say("short.evaluation.about")
    if n_rows > MOST_BENCHMARKS:
        yield run.say("short.evaluation.more", n_rows - MOST_BENCHMARKS)


def _notes(run: RunReport) -> Iterator[Block]:
    n_tests, facts = n_confirmatory(run.tables), run.facts
    keys = ["confirmatory"] if n_tests else [] if facts.awaits("sweep") else ["exploratory"]
    keys += ["phase6"] if facts.protocol == "phase6" else []
    keys += ["bundled"] if facts.bundled else []
    if run.content.asks_benchmarks:
        keys = []
    own = ("confirmatory", "exploratory")
    notes = [run.words(f"short.notes.{key}" if key in own else f"notes.{key}", n_tests) for key in (*keys, "rounded")]
    warnings = [run.words("notes.warning", warning=plain(warning)) for warning in facts.warnings[:_MOST_WARNINGS]]
    if len(facts.warnings) > _MOST_WARNINGS:
        warnings.append(run.words("short.notes.more", len(facts.warnings) - _MOST_WARNINGS))
    yield Items([*notes, *warnings])


def _teller(run: RunReport) -> ShortTeller:
    return ShortTeller(run.words, run.facts)


Tell = Callable[[RunReport], Iterator[Block]]
SECTIONS: dict[str, tuple[str, Tell, tuple[str, ...]]] = {
    "purpose": ("purpose.title", _purpose, ("purpose",)),
    "evaluation": ("evaluation.title", _benchmarks, ("evaluation",)),
    "artifacts": ("artifacts.title", _artifacts, ("artifacts",)),
    "commands": ("commands.title", made.command_lines, ("commands",)),
    "settings": ("short.settings.title", _settings, ("coverage", "assay", "ablation")),
    "heads": (
        "short.heads.title", _heads, ("screening", "beside", "judged", "knows", "fast", "repair"),
    ),
    "ablation": ("ablation.title", _ablation, ("ablation", "joint", "growing", "examples")),
    "ranking": ("ranking.title", _ranking, ("ranking", "reliability")),
    "layers": ("layers.title", _layers, ("layers",)),
    "pictures": ("pictures.title", _pictures, ("pictures",)),
    "discussion": ("discussion.title", _discussion, ("discussion",)),
    "patching": (
        "short.patching.title", _patching, ("patching", "patch_texts", "patch_agreement", "dissociation"),
    ),
    "steering": ("steering.title", _steering, ("steering", "steering_doses", "steering_texts")),
    "notes": ("notes.title", _notes, ("notes",)),
}  # fmt: skip
"""Key -> key of its title, what it says, and the sections of the evidence on which it rests."""
