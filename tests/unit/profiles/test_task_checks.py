"""What contradicts itself in a task: an answer with which another begins; and what does not: material that differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headscope.errors import ProfileError
from headscope.profiles.catalog import findings
from headscope.profiles.loading import load_profile
from headscope.profiles.task_checks import is_beginning


def profile(folder: Path, *rows: dict[str, Any]) -> Path:
    (folder / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / "asked.jsonl"


@pytest.mark.parametrize(
    ("one", "other", "begins"),
    [(" run", " run away", True), (" New", " New York", True), (" a", " a.", True), (" (", " (A", True),
     (" ", " a", True), (" run", " runs", False), ("3", "37", False), ("日本", "日本語", False),
     (" run", " ran", False), (" a", "a", False)],
)  # fmt: skip
def test_a_continuation_begins_another_up_to_the_end_of_a_word(
    one: str, other: str, begins: bool, tmp_path: Path
) -> None:
    assert is_beginning(one, other) is is_beginning(other, one) is begins
    row = {"text": "They said", "answers": [one], "foils": [other], "corrupted": "They did"}
    if begins:
        with pytest.raises(ProfileError, match=r"with which|empty answer"):
            load_profile(profile(tmp_path, row))
    else:
        assert load_profile(profile(tmp_path, row)).prompts_of("asked")[0].foils == (other,)


def test_prompts_of_a_task_that_mark_the_same_words_are_no_near_duplicates(tmp_path: Path) -> None:
    texts = ("Mary and John went to the store, and John thanked", "Mary and John sat in the school, and John thanked")
    rows = [{"text": text, "answers": [" Mary"], "spans": {"io": [0, 4]}, "template": "t"} for text in texts]
    found = findings(profile(tmp_path, *rows))
    assert not [finding for finding in found if finding.is_error(strict=True)]
