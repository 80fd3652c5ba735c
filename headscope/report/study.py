"""The Phase 6 study's report on its files: head scores, ablations and pictures, in the study's order of sections.

Only what the files hold is told. The study's screen is unpaired and confounded with position, and its ablation file
holds no interval: both are said where the numbers stand. No sentence makes a cause of a screening difference.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import pandas as pd

from headscope.report.cells import head_at, of, records, table_of
from headscope.report.document import (
    Block,
    Cell,
    Code,
    Foreign,
    Heading,
    Items,
    Picture,
    Section,
    Table,
    Text,
    Verbatim,
)
from headscope.report.escaping import code, plain
from headscope.report.markdown import markdown_of
from headscope.report.numbers import MISSING, fixed, interval, number, probability
from headscope.report.study_files import AblationRead, StudyFiles
from headscope.report.study_telling import DECIMALS, StudyReport, discussion, four, notes
from headscope.report.words import words_of
from headscope.stats.ranking import OVERALL, layer_table

_PATCHED = 3


def study_report(files: StudyFiles, language: str, top_n: int = 10) -> str:
    """The report as Markdown.

    Raises:
        RequestError: no such language, or ``top_n`` is not positive.
    """
    report = StudyReport(files, words_of(language), top_n)
    return markdown_of(_sections(report), report.words)


def _sections(report: StudyReport) -> Iterator[Section]:
    scores = report.files.scores
    yield Section("intro", report.say("title", model=plain(scores.model)), 1, list(_intro(report)))
    for place, (key, tell) in enumerate(_SECTIONS.items(), start=1):
        yield Section(key, f"{place}. {report.say(f'titles.{key}')}", 2, list(tell(report)))


def _intro(report: StudyReport) -> Iterator[Block]:
    yield Text(report.say("about"))
    files = report.files
    models = dict.fromkeys([files.scores.model, *(one.content.model for one in files.ablations)])
    if len(models) > 1:
        named = report.words.listed([code(model) for model in models], by="items")
        yield Text(report.say("models_differ", models=named), quoted=True)


def _purpose(report: StudyReport) -> Iterator[Block]:
    yield Text(report.say("purpose.question", model=code(report.files.scores.model), concepts=report.concepts))
    yield Text(report.say("purpose.bounds"))


def _artifacts(report: StudyReport) -> Iterator[Block]:
    files, say = report.files, report.say
    held = [(files.scores_path, say("artifacts.head_scores", n=len(files.scores.scores)))]
    held += [(one.path, say("artifacts.ablation", heads=one.heads)) for one in files.ablations]
    held += [(path, say("artifacts.figure")) for path in files.figures.values()]
    yield Table(("file", "content"), [[Verbatim(path), what] for path, what in held], numeric=False)


def _commands(report: StudyReport) -> Iterator[Block]:
    files = report.files
    yield Text(report.say("commands.report"))
    yield Code(files.command)
    yield Text(report.say("commands.files"))
    shared = ["--profile", files.profile]
    protocol = [] if files.is_confounded else ["--protocol", files.scores.protocol]
    lines = [["head_screening", "--model", files.scores.model, *shared, *protocol, "--output", files.scores_path]]
    for one in files.ablations:
        spec = ",".join(f"{layer}:{head}" for layer, head in one.content.heads)
        emotion = ["--emotion", one.about.concepts[0]] if one.about.concepts else []
        tokens = ["--max-tokens", str(one.about.sampling.max_tokens)] if one.about.sampling else []
        seed = [] if one.about.seed is None else ["--seed", str(one.about.seed)]
        made = ["--head-spec", spec, *emotion, *tokens, *seed, "--output", one.path]
        lines.append(["head_ablation", "--model", one.content.model, *shared, *made])
    rooms = {"head_screening": "src.analysis", "head_ablation": "src.models"}
    yield Code("\n".join(f"python -m {rooms[name]}.{name} {shlex.join(rest)}" for name, *rest in lines))


def _settings(report: StudyReport) -> Iterator[Block]:
    files, say = report.files, report.say
    scores, covered = files.scores, files.about_scores.coverage
    rows: list[list[Cell]] = [
        [say("settings.model"), Verbatim(scores.model)],
        [say("settings.size"), f"{scores.layers} × {scores.heads_per_layer}"],
        [say("settings.profile"), Verbatim(files.profile)],
        [say("settings.protocol"), Verbatim(scores.protocol)],
    ]
    for concept in files.concepts:
        first = next(score for score in scores.scores if score.emotion == concept)
        told = say("settings.counts", n=first.samples_emotion, neutral=first.samples_neutral)
        told += say("settings.found", found=covered[concept].n_spans) if concept in covered else ""
        rows.append([say("settings.prompts", concept=plain(concept)), told])
    done: list[list[Cell]] = [
        [say("settings.ablation", heads=one.heads), _done(report, one)] for one in files.ablations
    ]
    yield Table(("setting", "value"), [*rows, *done], numeric=False)


def _done(report: StudyReport, one: AblationRead) -> str:
    """What was done in an ablation, in one cell."""
    say, about, absent = report.say, one.about, report.say("not_in_file")
    n_prompts = len(one.content.prompts)
    told = [say("settings.texts", len(one.content.baseline_texts) // n_prompts, prompts=n_prompts)]
    told.append(say("settings.edit", value=code(about.edit) if about.edit else absent))
    if about.sampling is None:
        told.append(say("settings.no_sampling"))
    elif about.sampling.greedy:
        told.append(say("settings.greedy", tokens=about.sampling.max_tokens))
    else:
        drawn, seed = about.sampling, absent if about.seed is None else about.seed
        told.append(
            say(
                "settings.sampling", tokens=drawn.max_tokens, temperature=number(drawn.temperature),
                top_p=number(drawn.top_p), seed=seed,
            )
        )  # fmt: skip
    told.append(say("settings.keywords", value=plain(about.keyword_counting or absent)))
    told.append(
        say("settings.sentiment", value=plain(about.sentiment_scorer.name) if about.sentiment_scorer else absent)
    )
    return report.words.listed(told)


def _screening(report: StudyReport) -> Iterator[Block]:
    scores = report.files.scores
    key = "phase6" if report.files.is_confounded else "matched"
    yield Text(report.say(f"screening.{key}", protocol=code(scores.protocol)))
    if report.ranked["screen_ci_low"].isna().all():
        yield Text(report.say("screening.no_interval"))
    for concept in report.files.concepts:
        yield Heading(plain(concept))
        yield table_of(
            records(report.top(concept)),
            of(str, rank="rank"),
            of(head_at, head="layer head"),
            of(four, delta="screen_delta", concept_mean="concept_mean", control_mean="control_mean"),
            of(interval, ci="screen_ci_low screen_ci_high"),
            of(probability, q="screen_q"),
        ).without_empty("ci", "q")


def _ablation(report: StudyReport) -> Iterator[Block]:
    say = report.say
    if not report.files.ablations:
        yield Text(say("ablation.none"))
    for one in report.files.ablations:
        yield Heading(say("ablation.without", heads=one.heads))
        yield _metrics(report, one)
        rest = [each for each in one.tested if each not in one.tested_metrics.values()]
        if not one.tested:
            yield Text(say("ablation.no_interval"))
        if rest:
            yield Text(say("ablation.tested"))
            rows = [{**vars(each), "named": report.words.outcome(each.outcome)} for each in rest]
            yield table_of(
                rows,
                of(lambda name: name, metric="named"),
                of(four, baseline="baseline_mean", ablation="edited_mean", delta="estimate"),
                of(interval, ci="ci_low ci_high"),
                of(probability, p="p_value"),
            )


def _metrics(report: StudyReport, one: AblationRead) -> Table:
    """The study's table: metric, baseline, ablation, Δ, the totals behind the means; interval and p where tested."""
    before, after = one.content.baseline_metrics, one.content.ablation_metrics
    total = Foreign(report.say("ablation.total"))
    table = Table(("metric", "baseline", "ablation", "delta", total, "ci", "p"))

    def add(key: str, label: str, old: float, new: float, totals: str) -> None:
        tested = one.tested_metrics.get(key)
        row: list[Cell] = [label, four(old), four(new), fixed(new - old, DECIMALS, signed=True), totals]
        row += (
            [MISSING] * 2 if tested is None else [interval(tested.ci_low, tested.ci_high), probability(tested.p_value)]
        )
        table.rows.append(row)

    add("", report.say("ablation.sentiment"), before.sentiment.mean, after.sentiment.mean, "")
    for name, counted in before.keyword_counts.items():
        now = after.keyword_counts[name]
        label = report.say("ablation.mean", name=plain(name))
        add(name, label, counted.mean, now.mean, f"{counted.total} → {now.total}")
    return table.without_empty("ci", "p")


