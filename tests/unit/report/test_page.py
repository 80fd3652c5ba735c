"""The page of a run as a file: the sentences are the report's, the data can end no element, the size fits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscope.report import render_evidence, render_page
from headscope.report.findings import findings_of
from headscope.report.html import sentence
from headscope.report.page import embedded, plotly_script
from headscope.report.page_texts import difference
from headscope.report.showing import show
from headscope.report.telling import Teller
from headscope.report.words import words_of
from headscope.report.writing import write_report
from headscope.runs.folder import Run
from headscope.runs.manifest import Request
from tests.browser.fake_arrays import fake_arrays
from tests.unit.report.fake_tables import CONCEPTS, fake_facts, fake_tables

TELLER = Teller(words_of("en"))


def _plain(html: str) -> str:
    return re.sub(r"<[^>]+>", "", html)


def test_the_page_says_what_the_markdown_report_says() -> None:
    tables, facts = fake_tables(), fake_facts()
    page, report = render_page(tables, facts), render_evidence(tables, facts, "en")
    for found in findings_of(tables):
        for text in (TELLER.headline(found), *TELLER.discussion(found)):
            assert text in report
            assert str(sentence(text)) in page


def test_a_sentence_shows_what_its_markdown_shows_and_runs_nothing() -> None:
    text = sentence("**\\<b\\>** &lt;script&gt; <img src=x> L1H10, \\*not\\*")
    assert str(text).startswith("<strong>&lt;b&gt;</strong> &lt;script&gt; &lt;img src=x&gt; ")
    assert '<a href="#L1H10">L1H10</a>, *not*' in text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4)))
def test_embedded_data_comes_back_and_ends_no_element(value: object) -> None:
    text = str(embedded(value))
    assert not set(text) & set("<>&\u2028\u2029")
    text.encode("utf-8")
    assert json.loads(text) == value


def test_a_number_that_is_none_is_refused_as_data() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded([float("nan")])


@given(st.text(alphabet="ab \n.é", max_size=40), st.text(alphabet="ab \n.é", max_size=40))
def test_a_difference_holds_both_texts(before: str, after: str) -> None:
    pieces = difference(before, after)
    assert "".join(text for sign, text in pieces if sign in "=-") == before
    assert "".join(text for sign, text in pieces if sign in "=+") == after
    assert all(text for _, text in pieces)


def test_a_difference_marks_words_and_joins_what_has_nothing_in_common() -> None:
    assert difference(" so grateful.", " so annoyed.") == [
        ["=", " so "],
        ["-", "grateful"],
        ["+", "annoyed"],
        ["=", "."],
    ]
    assert difference("all of it", "some for me") == [["-", "all of it"], ["+", "some for me"]]
    long = "word " * 2000
    assert difference(long, long) == [["=", long]]


def test_equal_runs_give_equal_pages() -> None:
    pages = [render_page(tables, fake_facts(), fake_arrays(tables)) for tables in (fake_tables(), fake_tables())]
    assert pages[0] == pages[1]


def test_the_page_of_gpt2_small_is_under_8_mb() -> None:
    tables = fake_tables(12, 12)
    page = render_page(tables, fake_facts(12, 12), fake_arrays(tables))
    drawn = len(page.encode()) - len(plotly_script().encode())
    # The fake has 6 prompts a concept; the real one 70, each 2 numbers a head in base64.
    prompts = (70 - 6) * len(CONCEPTS) * 144 * 2 * 4 * 4 / 3
    assert len(plotly_script().encode()) + drawn + prompts < 8e6
    assert "http://" not in page.replace(plotly_script(), "").replace("http://www.w3.org", "")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    request = Request(verb="run", options={}, model_fingerprint="m", profile_fingerprint="p", seed=0)
    tables = fake_tables()
    with Run.create(tmp_path / "run", request, model=fake_facts()["model"], profile={"name": "baseline"}) as made:
        for name, table in tables.items():
            made.write_table(name, table)
        made.write_arrays(fake_arrays(tables))
    return tmp_path / "run"


def test_a_table_edited_by_hand_is_named_and_the_rest_is_shown(run: Path) -> None:
    (run / "tables" / "effects.csv").write_text("concept,layer\ngratitude,1\n")
    (run / "arrays.safetensors").write_bytes(b"cut off")
    with Run.open(run, write=True) as opened:
        paths = write_report(opened)
    assert [path.name for path in paths] == [
        "report.md",
        "evidence.md",
        "report.ja.md",
        "evidence.ja.md",
        "report.html",
    ]
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert 'table "effects" has other columns' in text.replace("&#34;", '"').replace("&quot;", '"')
        assert "arrays are damaged" in text
        assert str(run) not in text
    assert "Δ attention" in text


def test_a_report_of_a_run_that_was_killed_says_so_and_leaves_it_unfinished(run: Path) -> None:
    manifest = run / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"status": "finished"', '"status": "running"'))
    (run / "shards").mkdir()
    before = manifest.read_bytes()
    with Run.open(run, write=True) as opened:
        page = write_report(opened)[-1].read_text(encoding="utf-8")
    assert "not finished (status: stopped)" in page
    assert '"refresh_seconds":null' in page
    assert manifest.read_bytes() == before
    assert (run / "shards").is_dir()


def test_show_opens_the_page_and_makes_it_where_there_is_none(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = show(run)
    assert page == run / "report.html"
    before = page.read_bytes()
    assert show(Run.open(run)) == page
    assert page.read_bytes() == before
    assert opened == [page.as_uri()] * 2


def test_a_run_shows_itself_in_a_notebook(run: Path) -> None:
    opened = Run.open(run)
    opened.manifest.model["name"] = "<b>bold</b>"
    html = opened._repr_html_()
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "report.html" not in html
    with Run.open(run, write=True) as writing:
        write_report(writing)
    assert "report.html" in Run.open(run)._repr_html_()
