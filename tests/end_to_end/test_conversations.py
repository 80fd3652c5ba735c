"""Prompts that are conversations, from a file to a run: the template is taken, places follow, thinking is recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headscope.models.checkpoints import find_checkpoint
from headscope.runs.folder import Run
from tests.end_to_end.conftest import Outcome
from tests.end_to_end.test_model_options import change

Headscope = Callable[..., Outcome]
TEMPLATE = (
    "{% for m in messages %}### {{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}### assistant:{% if enable_thinking is defined and enable_thinking %} Let me think."
    "{% endif %}{% endif %}"
)
SYSTEM = "You say how you feel."


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled checkpoint with a chat template that knows thinking."""
    folder = tmp_path_factory.mktemp("models") / "chat"
    shutil.copytree(find_checkpoint("demo").path, folder)
    change(folder / "tokenizer_config.json", chat_template=TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory, small_profile: Path) -> Path:
    """The small profile with a system message before the prompts of anger and before half of the control's."""
    folder = tmp_path_factory.mktemp("profiles") / "talking"
    shutil.copytree(small_profile, folder)
    file = folder / "prompts.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for number, row in enumerate(rows):
        if row["concept"] == "anger" or (row["concept"] == "neutral" and number % 2):
            start, end = row["span"]
            row["messages"] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": row.pop("text")}]
            row["span"] = {"message": 1, "start": start, "end": end}
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def first(profile: Path, concept: str) -> dict[str, Any]:
    lines = (profile / "prompts.jsonl").read_text().splitlines()
    return next(row for row in map(json.loads, lines) if row["concept"] == concept and "messages" in row)


@pytest.mark.parametrize(
    "command", [("screen",), ("ablate", "--heads", "1:2", "--max-tokens", "3"), ("attribute", "--verify", "0")],
    ids=lambda command: command[0],
)  # fmt: skip
def test_a_profile_of_conversations_takes_the_template_unasked(
    command: tuple[str, ...], chat: Path, talking: Path, headscope: Headscope
) -> None:
    how = ("--model", chat, "--profile", talking, "--concept", "anger", "--bos", "never")
    ended = headscope(*command, *how, "--out", "run", "--json")
    assert ended.code == 0, ended.err
    run = Run.open("run")
    record: Any = run.manifest.record[command[0]]
    assert record["chat_template"] is True
    assert run.manifest.request.options["chat_template"] is True
    text: Any = run.manifest.request.text
    assert "chat_template" in text
    assert "thinking" not in text
    said: Any = run.manifest.profile["first_prompts"]
    content = first(talking, "anger")["messages"][1]["content"]
    assert said["anger"] == f"### system: {SYSTEM}\n### user: {content}\n### assistant:"
    assert any("plain texts beside conversations" in warning for warning in ended.json["warnings"])
    if command[0] == "screen":
        coverage = run.table("coverage")
        assert (coverage["n_spans"] == coverage["n_prompts"]).all()
        assert (coverage["n_paired_equal"] > 0).all()


def test_thinking_is_part_of_the_request_where_it_is_asked(chat: Path, talking: Path, headscope: Headscope) -> None:
    how = ("screen", "--model", chat, "--profile", talking, "--concept", "anger", "--quiet")
    prompts: dict[str, str] = {}
    for thinking in ("", "on", "off"):
        ended = headscope(*how, *(("--thinking", thinking) if thinking else ()), "--out", thinking or "as-it-is")
        assert ended.code == 0, ended.err
        run = Run.open(thinking or "as-it-is")
        text: Any = run.manifest.request.text
        assert text.get("thinking", "") == thinking
        told: Any = run.manifest.profile["first_prompts"]
        prompts[thinking] = told["anger"]
    assert prompts["on"] == prompts[""] + " Let me think."
    assert prompts["off"] == prompts[""]
    again = headscope(*how, "--thinking", "off", "--out", "on")
    assert again.code == 2
    assert "thinking: on there, off here" in again.err


def test_what_conversations_cannot_be_asked_is_said(
    chat: Path, talking: Path, small_profile: Path, headscope: Headscope
) -> None:
    for words, told in {
        ("--model", "demo", "--profile", talking): ("no chat template", "prompts without messages"),
        ("--model", chat, "--profile", talking, "--protocol", "phase6"): ("no use for --chat-template",),
        ("--model", chat, "--profile", talking, "--thinking", "perhaps"): ('thinking "perhaps" does not exist',),
        ("--model", chat, "--profile", small_profile, "--thinking", "on"): ("add --chat-template",),
        ("--model", "demo", "--profile", small_profile, "--thinking", "on"): ("add --chat-template",),
    }.items():
        ended = headscope("screen", *words, "--out", "run")
        assert ended.code == 2, ended.out
        assert all(word in ended.err for word in told), ended.err
        assert not Path("run").exists()


def test_a_template_that_knows_nothing_of_thinking_or_of_systems_is_named(
    chat: Path, talking: Path, headscope: Headscope, tmp_path: Path
) -> None:
    shutil.copytree(chat, tmp_path / "m")
    how = ("screen", "--model", tmp_path / "m", "--profile", talking, "--concept", "anger")
    change(tmp_path / "m" / "tokenizer_config.json", chat_template="{{ messages[-1].content }}>")
    ended = headscope(*how)
    assert ended.code == 2
    assert "no place for a system message" in ended.err
    assert "does not know thinking" in headscope(*how, "--thinking", "on").err


def test_check_tells_what_holds_of_a_chat_template(chat: Path, headscope: Headscope) -> None:
    ended = headscope("check", chat)
    assert ended.code == 0, ended.err
    rows = [line for line in ended.out.splitlines() if line.startswith("chat: ")]
    assert len(rows) == 5
    assert all("passed" in row for row in rows)