def _ranking(report: StudyReport) -> Iterator[Block]:
    yield Text(report.say("ranking.about", concepts=report.concepts))
    yield table_of(
        records(report.top(OVERALL)),
        of(str, rank="rank"), of(head_at, head="layer head"), of(four, delta="screen_delta"),
    )  # fmt: skip


def _layers(report: StudyReport) -> Iterator[Block]:
    layers = layer_table(report.files.screen)
    yield Text(report.say("layers.about"))
    yield table_of(
        records(layers[layers["concept"] == OVERALL]),
        of(str, layer="layer", n_heads="n_heads"),
        of(four, mean_delta="mean_delta", mean_abs_delta="mean_abs_delta", max_delta="max_delta"),
        of(lambda layer, head: MISSING if pd.isna(head) else head_at(layer, head), head="layer max_delta_head"),
    )


def _pictures(report: StudyReport) -> Iterator[Block]:
    if not report.files.figures:
        yield Text(report.say("pictures.none"))
    for path in report.files.figures:
        name = PurePosixPath(path).stem
        known = report.words.entries["study"]["pictures"].get(name)
        yield Picture(path, known or Foreign(name))


def _discussion(report: StudyReport) -> Iterator[Block]:
    yield Items(discussion(report))


def _next(report: StudyReport) -> Iterator[Block]:
    files = report.files
    best = [f"{row['layer']}:{row['head']}" for row in records(report.top(OVERALL))[:_PATCHED]]
    asked = ["--model", files.scores.model, "--profile", files.profile]
    yield Text(report.say("next.about"))
    commands = [["headscope", "run", *asked], ["headscope", "patch", *asked, "--heads", ",".join(best)]]
    yield Code("\n".join(map(shlex.join, commands if best else commands[:1])))


def _notes(report: StudyReport) -> Iterator[Block]:
    yield Items(notes(report))


_SECTIONS: dict[str, Callable[[StudyReport], Iterator[Block]]] = {
    "purpose": _purpose,
    "artifacts": _artifacts,
    "commands": _commands,
    "settings": _settings,
    "screening": _screening,
    "ablation": _ablation,
    "ranking": _ranking,
    "layers": _layers,
    "pictures": _pictures,
    "discussion": _discussion,
    "next": _next,
    "notes": _notes,
}
"""The study's sections in its order, by the key of their words."""
