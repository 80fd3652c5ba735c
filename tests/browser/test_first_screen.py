"""The first screen in a real browser: chips open cards by mouse and keyboard, numbers lead to their parts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from headscope.report.run_report import content_of
from headscope.report.summary import first_pair
from tests.browser.conftest import Page
from tests.unit.report.fake_tables import CONCEPTS, fake_facts

pytestmark = pytest.mark.browser

CHIPS = ".words:not([hidden]) .chip"


def test_a_chip_opens_its_heads_card_and_the_focus_comes_back(page: Page, report: Path) -> None:
    page.open(report)
    head = page.each(CHIPS, "one.getAttribute('href').slice(1)")[0]
    page.driver.find_element(By.CSS_SELECTOR, CHIPS).click()
    page.wait("return !document.getElementById('card').hidden")
    assert page.text("#card-title") == head
    page.press(Keys.ESCAPE)
    assert page.run("return document.getElementById('card').hidden")
    assert page.run("return document.activeElement.getAttribute('href')") == f"#{head}"
    assert page.errors() == []


def test_chips_work_by_keyboard_alone(page: Page, report: Path) -> None:
    page.open(report)
    names = page.each(CHIPS, "one.getAttribute('href').slice(1)")
    for _ in range(40):
        page.press(Keys.TAB)
        if page.run("return document.activeElement.matches('.chip')"):
            break
    page.press(Keys.ENTER)
    page.wait("return !document.getElementById('card').hidden")
    assert page.text("#card-title") == names[0]


def test_a_number_leads_to_its_evidence_and_unfolds_it(page: Page, report: Path) -> None:
    page.open(report)
    page.run("document.querySelector('.words:not([hidden]) .together a[href^=\"#joint\"]').click()")
    page.wait("return document.getElementById('joint-en').open")
    page.run("document.querySelector('.words:not([hidden]) .model a').click()")
    assert page.wait("return location.hash === '#assay-en'")
    top = "return document.getElementById('assay-en').getBoundingClientRect().top"
    assert 0 <= page.run(top) <= page.run("return innerHeight")


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_sticks_out_and_every_box_is_whole(page: Page, report: Path, width: int, language: str) -> None:
    page.open(report, width=width)
    page.run(
        "const menu = document.getElementById('language'); menu.value = arguments[0];"
        "menu.dispatchEvent(new Event('change', {bubbles: true}))",
        language,
    )
    assert page.run("return document.documentElement.scrollWidth <= window.innerWidth")
    boxes = page.each(
        ".words:not([hidden]) .told", "[one.clientWidth, one.scrollWidth, one.querySelector('h2').innerText]"
    )
    assert [name for _, _, name in boxes] == list(CONCEPTS)
    assert all(inside <= across for across, inside, _ in boxes)
    right = page.each(f".words[lang={language}] .chip", "one.getBoundingClientRect().right")
    assert right
    assert max(right) <= width


def test_the_pair_of_texts_marks_what_differs(page: Page, report: Path, tables: dict[str, pd.DataFrame]) -> None:
    page.open(report)
    pair = first_pair(content_of(tables, fake_facts()))
    assert pair is not None
    shown = page.each(".words:not([hidden]) .arms .written", "one.textContent")
    assert shown == [pair.prompt + pair.baseline, pair.prompt + pair.edited]
    kept = page.each(".words:not([hidden]) .arms .written", "[one.querySelectorAll('del, ins').length, one.innerText]")
    assert all(n > 0 for n, _ in kept)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_pair_of_texts_is_seen_without_scrolling(page: Page, report: Path, language: str) -> None:
    page.open(report, f"?lang={language}")
    bottom = page.each(f".words[lang={language}] .arms", "one.getBoundingClientRect().bottom")
    assert 0 < bottom[0] <= page.run("return innerHeight")
    lines = page.each(f".words[lang={language}] .interval", "one.getClientRects().length")
    assert set(lines) == {1}


def test_a_box_that_is_unfolded_leaves_the_others_as_they_are(page: Page, report: Path) -> None:
    page.open(report)
    folds = ".words:not([hidden]) .told summary"
    before = page.each(folds, "one.getBoundingClientRect().top")
    page.run("document.querySelector(arguments[0]).click()", folds)
    assert page.run("return document.querySelector('.words:not([hidden]) .told details').open")
    assert page.each(folds, "one.getBoundingClientRect().top") == before
