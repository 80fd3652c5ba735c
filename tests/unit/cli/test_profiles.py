"""What ``headscope profiles`` says of concepts and of tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headscope.cli import main
from headscope.profiles.catalog import SHOWN_CHARACTERS, example, summarize_tasks
from headscope.profiles.loading import bundled_names, load_profile


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(["profiles", *words])
    assert left.value.code == 0
    return capsys.readouterr().out


def said_as_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    return json.loads(said(capsys, *words, "--json"))


def test_the_list_names_every_profile_with_what_it_asks_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "list").splitlines()
    assert [line.split(":")[0] for line in lines[::2]] == list(bundled_names())
    assert all(line.startswith('  "') for line in lines[1::2])
    assert '  "The soup is not hot, it is" -> " cold", not " hot"' in lines
    rows = said_as_json(capsys, "list")["profiles"]
    assert {row["name"] for row in rows if not row["has_tasks"]} == {"baseline", "extended"}
    assert [f"  {row['example']}" for row in rows] == lines[1::2]


def test_a_task_is_shown_with_its_answers_foils_and_places_in_place_of_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = said(capsys, "show", "ioi")
    assert "answers" in text
    assert "implicit" not in text
    assert "places: io (112), s1 (112), s2 (112)" in text.splitlines()
    shown = said_as_json(capsys, "show", "ioi")
    assert (shown["lexicons"], shown["control_lexicons"], shown["readouts"]) == ({}, {}, [])
    (task,) = shown["tasks"]
    assert (task["name"], task["places"]) == ("ioi", {"io": 112, "s1": 112, "s2": 112})
    clean, corrupted = shown["classes"]
    assert (clean["n_prompts"], clean["n_spans"], clean["n_pairs"], clean["n_templates"]) == (112, 112, 112, 28)
    assert clean["n_answers"] == clean["n_foils"] == corrupted["n_answers"] == 32
    assert clean["n_words"] == 0


def test_a_concept_is_shown_with_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", "baseline")
    assert "implicit" in text
    assert "gratitude: grateful, thankful" in text
    assert said_as_json(capsys, "show", "baseline")["tasks"] == []


def test_an_example_is_one_line_and_of_a_long_prompt_the_end(tmp_path: Path) -> None:
    rows = [
        {"text": "word " * 100 + 'and\nthen "it" is', "answers": [" done", " over"], "corrupted": "It is not"},
        {"text": "Short is", "answers": [" long"], "corrupted": "Long is"},
    ]
    (tmp_path / "ends.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    profile = load_profile(tmp_path / "ends.jsonl")
    shown = example(profile, "ends")
    assert shown.startswith('"… ')
    assert shown.endswith('and\\nthen \\"it\\" is" -> " done" (one of 2)')
    assert len(shown) < SHOWN_CHARACTERS + 60
    assert summarize_tasks(profile)[0].example == shown


def test_a_task_without_places_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_text('{"text": "Paris lies in", "answers": [" France"], "foils": [" Spain"]}\n')
    assert "places: none" in said(capsys, "show", str(file)).splitlines()
