"""Whatever turns text into tokens, and ends it, makes another request; the record shows what the model saw."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headscope.models.checkpoints import find_checkpoint
from headscope.profiles.loading import load_profile
from headscope.runs.folder import Run
from tests.end_to_end.conftest import Outcome
from tests.end_to_end.test_model_options import TEMPLATE, change

Headscope = Callable[..., Outcome]
SCREEN = ("screen", "--concept", "anger")
CHAT = (*SCREEN, "--chat-template")
WRITE = ("ablate", "--heads", "1:2", "--concept", "anger", "--max-tokens", "2")
TALK = (*WRITE, "--chat-template")


def other_template(folder: Path) -> None:
    change(folder / "tokenizer_config.json", chat_template=TEMPLATE.replace("Question", "Request"))


def other_tokenizer(folder: Path) -> None:
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    first, second = (name for name, index in vocabulary.items() if index in (300, 301))
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(content))


def other_eos(folder: Path) -> None:
    change(folder / "generation_config.json", eos_token_id=[0, 5])


def find_the(text: str) -> int:
    return len(re.findall(r"\bthe\b", text))


def nothing(_: Path) -> None:
    pass


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    folder = tmp_path / "chat"
    shutil.copytree(find_checkpoint("demo").path, folder)
    change(folder / "tokenizer_config.json", chat_template={"default": TEMPLATE, "plain": "{{ messages[0].content }}"})
    return folder


@pytest.mark.parametrize(
    ("command", "edit", "more", "named"),
    [
        (SCREEN, nothing, ("--bos", "never"), "BOS"),
        (SCREEN, other_tokenizer, (), "tokenizer"),
        (CHAT, other_template, (), "chat template"),
        (CHAT, nothing, ("--chat-template-name", "plain"), "chat template"),
        (WRITE, other_eos, (), "stop tokens"),
        (SCREEN, other_eos, (), None),
        (SCREEN, other_template, (), None),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_same_command_is_another_request_where_text_becomes_other_tokens_or_ends_elsewhere(
    command: tuple[str, ...],
    edit: Callable[[Path], None],
    more: tuple[str, ...],
    named: str | None,
    chat: Path,
    small_profile: Path,
    headscope: Headscope,
) -> None:
    asked = (*command, "--model", chat, "--profile", small_profile, "--out", "run", "--quiet")
    first = headscope(*asked)
    assert first.code == 0, first.err
    before = (Path("run") / "manifest.json").read_bytes()
    edit(chat)
    again = headscope(*asked, *more)
    if named is None:
        assert again.code == 0
        assert "finished already" in again.err
    else:
        assert again.code == 2, again.out
        assert "a run of another request" in again.err
        assert f"{named}: " in again.err
    assert (Path("run") / "manifest.json").read_bytes() == before


def test_the_record_shows_the_first_prompt_of_each_class_as_the_model_got_it(
    chat: Path, small_profile: Path, headscope: Headscope
) -> None:
    first = load_profile(small_profile).prompts_of("anger")[0].text
    for out, more, seen in (
        ("a", (), f"<|endoftext|>{first}"),
        ("b", ("--chat-template", "--bos", "never"), f"### Question: {first}\n### Answer: I am so"),
        ("c", ("--chat-template-name", "plain"), f"<|endoftext|>{first}"),
    ):
        ended = headscope(*SCREEN, "--model", chat, "--profile", small_profile, "--out", out, *more, "--quiet")
        assert ended.code == 0, ended.err
        told: Any = Run.open(out).manifest.profile["first_prompts"]
        assert list(told) == ["anger", "neutral"]
        assert told["anger"] == seen


def test_the_tokens_that_end_a_text_stand_in_the_record(chat: Path, small_profile: Path, headscope: Headscope) -> None:
    asked = (*TALK, "--model", chat, "--profile", small_profile, "--out", "run", "--stop-token", ".", "--json")
    ended = headscope(*asked)
    assert ended.code == 0, ended.err
    run = Run.open("run")
    record: Any = run.manifest.record["ablate"]
    assert [text.split(" (")[0] for text in record["stop_tokens"]] == ["<|endoftext|>", "."]
    assert record["stop_tokens"] == run.manifest.request.text["stop_tokens"]
    assert any("names no token that ends an answer" in warning for warning in ended.json["warnings"])
    assert not run.table("texts")["baseline_text"].str.contains(".", regex=False).any()


def test_special_tokens_typed_in_prompts_are_told_once_a_class(headscope: Headscope) -> None:
    rows = [
        {"text": f"I am angry about day {i}.<|endoftext|> Then came {i} more.", "template": f"t{i}"} for i in range(7)
    ]
    Path("anger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("--model", "demo", "--concept", "anger", "--prompts", "anger=anger.jsonl", "--json")
    for verb in (("screen", "--allow-low-coverage"), ("screen", "--protocol", "phase6"), ("sweep", "--heads", "1:2")):
        ended = headscope(*verb, *command)
        assert ended.code == 0, ended.err
        told = [warning for warning in ended.json["warnings"] if "special tokens" in warning]
        assert len(told) == 1, told
        assert told[0].startswith("7 prompts of anger hold special tokens")
        assert "anger-001 (<|endoftext|>)" in told[0]
        assert told[0].endswith("and 2 more")


def test_an_outcome_of_ones_own_file_is_measured_and_a_changed_word_in_it_is_another_request(
    small_profile: Path, headscope: Headscope
) -> None:
    code = "WORDS = ('the', 'a')\n\n\ndef n_articles(texts, prompts):\n    return [count(text) for text in texts]\n\n\n"
    code += "def count(text):\n    return sum(word in WORDS for word in text.split())\n"
    Path("words_of_mine.py").write_text(code)
    asked = (*WRITE, "--model", "demo", "--profile", small_profile, "--out", "run", "--json", "--samples", "2")
    own = ("--outcome", "words_of_mine.py:n_articles", "--outcome", "the=regex:\\bthe\\b")
    ended = headscope(*asked, *own)
    assert ended.code == 0, ended.err
    run, template = Run.open("run"), {one.id: one.template for one in load_profile(str(small_profile)).prompts}
    texts, effects = run.table("texts"), run.table("effects")
    counts = {"n_articles": lambda text: sum(word in ("the", "a") for word in text.split()), "the": find_the}
    for name, count in counts.items():
        [row] = effects[(effects["outcome"] == name) & (effects["edit"] == "mean")].to_dict("records")
        values = texts.loc[texts["edit"] == "mean", "baseline_text"].map(count)
        of_templates = values.groupby(texts["prompt_id"].map(template)).mean()  # each prompt has as many samples
        assert row["baseline_mean"] == pytest.approx(of_templates.mean())
    asked_of: Any = run.manifest.request.options["outcomes"]
    assert [one["name"] for one in asked_of] == ["n_articles", "the"]
    assert asked_of[1]["source"] == {"pattern": "\\bthe\\b"}
    assert run.manifest.request_sources["own_outcome"] == "command line"
    again = headscope(*asked, *own)
    assert again.code == 0
    Path("words_of_mine.py").write_text(code.replace("'a'", "'an'"))
    other = headscope(*asked, *own)
    assert other.code == 2
    assert "another request" in other.err
