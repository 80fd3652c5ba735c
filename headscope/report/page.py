"""A run as one HTML file that needs nothing else: no network, no server, no other file; in every language of ``words``.

1. The sections are those of the Markdown report, each in every language; the page's switch shows one. 2. Tables,
arrays, texts and the words of the scripts become one JSON block. 3. The template puts sections, JSON, plotly's own
script, our script and our style into one file. Text of models and prompts is data twice over: it is escaped in the
markup, and the JSON block holds no ``<``, so nothing in it can close a tag.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from typing import Any

import pandas as pd
import plotly
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from headscope.report.document import Section
from headscope.report.html import as_it_is, blocks_html, section_html, sentence
from headscope.report.page_data import page_data
from headscope.report.page_steering import steering_data
from headscope.report.progress import is_told, state
from headscope.report.run_report import RunContent, RunReport, content_of
from headscope.report.sections import measured_of, sections_of, warnings_of
from headscope.report.summary import first_pair
from headscope.report.summary_page import fine_html, pair_html, summary_html
from headscope.report.words import Words, languages

_SCRIPTS = (
    "format.js", "state.js", "map.js", "heatmaps.js", "charts.js", "steering.js", "card.js", "data_table.js",
    "tables.js", "refresh.js", "main.js",
)  # fmt: skip
_SCRIPT_WORDS = (
    "page",
    "maps",
    "charts",
    "card",
    "grids",
    "columns",
    "verdicts",
    "answers",
    "places",
    "edits",
    "progress",
)
_HIDDEN = Markup(" hidden")
REFRESH_SECONDS = 20
"""After so many seconds the page of a run that goes on loads itself again."""
PARTS = {
    "looking": ("knows", "fast", "repair"),
    "sets": ("joint", "growing"),
    "patching": ("patching", "patch_agreement", "dissociation"),
    "steering": ("steering", "steering_doses", "steering_texts"),
    "tables": ("reliability",),
    "method": ("evaluation", "purpose", "judged", "control", "discussion", "assay", "coverage", "notes", "commands"),
}
"""The report's sections that stand in each part of the page, beside its pictures."""


def render_page(
    tables: Mapping[str, pd.DataFrame],
    facts: Mapping[str, Any],
    arrays: Mapping[str, xr.Dataset] | None = None,
    problems: tuple[str, ...] = (),
    language: str = "en",
) -> str:
    """The page of a run.

    Args:
        tables: the run's tables, by name; any may be missing, and the page then says so.
        facts: the manifest as a mapping, as for ``render_markdown``.
        arrays: the run's arrays by verb; None where they are missing.
        problems: what of the folder could not be read, in sentences.
        language: the one that the page is opened in; it holds all.

    Raises:
        RequestError: there is no such language.
    """
    content = content_of(tables, facts)
    codes = (language, *(code for code in languages() if code != language))
    told = {code: content.told_in(code) for code in codes}
    return page_of(told, {code: list(sections_of(run)) for code, run in told.items()}, arrays or {}, problems)


def page_of(
    told: Mapping[str, RunReport],
    sections_in: Mapping[str, Sequence[Section]],
    arrays: Mapping[str, xr.Dataset],
    problems: tuple[str, ...],
) -> str:
    """The page of a run told in every language, with its sections in each; the first is the one it opens in."""
    runs = list(told.values())
    content, first = runs[0].content, runs[0].words
    known, findings = content.facts, content.findings
    sections = {code: {section.key: section for section in of} for code, of in sections_in.items()}
    data = page_data(content, arrays, [run.words for run in runs])
    data["steering"] = steering_data(content, [run.words for run in runs])
    data["language"] = first.code
    data["words"] = {run.words.code: {key: run.words.entries[key] for key in _SCRIPT_WORDS} for run in runs}
    data["measured"] = {run.words.code: measured_of(run) for run in runs}
    data["refresh_seconds"] = REFRESH_SECONDS if known.status == "running" else None

    def each(text: Callable[[RunReport], Markup]) -> Markup:
        """The same text in every language; the page's script keeps the one that is read."""
        box = Markup('<div class="words" lang="{}"{}>{}</div>')
        return Markup("\n").join(
            box.format(run.words.code, _HIDDEN if at else "", text(run)) for at, run in enumerate(runs)
        )

    parts = {
        part: each(lambda run, keys=keys: _part(keys, sections[run.words.code], run.words))
        for part, keys in PARTS.items()
    }
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            t=first,
            title=f"{known.model or 'a model'}: {', '.join(found.concept for found in findings)}",
            heading=each(_heading),
            meta=each(_meta),
            notices=each(_notices),
            summary=each(lambda run: summary_html(run, _places(sections[run.words.code], run.words.code))),
            pair=each(pair_html) if first_pair(content) else None,
            fine=each(fine_html),
            languages=[(run.words.code, run.words("name")) for run in runs],
            has_predictions="scores" in content.tables and (bool(data["predicted"]) or not known.awaits("sweep")),
            progress=each(lambda run: _progress(sections[run.words.code], run.words)) if is_told(known) else None,
            refresh_seconds=data["refresh_seconds"],
            empty_parts=_empty_parts(content, data),
            parts=parts,
            problems=problems,
            data=embedded(data),
            **assets(_SCRIPTS),
        )
    )


