"""Laws that every bundled task obeys, read from its file."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from headscope.profiles.loading import load_profile
from tests.unit.profiles.bundled_tasks import BUILTIN, NAMES, Row, at, rows_of
from training.tasks.__main__ import FOLDER, TASKS, files

EACH_TASK = pytest.mark.parametrize("name", NAMES)


def test_the_tasks_are_those_that_are_written(project_root: Path) -> None:
    assert tuple(TASKS) == NAMES
    assert project_root / FOLDER == BUILTIN


@EACH_TASK
def test_writing_a_task_again_gives_the_same_bytes(name: str) -> None:
    for file, content in files(name).items():
        assert (BUILTIN / name / file).read_bytes() == content.encode("utf-8")
    assert files(name, seed=2)["profile.yaml"] == files(name)["profile.yaml"]


@EACH_TASK
def test_a_task_loads_without_a_warning_and_says_what_it_asks(name: str) -> None:
    profile = load_profile(name)
    assert profile.warnings == ()
    assert (profile.control, tuple(profile.concepts), profile.has_tasks) == ("corrupted", (name,), True)
    assert len(profile.controls) == len(profile.prompts_of(name)) == len(rows_of(name))
    assert profile.description.endswith(f" {len(by_template(name))} frames, {len(rows_of(name))} matched pairs.")
    assert "In the corrupted partner" in profile.concepts[name].description


@EACH_TASK
def test_at_least_24_templates_of_four_prompts_each(name: str) -> None:
    assert len(by_template(name)) >= 24
    assert {len(rows) for rows in by_template(name).values()} == {4}
    assert [row["id"] for row in rows_of(name)] == [f"{name}-{n:03d}" for n in range(1, len(rows_of(name)) + 1)]


@EACH_TASK
def test_prompts_of_a_template_differ_where_the_places_are(name: str) -> None:
    for template, rows in by_template(name).items():
        assert len({tuple(at(row, place) for place in row["spans"]) for row in rows}) == 4, template
        assert len({row["text"] for row in rows}) == 4, template


@EACH_TASK
def test_the_partner_has_as_many_words_and_its_places_are_the_same_words(name: str) -> None:
    for row in rows_of(name):
        clean, corrupted = row["text"], row["corrupted"]["text"]
        assert len(clean.split()) == len(corrupted.split()), row["id"]
        assert list(row["spans"]) == list(row["corrupted"]["spans"]), row["id"]
        for place, (start, end) in row["spans"].items():
            there = row["corrupted"]["spans"][place]
            assert len(clean[:start].split()) == len(corrupted[: there[0]].split()), row["id"]
            assert not clean[end : end + 1].isalnum(), row["id"]
            assert name == "greater_than" or clean[start - 1] == " ", row["id"]


@EACH_TASK
def test_clean_and_corrupted_are_the_same_outside_the_places(name: str) -> None:
    for row in rows_of(name):
        differ = sum(a != b for a, b in zip(row["text"].split(), row["corrupted"]["text"].split(), strict=True))
        changed = sum(at(row, place) != at(row["corrupted"], place) for place in row["spans"])
        assert changed >= 1, row["id"]
        assert differ == changed + (name == "copy"), row["id"]  # there the word that is due moves to another place


@EACH_TASK
def test_no_continuation_is_right_more_often_than_it_is_wrong(name: str) -> None:
    right = Counter(answer for row in rows_of(name) for answer in row["answers"])
    wrong = Counter(foil for row in rows_of(name) for foil in row["foils"])
    if name == "greater_than":  # some first years are below 36, some above 71: right after those, wrong after these
        assert all(right[f"{year:02d}"] and wrong[f"{year:02d}"] for year in range(36, 72))
    elif name in ("copy", "successor"):  # one of a whole list is right
        assert max(right.values()) <= len(rows_of(name)) / 10
        assert all(right[one] < wrong[one] for one in right)
    else:
        assert right == wrong


@EACH_TASK
def test_the_page_on_profiles_tells_its_size_and_an_example(name: str, project_root: Path) -> None:
    page = (project_root / "docs" / "profiles.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    assert f"| {len(by_template(name))} | {len(rows_of(name))} |" in line
    text, answer = line.split('"')[1:4:2]
    assert any(row["text"].endswith(text.removeprefix("… ")) and answer in row["answers"] for row in rows_of(name))


def by_template(name: str) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows_of(name):
        grouped[row["template"]].append(row)
    return dict(grouped)
