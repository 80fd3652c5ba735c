"""The command line as a user types it, in this process so that torch is imported once, and a small request."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from headscope.cli import main
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Prompt

SMALL = ("--top-k", "2", "--n-random", "3", "--max-tokens", "4")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def ended(program: Callable[[], object], *words: str) -> Outcome:
    """How a program ends that finds these words as its command line."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", list(words)),
        pytest.raises(SystemExit) as left,
    ):
        program()
    assert isinstance(left.value.code, int)
    return Outcome(left.value.code, out.getvalue(), err.getvalue())


def type_command(*arguments: str | Path) -> Outcome:
    """Run ``headscope`` with these arguments."""
    words = list(map(str, arguments))
    return ended(lambda: main(words), "headscope", *words)


@pytest.fixture
def headscope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Types a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return type_command


def write_profile(folder: Path, prompts: Iterable[Prompt], concepts: Iterable[str], n_templates: int) -> Path:
    """Prompts of the bundled profile as a folder of its own, the first ``n_templates`` templates of each class."""
    bundled = load_profile("baseline")
    kept = sorted({prompt.template or "" for prompt in bundled.controls})[:n_templates]
    folder.mkdir()
    rows = [
        {
            "id": prompt.id,
            "text": prompt.text,
            "concept": prompt.concept,
            "span": prompt.span,
            "template": prompt.template,
            **({"pair": prompt.pair} if prompt.pair else {}),
        }
        for prompt in prompts
        if prompt.template in kept and prompt.concept in {*concepts, bundled.control}
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lexicons = {
        name: {
            "lexicon": dict(bundled.concepts[name].lexicon.by_part_of_speech),
            "control_lexicon": dict(bundled.concepts[name].control_lexicon.by_part_of_speech),
        }
        for name in concepts
    }
    content = {"name": folder.name, "prompts": "prompts.jsonl", "readouts": bundled.readouts[:2], "concepts": lexicons}
    (folder / "profile.yaml").write_text(json.dumps(content))  # JSON is YAML
    return folder


@pytest.fixture(scope="session")
def small_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two concepts of the bundled profile, seven templates: enough for p-values, quick to measure."""
    bundled = load_profile("baseline")
    folder = tmp_path_factory.mktemp("profiles") / "small"
    return write_profile(folder, bundled.prompts, ("gratitude", "anger"), 7)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, small_profile: Path) -> tuple[Path, Outcome]:
    """A whole run on the bundled model, and how its command ended. Only to be read."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    return folder, type_command("run", "--model", "demo", "--profile", small_profile, "--out", folder, *SMALL)
