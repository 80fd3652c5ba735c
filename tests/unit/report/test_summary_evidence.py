"""What stands on the first screen comes from the tables, and leads to where it is shown."""

from __future__ import annotations

import re
from itertools import permutations
from typing import Any

import pandas as pd
import pytest

from headscope.report.markdown import markdown_of
from headscope.report.numbers import count, equation, interval, number, ratio_interval
from headscope.report.page import render_page
from headscope.report.run_report import RunReport, content_of
from headscope.report.steering_cells import text_dose
from headscope.report.summary import TextPair, first_pair
from headscope.report.summary_blocks import summary_section
from headscope.report.summary_page import summary_html
from headscope.report.summary_telling import MARKS
from headscope.report.words import words_of
from headscope.terms import DECIDING_EDIT
from tests.unit.report.fake_steering import fake_steering
from tests.unit.report.fake_tables import CONCEPTS, fake_facts, fake_tables
from tests.unit.report.first_screens import LANGUAGES, PLACES, Tables, bare, case_of, in_markdown, on_page, run_of


@pytest.fixture(scope="module")
def tables() -> Tables:
    return fake_tables()


@pytest.fixture(params=["page", "markdown"])
def screen(request: pytest.FixtureRequest) -> Any:
    return on_page if request.param == "page" else in_markdown


def _tables_numbers(run: RunReport) -> set[str]:
    """Every number that the tables allow on the first screen, rounded as the report rounds."""
    allowed = {"95", "1.05", "16", *(count(one.assay.n_templates) for one in run.findings if one.assay is not None)}
    for row in pd.concat([run.tables[name] for name in ("assay", "verdicts")]).to_dict("records"):
        allowed |= {number(row[name]) for name in ("estimate", "threshold_nats") if name in row}
        allowed |= {count(row["templates_needed"])}
        for low, high in (("ci_low", "ci_high"), ("sim_low", "sim_high")):
            allowed |= set(_numbers(interval(row[low], row[high])))
        allowed |= set(_numbers(ratio_interval(row["perplexity_ratio_low"], row["perplexity_ratio_high"])))
    for one in run.sets:
        for effect in (*one.effects, *one.damage, *filter(None, [one.total])):
            allowed |= {number(effect.estimate), *_numbers(interval(effect.low, effect.high))}
            allowed |= set(_numbers(ratio_interval(effect.low, effect.high)))
        if one.null is not None:
            allowed |= {count(one.null["n_random"]), *_numbers(equation("p", 1 - one.null["percentile"] / 100))}
    return allowed


