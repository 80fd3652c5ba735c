"""The page's tables of evidence are the Markdown report's, cell by cell; a run of one verb says what it found."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from headscope.plots.selecting import lone_effects
from headscope.report import render_evidence, render_page
from headscope.report.document import Table
from headscope.report.findings import WAY, findings_of
from headscope.report.html import cell_html
from headscope.report.markdown import cell_text
from headscope.report.numbers import number
from headscope.report.page import PARTS, plotly_script
from headscope.report.run_report import content_of
from headscope.report.sections import sections_of
from headscope.report.telling import Teller
from headscope.report.words import words_of
from headscope.tables import TABLES
from tests.unit.report.fake_patching import fake_patching, fake_scores
from tests.unit.report.fake_tables import CONCEPTS, fake_facts, fake_tables


def _row(table: str, **values: object) -> dict[str, object]:
    """A row of a table whose other numbers are distinct, so that no cell can pass for another."""
    kinds = TABLES[table].kinds
    filled = {
        "text": lambda at: f"{table} text {at}",
        "int": lambda at: 10 + at,
        "float": lambda at: 0.1234 + at / 100,
        "bool": lambda at: True,
    }
    return {name: values.get(name, filled[kind](at)) for at, (name, kind) in enumerate(kinds.items())}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    made = fake_tables() | fake_patching()
    made["scores"] = fake_scores(lone_effects(made["effects"]))
    made["agreement"] = pd.DataFrame([_row("agreement", concept=concept) for concept in CONCEPTS])
    areas = [("cpr", 0.9), ("cmd", 0.1), ("removed_top", 0.8), ("removed_bottom", 0.2)]
    made["areas"] = pd.DataFrame(
        [_row("areas", concept=one, area=area, estimate=value) for one in CONCEPTS for area, value in areas]
    )
    made["smallest"] = pd.DataFrame([_row("smallest", concept="anger", heads="1:2,2:3", note="")])
    made["reliability"] = pd.DataFrame([_row("reliability", concept="anger", by="effect")])
    made["stability"] = pd.DataFrame([_row("stability", concept="anger", layer=0, head=1, stable_share=0.5)])
    return made


def test_the_pages_tables_are_the_markdown_reports(tables: dict[str, pd.DataFrame]) -> None:
    run = content_of(tables, fake_facts()).told_in("en")
    sections = {section.key: section for section in sections_of(run)}
    page, report = render_page(tables, fake_facts()), render_evidence(tables, fake_facts(), "en")
    for key in (key for keys in PARTS.values() for key in keys if key in sections):
        for table in (block for block in sections[key].blocks if isinstance(block, Table)):
            assert table.rows, key
            for row in table.rows:
                assert f"| {' | '.join(map(cell_text, row))} |" in report
                first, *others = map(cell_html, row)
                cells = "".join(f"<td>{cell}</td>" for cell in others)
                assert f'<tr><th scope="row">{first}</th>{cells}</tr>' in page


def test_headings_and_cells_of_the_pages_tables_are_as_many(tables: dict[str, pd.DataFrame]) -> None:
    markup = render_page(tables, fake_facts()).replace(plotly_script(), "")
    found = re.findall(r'<table class="plain">\s*<thead>(.*?)</thead>\s*<tbody>(.*?)</tbody>', markup, re.S)
    assert len(found) > 8
    for heading, body in found:
        widths = {len(re.findall(r"<t[hd]", row)) for row in re.findall(r"<tr>(.*?)</tr>", body, re.S)}
        assert widths == {heading.count("<th ")}


def test_what_was_not_measured_is_named() -> None:
    page = render_page(fake_tables(), fake_facts())
    for sentence_of in ("<code>patching</code>", "(table <code>areas</code> is missing)"):
        assert sentence_of in page
    assert "Fast scores predict" not in page
    assert "Would other templates" not in page


@pytest.mark.parametrize("words", [Teller(words_of("en")), Teller(words_of("ja"))], ids=["en", "ja"])
@pytest.mark.parametrize("name", ["patching", "scores", "effects"])
def test_a_run_of_one_verb_says_what_it_found(tables: dict[str, pd.DataFrame], words: Teller, name: str) -> None:
    rows = tables[name] if name != "effects" else lone_effects(tables["effects"])
    found = findings_of({name: rows})
    report = render_evidence({name: rows}, {}, words.words.code)
    assert [one.concept for one in found] == list(CONCEPTS)
    for one in found:
        headline = words.headline(one)
        assert headline in report
        assert "nothing was measured" not in headline
        assert "何も測定されていない" not in headline
        strongest = {
            "patching": [patches[0].estimate for patches in one.patched.values()],
            "scores": [value for _, value in one.predicted[:1]],
            "effects": [effect.estimate for effect in one.lowering[:1]],
        }[name]
        assert strongest
        assert all(number(value) in headline for value in strongest)


def test_patches_against_their_direction_are_not_called_shown(tables: dict[str, pd.DataFrame]) -> None:
    wrong = tables["patching"].assign(
        **{name: -tables["patching"][name] for name in ("estimate",)},
        ci_low=-tables["patching"]["ci_high"],
        ci_high=-tables["patching"]["ci_low"],
    )
    for one in findings_of({"patching": wrong}):
        for direction, patches in one.patched.items():
            assert all(patch.direction != WAY[direction] for patch in patches)
        assert Teller(words_of("en")).headline(one).count("0 of 16 heads patched detectably") == len(WAY)
