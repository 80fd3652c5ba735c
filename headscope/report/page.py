"""A run as one HTML file that needs nothing else: no network, no server, no other file.

1. Facts and findings are made as for the Markdown report, and its sentences are taken over, so that the two say the
   same. 2. Tables, arrays and texts become one JSON block. 3. The template puts sentences, JSON, plotly's own script,
   our script and our style into one file. Text of models and prompts is data twice over: jinja2 escapes it in the
   markup, and the JSON block holds no ``<``, so nothing in it can close a tag.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

import pandas as pd
import plotly
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from headscope.report.facts import facts_of
from headscope.report.findings import ConceptFindings, findings_of
from headscope.report.markdown import report_context
from headscope.report.numbers import count, number, share
from headscope.report.page_data import page_data
from headscope.report.phrases import text_of
from headscope.report.phrases_en import English

_HEAD = re.compile(r"\bL\d+H\d+\b")
_SCRIPTS = (
    "format.js", "state.js", "map.js", "heatmaps.js", "charts.js", "card.js", "data_table.js", "tables.js", "main.js",
)  # fmt: skip


def render_page(
    tables: Mapping[str, pd.DataFrame],
    facts: Mapping[str, Any],
    arrays: Mapping[str, xr.Dataset] | None = None,
    problems: tuple[str, ...] = (),
) -> str:
    """The page of a run.

    Args:
        tables: the run's tables, by name; any may be missing, and the page then says so.
        facts: the manifest as a mapping, as for ``render_markdown``.
        arrays: the run's arrays by verb; None where they are missing.
        problems: what of the folder could not be read, in sentences.
    """
    present = {name: table for name, table in tables.items() if len(table)}
    known = facts_of(facts, present)
    findings = findings_of(present)
    data = page_data(present, arrays or {}, known, findings)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            **report_context(present, known, findings, English()),
            headlines=[(found.concept, sentence(English().headline(found)), _tone(found)) for found in findings],
            discussion=[(found.concept, list(map(sentence, English().discussion(found)))) for found in findings],
            problems=problems,
            data=embedded(data),
            **assets(_SCRIPTS),
        )
    )


def assets(scripts: Sequence[str]) -> dict[str, Markup]:
    """What a page needs beside its data: plotly's script, ours, and our style."""
    return {
        "plotly": _as_it_is(plotly_script()),
        "script": _as_it_is("\n".join(map(_own, scripts))),
        "style": _as_it_is(_own("page.css")),
    }


def sentence(markdown: str) -> Markup:
    """A sentence of the Markdown report as HTML, its heads as links to their cards; raw HTML in it stays text."""
    html = _markdown().renderInline(markdown)
    return _as_it_is(_HEAD.sub(r'<a href="#\g<0>">\g<0></a>', html))


def embedded(data: Any) -> Markup:
    """JSON that cannot end the script element it stands in, nor start a comment there."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return _as_it_is(text.encode("utf-8", "backslashreplace").decode("utf-8"))


@lru_cache(maxsize=1)
def plotly_script() -> str:
    """Plotly's script, from its package."""
    return resources.files(plotly).joinpath("package_data", "plotly.min.js").read_text("utf-8")


def _tone(found: ConceptFindings) -> str:
    """How a concept's headline is marked: ``found``, ``none``, or ``unknown`` where nothing may be said."""
    if found.assay_shown is False or not found.has_verdicts:
        return "unknown"
    return "found" if found.carriers else "none"


def _as_it_is(text: str) -> Markup:
    """What may stand in the page unescaped: our files, plotly's, markdown-it's HTML, JSON without ``<``."""
    return Markup(text)  # noqa: S704 - see above  # nosec B704


def _own(name: str) -> str:
    return resources.files("headscope.report").joinpath("page", name).read_text("utf-8")


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False})


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Templates whose every variable is escaped."""
    environment = Environment(
        loader=PackageLoader("headscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, count=count, share=share, text_of=text_of, sentence=sentence)
    return environment
