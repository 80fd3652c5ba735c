"""The map of a model of 40 x 64 heads, with layers of fewer heads and one of none; no server answers this page."""

from __future__ import annotations

from typing import Any

import pytest

from headscope.explore.facts import page_words
from headscope.explore.html import page_html
from tests.browser.conftest import Page
from tests.browser.explore.live_view import LiveView

HEADS = [64] * 36 + [0, 32, 64, 64]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> str:
    words = page_words()
    effects = [[(layer - head) / 40 for head in range(count)] for layer, count in enumerate(HEADS)]
    verdicts = [
        {"heads": f"{layer}:{head}", "verdict": "no effect", "label": {"en": "no effect"}, "estimate": 0.1}
        for layer, count in enumerate(HEADS)
        for head in range(count)
    ]
    effect = {
        "key": "effect",
        "label": {"en": "effect"},
        "unit": {"en": "nats"},
        "diverging": True,
        "by_concept": {"joy": effects},
    }
    facts: dict[str, Any] = {
        "model": {
            "name": "wide", "n_layers": 40, "heads_per_layer": HEADS, "context_length": 9, "chat": False, "bos": True,
        },
        "language": "en",
        "words": words,
        "profile": {"name": "p", "concepts": ["joy"], "control": "neutral", "steerable": True, "examples": []},
        "run": {
            "path": "r",
            "measures": [effect],
            "verdicts": {"joy": verdicts},
            "top_sets": [{"concept": "joy", "heads": "0:0,39:63", "label": "top"}],
        },
        "keep": "explored",
        "sentence": {code: entries["sentence"] for code, entries in words.items()},
    }  # fmt: skip
    path = tmp_path_factory.mktemp("wide") / "page.html"
    path.write_text(page_html(facts, "nonce"), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("width", [390, 1440])
def test_a_map_of_2500_heads_stays_in_its_box(page: Page, wide: str, width: int) -> None:
    view = LiveView(page, wide).open(width=width)
    assert len(view.each("#board [data-head]", "1")) == sum(HEADS)
    assert view.run("return document.documentElement.scrollWidth <= innerWidth")
    sizes = view.each("#board [data-head]", "one.getBoundingClientRect().width")
    assert min(sizes) >= 6, "a head can be hit"
    assert view.run("return document.querySelectorAll('#board [tabindex=\"0\"]').length") == 1


def test_sets_of_a_wide_map_are_whole_layers_and_blocks(page: Page, wide: str) -> None:
    view = LiveView(page, wide).open()
    view.find("#spec").send_keys("37:*,39:1-3\n")
    assert len(view.edited()) == 35
    view.drag("[data-head='34:30']", "[data-head='38:33']")
    # The block crosses the layer without heads and the one that ends at head 31.
    assert {head for head in view.edited() if head.startswith("37:")} == {f"37:{head}" for head in range(32)}
    assert {"34:30", "34:33", "38:30", "38:33"} <= view.edited().keys()
    view.click("#all-on")
    view.find("#spec").send_keys("*\n")
    assert len(view.edited()) == sum(HEADS)
    assert view.text("#edits b").startswith("*")


def test_arrows_cross_a_layer_without_heads(page: Page, wide: str) -> None:
    view = LiveView(page, wide).open()
    view.run("document.querySelector(\"[data-head='35:40']\").focus()")
    seen = []
    for _ in range(3):
        view.press("\ue015")
        seen.append(view.run("return document.activeElement.dataset.head"))
    assert seen == ["37:31", "38:31", "39:31"]


def test_a_page_without_a_server_says_so(page: Page, wide: str) -> None:
    view = LiveView(page, wide).open()
    assert "headscope explore" in view.text("#trouble-page")
