"""A prompt of the page becomes a line of a profile folder, which reads as any profile; bad input changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headscope.errors import HeadscopeError, ProfileError, RequestError
from headscope.explore.keeping import keep
from headscope.profiles.loading import load_profile
from headscope.profiles.scaffold import new_profile
from headscope.profiles.types import Message, Prompt

BASELINE = load_profile("baseline")


def prompt(text: str = "I am so glad that you came, thank you.", **more: object) -> Prompt:
    return replace(Prompt("typed", text, "gratitude"), **more)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()} if folder.exists() else {}


def test_a_new_folder_is_a_profile_with_the_words_and_controls_of_the_one_that_was_asked(tmp_path: Path) -> None:
    kept = keep(tmp_path / "mine", BASELINE, "gratitude", prompt())
    made = load_profile(tmp_path / "mine")
    assert kept.path == tmp_path / "mine" / "prompts.jsonl"
    assert "Kept as gratitude-001" in kept.sentence
    assert "holds 1 prompt of gratitude" in kept.sentence
    assert [one.text for one in made.prompts_of("gratitude")] == [prompt().text]
    assert made.concepts["gratitude"] == BASELINE.concepts["gratitude"]
    assert made.readouts == BASELINE.readouts
    assert [(one.text, one.template, one.span) for one in made.controls] == [
        (one.text, one.template, one.span) for one in BASELINE.controls
    ]


def test_further_prompts_and_concepts_are_added_and_what_is_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    keep(folder, BASELINE, "gratitude", prompt())
    first = contents(folder)
    keep(folder, BASELINE, "gratitude", prompt("Thanks for the soup."))
    kept = keep(folder, BASELINE, "anger", prompt("I am furious about the soup."))
    after = contents(folder)
    assert "Kept as anger-001" in kept.sentence
    assert all(after[name].startswith(first[name].rstrip()) for name in first)
    made = load_profile(folder)
    assert list(made.concepts) == ["gratitude", "anger"]
    assert [one.id for one in made.prompts_of("gratitude")] == ["gratitude-001", "gratitude-002"]
    assert made.concepts["anger"] == BASELINE.concepts["anger"]


def test_a_conversation_is_kept_as_its_messages(tmp_path: Path) -> None:
    said = "Be kind.\n\nThank you!"
    keep(
        tmp_path / "mine",
        BASELINE,
        "gratitude",
        prompt(said, messages=(Message("system", 0, 8), Message("user", 10, 20))),
    )
    (made,) = load_profile(tmp_path / "mine").prompts_of("gratitude")
    assert made.turns == (("system", "Be kind."), ("user", "Thank you!"))


@pytest.mark.parametrize(
    "text", ['<script>alert("x")</script>', "\u202eשלום", "👩‍👩‍👧 thanks", "a\nb\tc", "x" * 10_000, '"}']
)
def test_a_hostile_text_is_kept_as_it_is(text: str, tmp_path: Path) -> None:
    keep(tmp_path / "mine", BASELINE, "gratitude", prompt(text))
    assert [one.text for one in load_profile(tmp_path / "mine").prompts_of("gratitude")] == [text]


def test_the_same_prompt_twice_is_refused_whatever_concept_it_is_kept_for(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    keep(folder, BASELINE, "gratitude", prompt())
    before = contents(folder)
    for concept in ("gratitude", "anger"):
        with pytest.raises(RequestError, match="is there already, as gratitude-001"):
            keep(folder, BASELINE, concept, prompt())
    assert contents(folder) == before


def test_a_control_prompt_cannot_be_kept_as_a_concepts(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is there already, as neutral-001"):
        keep(tmp_path / "mine", BASELINE, "gratitude", prompt(BASELINE.controls[0].text))
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("concept", "text", "error"), [("joy", "I am glad.", RequestError), ("gratitude", "  ", ProfileError)]
)
def test_what_cannot_be_kept_leaves_no_folder(
    concept: str, text: str, error: type[HeadscopeError], tmp_path: Path
) -> None:
    with pytest.raises(error):
        keep(tmp_path / "mine", BASELINE, concept, prompt(text))
    assert not (tmp_path / "mine").exists()


def test_a_task_has_answers_that_the_page_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="needs its answers"):
        keep(tmp_path / "mine", load_profile("ioi"), "ioi", prompt())


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ProfileError, match="holds other files"):
        keep(tmp_path, BASELINE, "gratitude", prompt())
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


def test_a_folder_of_profiles_new_takes_prompts_of_its_concept_and_of_others(tmp_path: Path) -> None:
    folder = new_profile(tmp_path / "gratitude", words=("grateful", "thankful", "gratitude"))
    keep(folder, BASELINE, "gratitude", prompt())
    keep(folder, BASELINE, "anger", prompt("I am furious about the soup."))
    made = load_profile(folder)
    assert [one.id for one in made.prompts_of("gratitude")][-1] == "gratitude-006"
    assert made.concepts["gratitude"].lexicon.words == ("grateful", "thankful", "gratitude")
    assert made.concepts["anger"].lexicon == BASELINE.concepts["anger"].lexicon


def test_a_profile_whose_keys_stand_otherwise_is_refused_a_new_concept_and_stays(tmp_path: Path) -> None:
    content = {"name": "mine", "concepts": {"joy": {"lexicon": ["glad", "joy", "happy"]}}, "prompts": "prompts.jsonl"}
    (tmp_path / "profile.yaml").write_text(json.dumps(content))  # JSON is YAML, and takes no block at its end
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"text": "I am glad.", "concept": "joy"}))
    before = contents(tmp_path)
    with pytest.raises(ProfileError, match="cannot be kept"):
        keep(tmp_path, BASELINE, "gratitude", prompt())
    assert contents(tmp_path) == before


@pytest.mark.parametrize("prompts", ["prompts.csv", {"joy": "joy.txt"}])
def test_prompts_in_another_form_are_left_alone(prompts: object, tmp_path: Path) -> None:
    content = {"name": "mine", "concepts": {"joy": {"lexicon": ["glad", "joy", "happy"]}}, "prompts": prompts}
    (tmp_path / "profile.yaml").write_text(json.dumps(content))
    with pytest.raises(ProfileError, match="in another form"):
        keep(tmp_path, BASELINE, "gratitude", prompt())


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.jsonl"
    outside.write_text('{"text": "I am glad.", "concept": "joy"}\n')
    folder = tmp_path / "mine"
    folder.mkdir()
    content = {"name": "mine", "concepts": {"joy": {"lexicon": ["glad", "joy", "happy"]}}, "prompts": "prompts.jsonl"}
    (folder / "profile.yaml").write_text(json.dumps(content))
    (folder / "prompts.jsonl").symlink_to(outside)
    with pytest.raises(ProfileError, match="outside the profile's folder"):
        keep(folder, BASELINE, "gratitude", prompt())
    assert outside.read_text() == '{"text": "I am glad.", "concept": "joy"}\n'


def test_a_broken_profile_is_told_and_stays(tmp_path: Path) -> None:
    keep(tmp_path / "mine", BASELINE, "gratitude", prompt())
    with (tmp_path / "mine" / "prompts.jsonl").open("a") as file:
        file.write("{broken\n")
    before = contents(tmp_path / "mine")
    with pytest.raises(ProfileError):
        keep(tmp_path / "mine", BASELINE, "gratitude", prompt("Thanks for the soup."))
    assert contents(tmp_path / "mine") == before