def _part(keys: Sequence[str], sections: Mapping[str, Section], words: Words) -> Markup:
    told = [sections[key] for key in keys if key in sections]
    bare = keys[0] in ("patching", "steering")
    return Markup("").join(
        (blocks_html if bare and at == 0 else section_html)(one, words) for at, one in enumerate(told)
    )


def _heading(run: RunReport) -> Markup:
    concepts = run.words("intro.concepts_by").join(found.concept for found in run.findings)
    shown = {"model": run.facts.model, "concepts": concepts or run.words("intro.the_concepts")}
    around = Markup.escape(run.words(run.title, model="\0model\0", concepts="\0concepts\0"))
    for name, text in shown.items():
        around = around.replace(f"\0{name}\0", Markup("<em>{}</em>").format(text))
    return around


def _meta(run: RunReport) -> Markup:
    facts, words = run.facts, run.words
    shape = words("page.shape", layers=facts.n_layers, heads=facts.n_heads) + " · " if facts.n_layers else ""
    about = {"profile": facts.profile or "—", "protocol": facts.protocol or "—", "seed": facts.seed or "—"}
    return Markup.escape(shape + words("page.meta", request=facts.digest or "—", **about))


def _notices(run: RunReport) -> Markup:
    facts, texts = run.facts, [sentence(text.text) for text in warnings_of(run)]
    notice = Markup('<p class="notice strong" role="note">{}</p>')
    if is_told(facts):
        texts.insert(0, sentence(state(run)))
        if facts.status == "running":
            texts[0] += Markup.escape(run.words("glue.sentences") + run.words("page.refreshes", REFRESH_SECONDS))
    elif facts.unfinished:
        texts.insert(0, Markup.escape(run.words("page.unfinished", status=facts.status)))
    elif left_out := state(run):
        return Markup("").join(
            [*map(notice.format, texts), Markup('<p class="fine">{}</p>').format(sentence(left_out))]
        )
    return Markup("").join(map(notice.format, texts))


def _progress(sections: Mapping[str, Section], words: Words) -> Markup:
    """The table of stages; the sentence before it stands among the notices, and the page's sections have no numbers."""
    section = sections["progress"]
    return blocks_html(replace(section, blocks=section.blocks[1:-1]), words)


def _empty_parts(content: RunContent, data: Mapping[str, Any]) -> set[str]:
    """The parts of the page that have nothing to show: what another run measures, or a stage that is still open."""
    looked = any(one["kind"] in ("screen", "effect", "patch", "score") for one in data["measures"])
    waiting = {
        "heads": ("screen", looked),
        "looking": ("sweep", any(one["kind"] == "effect" for one in data["measures"])),
        "sets": ("texts", data["sets"] or data["curves"]),
        "patching": ("patching", "patching" in content.tables),
        "texts": ("texts", data["texts"]),
        "tables": ("screen", looked),
    }
    without = {part for part, (stage, filled) in waiting.items() if not filled and content.facts.awaits(stage)}
    if content.asks_benchmarks:
        return {*waiting, "steering"}  # all that is to be seen stands in the part on the method
    if content.only_steers:
        return {*without, *waiting}  # all that is to be seen stands in the part on steering
    return without if content.steered else {*without, "steering"}


def _places(sections: Mapping[str, Section], code: str) -> dict[str, str]:
    """Where on the page each section stands; what only the page's scripts draw is the part that they draw in."""
    shown = {key: f"#{key}-{code}" for keys in PARTS.values() for key in keys if key in sections}
    drawn = {"ablation": "#sets", "screening": "#heads", "patching": "#patching", "steering": "#steering"}
    return shown | {key: place for key, place in drawn.items() if key in sections}


def assets(scripts: Sequence[str]) -> dict[str, Markup]:
    """What a page needs beside its data: plotly's script, ours, and our style."""
    return {
        "plotly": as_it_is(plotly_script()),
        "script": as_it_is("\n".join(map(_own, scripts))),
        "style": as_it_is(_own("page.css")),
    }


def embedded(data: Any) -> Markup:
    """JSON that cannot end the script element it stands in, nor start a comment there."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return as_it_is(text.encode("utf-8", "backslashreplace").decode("utf-8"))


@lru_cache(maxsize=1)
def plotly_script() -> str:
    """Plotly's script, from its package."""
    return resources.files(plotly).joinpath("package_data", "plotly.min.js").read_text("utf-8")


def _own(name: str) -> str:
    return resources.files("headscope.report").joinpath("page", name).read_text("utf-8")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Templates whose every variable is escaped."""
    return Environment(
        loader=PackageLoader("headscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
