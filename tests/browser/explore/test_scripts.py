"""Scripts of the live view that say what Python says too: how texts differ, how sets of heads are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
import pytest

from headscope.explore.facts import PAGE_FOLDER, page_words
from headscope.heads import Head, HeadSet
from headscope.report.page_texts import difference
from tests.browser.conftest import Page

FORMAT = resources.files("headscope.report").joinpath("page", "format.js")
HEADS = [4, 1, 0, 6, 2]
STUBS = f"""
const facts = {{model: {{heads_per_layer: {json.dumps(HEADS)}}}}};
const isHead = ([layer, head]) => head >= 0 && head < (facts.model.heads_per_layer[layer] ?? 0);
"""


def run(page: Page, script: str, expression: str, *arguments: Any) -> Any:
    """An expression's value where a script of the page is known; the arguments are called ``given``."""
    source = FORMAT.read_text("utf-8") + STUBS + PAGE_FOLDER.joinpath(script).read_text("utf-8")
    return page.run(f"const given = [...arguments]; {source}; return {expression}", *arguments)


def paths(entries: Mapping[str, Any], start: str = "") -> dict[str, str]:
    """Each text of a language by its path."""
    found: dict[str, str] = {}
    for key, entry in entries.items():
        found |= paths(entry, f"{start}{key}.") if isinstance(entry, dict) else {f"{start}{key}": str(entry)}
    return found


def test_both_languages_say_the_same_with_the_same_holes() -> None:
    english, japanese = (paths(page_words()[code]) for code in ("en", "ja"))
    own = [path for path in english if not path.startswith(("verdicts.", "name"))]
    assert own == [path for path in japanese if not path.startswith(("verdicts.", "name"))]
    holes = {path: set(re.findall(r"{\w+}", english[path])) for path in own}
    assert holes == {path: set(re.findall(r"{\w+}", japanese[path])) for path in own}


def test_every_word_that_is_asked_for_is_there() -> None:
    files = [file for file in PAGE_FOLDER.iterdir() if file.name.endswith((".js", ".j2"))]
    asked = re.findall(
        r"""\bt\("([\w.]+)"|data-(?:say|label|hint)="([\w.]+)\"""", "\n".join(file.read_text("utf-8") for file in files)
    )
    known = paths(page_words()["en"])
    assert len(asked) > 60
    assert [path for pair in asked for path in pair if path and path not in known] == []


@pytest.mark.parametrize("seed", range(4))
def test_texts_differ_as_the_report_says(page: Page, seed: int) -> None:
    random = np.random.default_rng(seed)
    words = ["I", " am", " so", " glad", "!", " ", "\n", " né", " 言葉", "_", " so so", "'s", "🎉"]
    pairs = [["".join(random.choice(words, n)) for n in random.integers(0, 30, 2)] for _ in range(50)]
    shown = run(page, "difference.js", "given[0].map(([before, after]) => difference(before, after))", pairs)
    assert shown == [difference(before, after) for before, after in pairs]


@pytest.mark.parametrize("seed", range(3))
def test_sets_are_written_and_read_in_the_one_grammar(page: Page, seed: int) -> None:
    random = np.random.default_rng(seed)
    every = [Head(layer, head) for layer, count in enumerate(HEADS) for head in range(count)]
    chosen = [random.permutation(len(every))[:n] for n in range(1, len(every) + 1)]
    sets = [HeadSet.of(every[i] for i in places) for places in chosen]
    pairs = [[[head.layer, head.head] for head in one] for one in sets]
    specs = run(page, "heads.js", "given[0].map(specOf)", pairs)
    assert [HeadSet.parse(spec, HEADS) for spec in specs] == sets
    assert run(page, "heads.js", "given[0].map(parseHeads)", specs) == pairs


@pytest.mark.parametrize("spec", ["", "1", "9:0", "2:0", "2:*", "0:4", "0:3-1", "0:1,", "@file", "L0", "0:-1", "<b>"])
def test_what_names_no_heads_is_none(page: Page, spec: str) -> None:
    assert run(page, "heads.js", "parseHeads(given[0])", spec) is None


def test_names_of_papers_are_read_too(page: Page) -> None:
    assert run(page, "heads.js", "parseHeads(given[0])", " l3h5, 0:0 ") == [[0, 0], [3, 5]]