def _numbers(text: str) -> list[str]:
    return re.findall(r"−?\d+(?:\.\d+)?", re.sub(r"L\d+H\d+", "", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_number_is_the_tables_number_rounded(tables: Tables, language: str, screen: Any) -> None:
    run = run_of(tables, language)
    allowed, counts = _tables_numbers(run), {str(n) for n in range(17)}
    for text in screen(run):
        found = _numbers(text)
        assert len(found) > 15
        assert {one for one in found if one not in counts} <= allowed


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_number_leads_to_its_evidence(tables: Tables, language: str) -> None:
    """Every row but the heads' has a link in Markdown and on the page, and every link has a target there."""
    markdown = markdown_of([summary_section(run_of(tables, language), PLACES)], words_of(language))
    rows = [line for line in markdown.splitlines() if line.startswith("- ")]
    assert len(rows) == 5 * len(CONCEPTS)
    assert all("](evidence.md#" in row for row in rows)
    page = render_page(tables, fake_facts(), language=language)
    boxes = re.findall(r"<article.*?</article>", page, re.S)
    targets = re.findall(r'href="#([^"]+)"', "".join(boxes))
    assert {f"assay-{language}", f"joint-{language}", f"judged-{language}", "sets", "heads"} <= set(targets)
    ids = set(re.findall(r'id="([^"]+)"', page))
    assert {target for target in targets if not re.fullmatch(r"L\d+H\d+", target)} <= ids


def test_a_chip_says_its_verdict_by_mark_and_word(tables: Tables) -> None:
    markup = str(summary_html(run_of(case_of("undecided", tables), "en"), {}))
    chips = re.findall(r'<a class="chip (\w+)" href="#(L\d+H\d+)">(.*?)</a>', markup)
    first = [chip for chip in chips if chip[1] in ("L3H0", "L0H2", "L1H2")][:3]
    assert [(kind, head) for kind, head, _ in first] == [("open", "L3H0"), ("open", "L0H2"), ("open", "L1H2")]
    told = [bare(text) for _, _, text in first]
    assert told[0] == f"{MARKS['open']} L3H0 −0.900 undecided (harm)"
    assert len(set(MARKS.values())) == len(MARKS)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_pair_of_texts_is_the_first_whatever_it_says(tables: Tables, order: tuple[int, ...]) -> None:
    """Texts change places among prompts, sets and edits: the prompt, the sample and the set that are shown do not."""
    texts = tables["texts"]
    chosen = first_pair(content_of(tables, fake_facts()))
    assert isinstance(chosen, TextPair)
    shuffled = texts.copy()
    for arm in ("baseline_text", "edited_text"):
        shuffled[arm] = [f" text {order[n % len(order)]} of {arm}" + n * " more" for n in range(len(texts))]
    moved = first_pair(content_of({**tables, "texts": shuffled}, fake_facts()))
    assert moved is not None
    where = ("concept", "prompt_id", "sample", "heads", "edit", "prompt")
    assert [getattr(moved, name) for name in where] == [getattr(chosen, name) for name in where]
    first = shuffled[shuffled["concept"] == "gratitude"].iloc[0]
    assert (moved.concept, moved.prompt_id, moved.sample) == ("gratitude", first["prompt_id"], first["sample"])
    assert (moved.baseline, moved.edited) == (first["baseline_text"], first["edited_text"])
    assert moved.edit == DECIDING_EDIT


def test_a_run_that_steers_shows_the_text_of_the_dose_that_its_part_shows() -> None:
    rows = [
        {"concept": "gratitude", "prompt_id": f"p-{n}", "sample": 0, "prompt": f"Prompt {n}", "heads": heads,
         "edit": edit, "vector": "", "dose": dose, "direction": "", "source_id": "", "baseline_text": " plain",
         "edited_text": f" {heads} {n} {dose:g}"}
        for heads, edit in (("1:10", "add"), ("0:1", "add"), ("2:3", "add"), ("1:10,3:2", "scale"))
        for n in range(2)
        for dose in range(1, 9)
    ]  # fmt: skip
    content = content_of({**fake_steering(), "texts": pd.DataFrame(rows)}, fake_facts())
    pair = first_pair(content)
    assert pair is not None
    one = max((one for one in content.steered if one.concept == pair.concept), key=lambda one: one.reach)
    assert (pair.heads, pair.edit, pair.dose) == (one.heads, one.edit, text_dose(one))
    texts = content.tables["texts"]
    rows = texts[(texts["heads"] == one.heads) & (texts["edit"] == one.edit) & (texts["dose"] == pair.dose)]
    rows = rows[rows["concept"] == pair.concept]
    assert (pair.prompt_id, pair.edited) == (rows["prompt_id"].iloc[0], rows["edited_text"].iloc[0])


def test_hostile_texts_and_names_show_as_themselves(tables: Tables) -> None:
    wild = '<script>alert("1")</script> [a](b) *x* `y`'
    renamed = {
        name: table.replace({"gratitude": wild}) if "concept" in table.columns else table
        for name, table in tables.items()
    }
    renamed["texts"] = renamed["texts"].assign(baseline_text=wild, edited_text=f"{wild} more")
    page = render_page(renamed, fake_facts())
    assert "<script>alert" not in page
    intro = page[page.index('<section class="intro">') : page.index('<section id="heads"')]
    assert "&lt;script&gt;alert(" in intro
    assert "[a](b) *x* `y`" in intro
