"""Text of prompts, models and profiles shows as itself and does nothing else."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from headscope.report import render_evidence, render_markdown
from headscope.report.anchors import evidence_file
from headscope.report.escaping import block, code, plain, visible
from tests.unit.report.fake_tables import fake_facts, fake_tables

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")
NASTY = (
    "<script>alert(1)</script>",
    "a | b",
    "`code` and ``more``",
    "# heading\n\n- list",
    "[link](http://example.org) ![x](y)",
    "*bold* _it_ ~~gone~~ $x$ <!-- c -->",
    "&lt;b&gt; &amp;",
    "\\| \\` \\",
    "``",
    "`",
    " ",
    "أنا ممتن جدا",
    "🙂🏳️‍🌈",
    "line\u2028two\x00\x1b[31m",
    "\u202eevil",
    "x" * 10_000,
    "---",
    "| --- |",
)


def cell_texts(markdown: str) -> list[str]:
    html = MARKDOWN.render(f"| a | b |\n|---|---|\n| {markdown} | end |")
    return [unescape(re.sub(r"</?code>", "", cell)) for cell in re.findall(r"<td>(.*?)</td>", html, re.S)]


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("escape", [plain, code])
def test_nasty_text_is_one_cell_that_shows_it(text: str, escape: object) -> None:
    assert callable(escape)
    shown, end = cell_texts(escape(text))
    assert (shown.strip(), end) == (visible(text).strip(), "end")


@given(st.text())
def test_any_text_is_one_cell_that_shows_it(text: str) -> None:
    shown = visible(text)
    assert cell_texts(plain(text)) == [shown.strip(), "end"]
    squeezed = re.sub(r"\s+", " ", cell_texts(code(text))[0])
    assert squeezed.strip() == re.sub(r"\s+", " ", shown).strip()


@given(st.text())
def test_a_block_cannot_be_closed_from_inside(text: str) -> None:
    html = MARKDOWN.render(block(text) + "\n\nafter")
    assert html.count("<pre>") == 1
    assert html.rstrip().endswith("<p>after</p>")


def test_control_and_direction_characters_are_shown_by_code_point() -> None:
    assert visible("a\x00b\u202ec") == "aU+0000bU+202Ec"
    assert visible("a\nb\r\nc") == "a↵b↵c"


@pytest.mark.parametrize("text", NASTY)
def test_nasty_prompts_models_and_concepts_leave_the_report_intact(text: str) -> None:
    tables = fake_tables(concepts=("anger",))
    tables["texts"] = tables["texts"].assign(prompt=text, baseline_text=text, edited_text=text)
    facts = fake_facts() | {"warnings": [text]}
    facts["model"] = {**facts["model"], "name": text}
    named = {
        name: table.assign(concept=table["concept"].replace("anger", text or "x")) for name, table in tables.items()
    }
    for language in ("en", "ja"):
        html = MARKDOWN.render(render_evidence(named, facts, language))
        assert "<script" not in html
        assert "<img" not in html
        assert "<a " not in html
        assert html.count("<h2>") == 15
        short = MARKDOWN.render(render_markdown(named, facts, language))
        assert "<script" not in short
        assert "<img" not in short
        assert set(re.findall(r'<a href="([^#"]*)', short)) == {quote(evidence_file(language))}
        assert short.count("<h2>") == 12
