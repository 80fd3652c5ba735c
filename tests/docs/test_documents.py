"""Every example in the documents works.

Each document is run from top to bottom in an empty folder: Python blocks in one namespace, bash blocks through bash.
A block that cannot run here stands under ``<!-- skip: next "the reason" -->``, which a reader does not see.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import SkipTest

import pytest
from sybil import Document, Example
from sybil.example import SybilFailure
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from tests import preloaded

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _run_bash(example: Example) -> str | None:
    """Run a bash block as a reader would, with this checkout's ``headscope`` and ``python`` first on the path."""
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", example.parsed],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    return None if done.returncode == 0 else f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a server of processes that have torch imported; in a folder of a short name, as sockets want it."""
    with tempfile.TemporaryDirectory() as folder, preloaded.server(Path(folder)) as where:
        yield where


def _put_checkout_on_path(folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for program in ("headscope", "python"):
        script = bin_folder / program
        script.write_text(preloaded.CLIENT.format(python=sys.executable, address=address, program=program))
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_of_a_document_work(path: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _put_checkout_on_path(tmp_path, address, monkeypatch)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    parsers = (PythonCodeBlockParser(), CodeBlockParser(language="bash", evaluator=_run_bash), SkipParser())
    document = Document.parse(str(path), *parsers)
    failures: list[str] = []
    for example in document.examples():
        try:
            example.evaluate()
        except SkipTest:
            continue
        except SybilFailure as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_says_its_language_and_every_skip_its_reason(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for directive in re.findall(r"<!--+ *skip:(.*?)-->", text):
        assert re.fullmatch(r' *next "[^"]{8,}" *-*', directive), f"{path.name}: skip without its reason: {directive}"
    for language in re.findall(r"^```(.*)\n(?:(?!^```).*\n)*^```$", text, flags=re.MULTILINE):
        assert language in {"python", "bash", "text", "yaml", "json", "bibtex"}, f"{path.name}: ```{language}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_of_the_project_leads_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), f"{path.name} links to {target}, which does not exist"


def test_every_promise_of_reliability_names_tests_that_exist() -> None:
    rows = [line for line in (ROOT / "docs" / "reliability.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/[\w/.]+)`(?: \(`(\w+)`\))?", row)
        assert named, row
        for path, part in named:
            assert (ROOT / path).exists(), path
            assert not part or re.search(rf"^def test_\w*{part}", (ROOT / path).read_text(), re.MULTILINE), part
