"""Rows with answers become tasks: partners, places, whose answers a partner is read with, and what is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from headscope.errors import ProfileError
from headscope.profiles.loading import load_profile
from headscope.profiles.replacing import profile_from_files
from headscope.profiles.tasks import changed_places
from headscope.profiles.types import Profile

FIRST = "When Mary and John went out, John gave a ring to"
SECOND = "When Mary and John went out, Anna gave a ring to"
ROW: dict[str, Any] = {
    "text": FIRST, "template": "a", "answers": [" Mary"], "foils": [" John"], "corrupted": SECOND,
}  # fmt: skip
OTHER = {**ROW, "text": "Then " + FIRST, "template": "b", "corrupted": "Then " + SECOND}


def loaded(folder: Path, *rows: dict[str, Any], name: str = "mine.jsonl") -> Profile:
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return load_profile(path)


def test_a_partner_is_a_control_prompt_read_with_the_clean_prompts_answers(tmp_path: Path) -> None:
    profile = loaded(tmp_path, ROW, OTHER)
    clean, partner = profile.prompts_of("mine")[0], profile.controls[0]
    assert (profile.has_tasks, profile.control, profile.readouts) == (True, "corrupted", ())
    assert clean.pair == partner.id
    assert (partner.text, partner.template) == (SECOND, "a")
    assert (partner.answers, partner.foils) == (clean.answers, clean.foils) == ((" Mary",), (" John",))


def test_places_left_out_are_the_words_that_differ(tmp_path: Path) -> None:
    profile = loaded(tmp_path, ROW, OTHER)
    for prompt, word in ((profile.prompts_of("mine")[0], "John"), (profile.controls[0], "Anna")):
        ((name, (start, end)),) = prompt.spans.items()
        assert (name, prompt.text[start:end]) == ("changed", word)
        assert start > len("When Mary and John")


def test_a_csv_file_says_what_json_lines_say(tmp_path: Path) -> None:
    lines = ["text,template,answer,foils,corrupted"]
    for row in (ROW, OTHER):
        cells = [row["text"], row["template"], row["answers"][0], json.dumps(row["foils"]), row["corrupted"]]
        lines.append(",".join('"' + cell.replace('"', '""') + '"' for cell in cells))
    (tmp_path / "mine.csv").write_text("\n".join(lines), encoding="utf-8")
    assert load_profile(tmp_path / "mine.csv").prompts == loaded(tmp_path, ROW, OTHER).prompts


def test_rows_of_a_partner_of_their_own_say_the_same(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for number, row in enumerate((ROW, OTHER)):
        alone = {key: value for key, value in row.items() if key != "corrupted"}
        partner = f"c{number}"
        rows += [
            alone | {"concept": "mine", "id": f"p{number}", "pair": partner},
            {"text": row["corrupted"], "concept": "corrupted", "id": partner, "template": row["template"]},
        ]
    apart, together = loaded(tmp_path, *rows), loaded(tmp_path, ROW, OTHER, name="mine2.jsonl")
    for one, two in zip(apart.prompts, together.prompts, strict=True):
        assert (one.text, one.spans, one.answers, one.foils) == (two.text, two.spans, two.answers, two.foils)


def test_prompts_of_one_task_can_be_replaced(tmp_path: Path) -> None:
    profile = loaded(tmp_path, ROW, OTHER)
    (tmp_path / "new.jsonl").write_text(json.dumps(ROW | {"text": "So " + FIRST, "corrupted": "So " + SECOND}))
    replaced = profile_from_files({"mine": tmp_path / "new.jsonl"}, profile)
    assert [prompt.text for prompt in replaced.prompts_of("mine")] == ["So " + FIRST]
    assert replaced.prompts_of("mine")[0].answers == (" Mary",)


def test_corrupted_prompts_of_one_template_are_joined_by_neutral_ones(tmp_path: Path) -> None:
    """Edits take their values from other templates; a file of one would have none."""
    profile = loaded(tmp_path, ROW)
    borrowed = [prompt for prompt in profile.controls if prompt.id.startswith("bundled-")]
    assert borrowed
    assert not any(prompt.answers for prompt in borrowed)
    assert any("one template" in warning for warning in profile.warnings)


BAD = {
    "no answers": ({"answers": None}, "1 of 2 prompts have no answers"),
    "no answer in the list": ({"answers": []}, "answers has the wrong shape"),
    "an empty answer": ({"answers": [" "]}, "has an empty answer"),
    "answer and foil alike": ({"foils": [" Mary"]}, "as answer and as foil"),
    "an answer twice": ({"answers": [" Mary", " Mary"]}, "twice"),
    "an answer that begins a foil": ({"foils": [" Mary Ann"]}, "begins"),
    "a pair beside the partner": ({"pair": "x"}, "names another"),
    "the partner alike": ({"corrupted": FIRST}, "the same text"),
    "a place outside": ({"spans": {"io": [5, 999]}}, "outside its text"),
    "a number as answer": ({"answers": [1.5]}, "answers[0] has the wrong shape"),
}


@pytest.mark.parametrize(("change", "said"), BAD.values(), ids=list(BAD))
def test_bad_rows_are_refused_by_name(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ProfileError) as refused:
        loaded(tmp_path, OTHER, ROW | change)
    assert said in str(refused.value)


def test_a_partner_of_another_template_is_refused(tmp_path: Path) -> None:
    clean = {key: value for key, value in ROW.items() if key != "corrupted"} | {"concept": "mine", "pair": "c"}
    partner = {"text": SECOND, "concept": "corrupted", "id": "c", "template": "z"}
    with pytest.raises(ProfileError, match="another template"):
        loaded(tmp_path, OTHER | {"concept": "mine"}, clean, partner)


def test_a_partner_of_two_prompts_is_refused(tmp_path: Path) -> None:
    clean = {key: value for key, value in ROW.items() if key != "corrupted"} | {"concept": "mine", "pair": "c"}
    partner = {"text": SECOND, "concept": "corrupted", "id": "c", "template": "a"}
    with pytest.raises(ProfileError, match="two prompts name the corrupted partner"):
        loaded(tmp_path, clean, clean | {"text": "So " + FIRST}, partner)


WORDS = some.lists(some.sampled_from(["ring", "went", "Mary,", "to", "“out”"]), min_size=1, max_size=8)


@given(WORDS, WORDS)
def test_changed_places_hold_what_differs(one: list[str], two: list[str]) -> None:
    text, other = " ".join(one), " ".join(two)
    places = sorted(changed_places(text, other).values())
    assert bool(places) or len(one) <= len(two)  # only words that the other lacks leave nothing to mark
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert all(before[1] <= after[0] for before, after in pairwise(places))
    if len(one) == len(two):
        marked = {i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b}
        starts = [sum(len(word) + 1 for word in one[:i]) for i in range(len(one))]
        found = {
            i
            for i, start in enumerate(starts)
            if any(start < last and first < start + len(one[i]) for first, last in places)
        }
        assert found == marked
