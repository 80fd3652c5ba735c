"""What the report on the study's files says of them: the discussion and the notes, sentence by sentence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import Any

import pandas as pd

from headscope.report.cells import head_at, records
from headscope.report.escaping import code, plain
from headscope.report.markdown import cell_text
from headscope.report.numbers import equation, fixed, interval
from headscope.report.study_files import AblationRead, StudyFiles, Tested
from headscope.report.words import Words
from headscope.stats.ranking import rank_heads

DECIMALS = 4
_DRAWN_OUTCOME = "keyword_count_phase6_"


@dataclass(frozen=True)
class StudyReport:
    """The files in one language; ``top_n``: heads in a table."""

    files: StudyFiles
    words: Words
    top_n: int

    def say(self, key: str, n: int | None = None, **values: object) -> str:
        """An entry of the words of this report."""
        return self.words(f"study.{key}", n, **values)

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """Every head of each concept and overall, by Δ, with the two means beside it."""
        ranked = rank_heads(self.files.screen, top_n=None, signed=True)
        means = self.files.screen[["concept", "layer", "head", "concept_mean", "control_mean"]]
        return ranked.merge(means, on=["concept", "layer", "head"], how="left")

    def top(self, concept: str) -> pd.DataFrame:
        """The first heads of a concept, or overall."""
        return self.ranked[self.ranked["concept"] == concept].head(self.top_n)

    @cached_property
    def concepts(self) -> str:
        """The concepts as a sentence names them."""
        return self.words("intro.concepts_by").join(map(plain, self.files.concepts))


def four(value: Any) -> str:
    """A number with as many decimals as the study's tables have."""
    return fixed(value, DECIMALS)


def discussion(report: StudyReport) -> list[str]:
    """What the files show, and what they cannot: the largest differences, shared heads, what an ablation changed."""
    say, files = report.say, report.files
    items: list[str] = []
    for concept in files.concepts:
        best = next(iter(records(report.top(concept))), None)
        if best is None:
            continue
        told = say(
            "discussion.largest", concept=plain(concept), delta=four(best["screen_delta"]),
            head=head_at(best["layer"], best["head"]), concept_mean=four(best["concept_mean"]),
            control_mean=four(best["control_mean"]),
        )  # fmt: skip
        covered = files.about_scores.coverage.get(concept)
        if covered is not None and files.is_confounded:
            told = report.words.sentences(told, say("discussion.found", n=covered.n_spans, of=covered.n_prompts))
        items.append(told)
    shared = _shared(report)
    n_heads = len(report.ranked[["layer", "head"]].drop_duplicates())
    if shared and len(files.concepts) > 1 and 2 * report.top_n <= n_heads:  # of more, most heads are among the first
        named = report.words.listed(shared, by="items")
        items.append(say("discussion.shared", len(shared), heads=named, k=report.top_n))
    items.append(say("discussion.phase6" if files.is_confounded else "discussion.matched"))
    items += [_changed(report, one) for one in files.ablations]
    items += [say("discussion.alone")] if files.ablations else []
    return items


def _shared(report: StudyReport) -> list[str]:
    """Heads that stand in the table of every concept."""
    tops = [
        {(int(row["layer"]), int(row["head"])) for row in records(report.top(name))} for name in report.files.concepts
    ]
    return [head_at(layer, head) for layer, head in sorted(set.intersection(*tops))]


def _changed(report: StudyReport, one: AblationRead) -> str:
    """What an ablation changed, with what its file says for and against chance."""
    say, words = report.say, report.words
    before, after = one.content.baseline_metrics, one.content.ablation_metrics
    changes = [
        say("discussion.total", name=plain(name), before=counted.total, after=after.keyword_counts[name].total)
        for name, counted in before.keyword_counts.items()
    ]
    told = [say("discussion.changed", heads=one.heads, changes=words.listed(changes, by="items"))]
    own = [each for each in one.tested if each.outcome == f"{_DRAWN_OUTCOME}{each.concept}"]
    own += [each for each in one.tested if each.outcome == f"keyword_count_{each.concept}"]
    told += [_against_chance(report, each) for each in own if not isnan(each.ci_low + each.ci_high)]
    told += [] if one.tested else [say("discussion.untested")]
    counting = {"phase6": "discussion.counted", None: "discussion.uncounted"}.get(one.about.keyword_counting, "")
    told += [say(counting)] if counting else []
    scores = (before.sentiment, after.sentiment)
    told += [say("discussion.silent")] if all(each.mean == 0 and each.std == 0 for each in scores) else []
    return words.sentences(*told)


def _against_chance(report: StudyReport, one: Tested) -> str:
    key = "contains" if one.ci_low <= 0 <= one.ci_high else "excludes"
    return report.say(
        f"discussion.{key}", outcome=cell_text(report.words.outcome(one.outcome)),
        ends=interval(one.ci_low, one.ci_high), p=equation("p", one.p_value),
    )  # fmt: skip


def notes(report: StudyReport) -> list[str]:
    """How the numbers were made, and what the files warn of."""
    say, files = report.say, report.files
    told = [say("notes.signed"), say("notes.several", n=files.scores.layers * files.scores.heads_per_layer)]
    told += [] if report.ranked["screen_ci_low"].isna().all() else [say("notes.intervals")]
    told += [say("notes.unseeded", file=code(one.path)) for one in files.ablations if one.about.seed is None]
    if files.about_scores.versions:
        versions = [f"{plain(name)} {plain(version)}" for name, version in files.about_scores.versions.items()]
        told.append(say("notes.versions", versions=report.words.listed(versions, by="items")))
    warned = [
        (files.scores_path, files.about_scores.warnings),
        *((one.path, one.about.warnings) for one in files.ablations),
    ]
    known = {covered.note for covered in files.about_scores.coverage.values()}  # told with the largest differences
    for path, warnings in warned:
        told += [
            say("notes.warning", file=code(path), warning=plain(warning))
            for warning in warnings
            if warning not in known
        ]
    return [*told, say("notes.rounded")]
