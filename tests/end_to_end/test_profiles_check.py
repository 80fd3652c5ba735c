"""``headscope profiles check``: a table or JSON, and exit code 1 where a light is red."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.end_to_end.conftest import Outcome

Headscope = Callable[..., Outcome]
CHECK = ("profiles", "check")


def test_a_profile_without_red_ends_with_0_and_says_its_lights(headscope: Headscope, small_profile: Path) -> None:
    done = headscope(*CHECK, small_profile, "--model", "demo", "--concept", "gratitude")
    assert done.code == 0, done.out + done.err
    assert "the model shows it" in done.out
    assert "small with demo: 0 red, " in done.out.splitlines()[-1]
    facts = headscope(*CHECK, small_profile, "--model", "demo", "--concept", "gratitude", "--json")
    assert facts.code == 0
    assert facts.err == ""
    rows = facts.json["rows"]
    assert all(row.keys() == {"name", "concept", "light", "says", "fix"} for row in rows)
    assert facts.json["lights"] == {
        light: sum(row["light"] == light for row in rows) for light in ("red", "yellow", "green")
    }
    assert {row["concept"] for row in rows} == {"", "gratitude"}


def test_a_red_light_ends_with_1(headscope: Headscope, tmp_path: Path) -> None:
    rows = [
        {"text": f"{one} and {two} went out, and {two} gave a drink to", "answers": [f" {one}"], "foils": [f" {two}"],
         "corrupted": f"{one} and {two} went out, and {one} gave a drink to", "template": "only"}
        for one, two in (("Mary", "John"), ("Anna", "Tom"))
    ]  # fmt: skip
    (tmp_path / "ioi.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = headscope(*CHECK, "ioi.jsonl", "--model", "demo", "--json")
    assert done.code == 1
    [templates] = [row for row in done.json["rows"] if row["name"] == "templates"]
    assert templates["light"] == "red"
    assert "descriptive only" in templates["says"]
    assert "at least 6 templates" in templates["fix"]


def test_a_concept_that_is_not_there_is_refused_before_the_model_is_looked_for(headscope: Headscope) -> None:
    done = headscope(*CHECK, "baseline", "--model", "nowhere", "--concept", "joy")
    assert done.code == 2
    assert 'concept "joy" does not exist' in done.err
