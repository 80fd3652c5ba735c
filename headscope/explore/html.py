"""The page as one HTML file that needs nothing else: its scripts, style, words and facts stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from headscope.explore.facts import PAGE_FOLDER
from headscope.report.html import as_it_is
from headscope.report.page import embedded

_REPORT_PAGE = resources.files("headscope.report").joinpath("page")
_SHARED_SCRIPTS = ("format.js",)
_SCRIPTS = (
    "state.js", "colors.js", "difference.js", "server.js", "heads.js", "prompt.js", "tokens.js", "map.js", "edits.js",
    "words.js", "writing.js", "take.js", "picture.js", "main.js",
)  # fmt: skip


def page_html(facts: Mapping[str, Any], nonce: str) -> str:
    """The page; ``nonce`` stands in its content security policy and on its scripts and style."""
    script, style = _assets()
    return (
        _environment()
        .get_template("explore.html.j2")
        .render(
            nonce=nonce,
            title=f"{facts['model']['name']} · headscope explore",
            language=facts["language"],
            facts=embedded(facts),
            script=script,
            style=style,
        )
    )


@lru_cache(maxsize=1)
def _assets() -> tuple[Markup, Markup]:
    shared = [_REPORT_PAGE.joinpath(name).read_text("utf-8") for name in _SHARED_SCRIPTS]
    own = [PAGE_FOLDER.joinpath(name).read_text("utf-8") for name in _SCRIPTS]
    styles = [_REPORT_PAGE.joinpath("page.css"), PAGE_FOLDER.joinpath("explore.css")]
    style = "\n".join(file.read_text("utf-8") for file in styles)
    return as_it_is("\n".join([*shared, *own])), as_it_is(style)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("headscope.explore", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
