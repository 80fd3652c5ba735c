"""The sections on sets of heads that were removed together, and on heads that were patched; see ``sections``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from headscope.report import cells, patch_cells
from headscope.report.document import Block, Cell, Foreign, Heading, Items, Space, Table, Text
from headscope.report.escaping import code, plain
from headscope.report.findings import ConceptFindings
from headscope.report.numbers import count
from headscope.report.run_report import RunReport


def ablation(run: RunReport) -> Iterator[Block]:
    """Settings, and every outcome of each set of heads."""
    words, facts = run.words, run.facts
    yield Heading(f"{run.numbers['ablation']}.1 {words('ablation.settings')}")
    if not run.sets:
        yield run.say("ablation.none")
        return
    if facts.sampling:
        yield _settings_table(run)
    readouts = words.listed(list(map(code, facts.readouts)), by="items")
    same = words.sentences(words("ablation.same_numbers"), _noise_of_sampling(run))
    yield Text(words("ablation.readouts", readouts=readouts) + f"\n{same}" if readouts else same)
    for at, one in enumerate(run.sets, start=2):
        yield Heading(f"{run.numbers['ablation']}.{at} {run.teller.set_title(one)}")
        yield cells.comparison_table(one, run.teller)
        if one.primary:
            yield run.say("ablation.rests_on", prompts=one.primary.n_prompts, templates=one.primary.n_templates)


def settings_of(run: RunReport) -> dict[str, str]:
    """How texts were written and scored: option -> value, as the run names both."""
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in run.facts.sampling.items()
        if not (run.facts.asks_answers and name == "keyword_counting")  # a task has no keywords
    }


def _settings_table(run: RunReport) -> Table:
    rows: list[list[Cell]] = [
        [run.words.named("options", name), Foreign(value)] for name, value in settings_of(run).items()
    ]
    return Table(("setting", "value"), rows, numeric=False)


def _noise_of_sampling(run: RunReport) -> str:
    """Whether the samples were enough for the effects on text; empty where nothing is known of it."""
    noise, words = run.tables.get("sampling"), run.words
    if noise is None:
        return ""
    n_samples, needed = noise["n_samples"].max(), noise["samples_needed"]
    if noise["sampling_sd"].isna().all():
        return words("ablation.noise_unknown")
    if (noise["sampling_sd"].fillna(0) == 0).all():
        return words("ablation.noise_none")
    enough = int((needed <= n_samples).sum())
    return words("ablation.noise", samples=int(n_samples), enough=enough, of=len(noise))


def joint(run: RunReport) -> Iterator[Block]:
    """Each set beside its single heads and random sets."""
    table = cells.set_table(run.findings, run.teller)
    if not table.rows:
        yield run.say("joint.none")
        return
    beside_random = "" if "nulls" not in run.tables and run.facts.awaits("nulls") else run.words("joint.random")
    yield Text(run.words.sentences(run.words("joint.about"), beside_random))
    yield table
    yield run.say("joint.reading")


def growing(run: RunReport) -> Iterator[Block]:
    """Areas of the cumulative curves, one head back, the smallest set."""
    areas, smallest = cells.area_table(run.findings), cells.smallest_table(run.findings)
    if not areas.rows:
        yield run.say("growing.none")
        return
    yield run.say("growing.about")
    yield areas
    marginals = [found for found in run.findings if found.marginals]
    if marginals:
        yield run.say("growing.one_back")
    for found in marginals:
        yield run.say("growing.of_concept", concept=plain(found.concept))
        yield cells.marginal_table(found)
    if smallest.rows:
        yield run.say("growing.smallest")
        yield smallest


def examples(run: RunReport) -> Iterator[Block]:
    """The first texts of each set."""
    if "texts" not in run.tables:
        yield run.say("examples.none")
        return
    yield run.say("examples.about")
    for one in run.sets:
        table = cells.example_table(run.tables["texts"], one)
        if table.rows:
            yield run.say("examples.of_set", set=run.teller.set_title(one))
            yield table
    yield Space()


def _filled(
    run: RunReport, table_of: Callable[[pd.DataFrame, ConceptFindings], Table]
) -> list[tuple[ConceptFindings, Table]]:
    """Each concept with its table on the patches, where that has rows."""
    patching = run.tables.get("patching")
    tables = [] if patching is None else [(found, table_of(patching, found)) for found in run.findings]
    return [(found, table) for found, table in tables if table.rows]


def patching(run: RunReport) -> Iterator[Block]:
    """What patches bring and take; without patches, which heads to patch."""
    words = run.words
    known = _filled(run, patch_cells.patch_table)
    yield run.say("patching.about" if known else "patching.prepare")
    for found, table in known:
        yield run.concept(found)
        yield table
    if known:
        return
    items: list[str] = []
    for found in run.findings:
        usable = words("patching.pairs", count(found.coverage["n_paired_equal"])) if found.coverage else ""
        about = {"pairs": usable or words("patching.unknown_pairs"), "heads": run.teller.candidates(found)}
        items.append(words("patching.candidate", concept=plain(found.concept), **about))
    yield Items(items)
    yield run.say("patching.how")


def patch_texts(run: RunReport) -> Iterator[Block]:
    """What is written under a patch."""
    texts = run.tables.get("texts")
    known = _filled(run, lambda patching, found: patch_cells.written_table(patching, found, run.teller))
    if known:
        yield run.say("patch_texts.about")
    for found, table in known:
        yield Text(f"**{plain(found.concept)}**")
        yield table
        examples = None if texts is None else patch_cells.written_examples(texts, found, run.teller)
        if examples is not None and examples.rows:
            yield run.say("patch_texts.examples")
            yield examples


def patch_agreement(run: RunReport) -> Iterator[Block]:
    """Removal beside patching."""
    patching = run.tables.get("patching")
    table = Table(()) if patching is None else patch_cells.removal_table(patching, run.findings)
    if table.rows:
        yield table
        yield run.say("patch_agreement.about")


def dissociation(run: RunReport) -> Iterator[Block]:
    """Each concept through its own and through other heads."""
    if "dissociation" in run.tables:
        yield patch_cells.dissociation_table(run.tables["dissociation"], run.teller)
        yield run.say("dissociation.about")
