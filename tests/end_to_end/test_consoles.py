"""A console that lacks most signs, and a file whose name is no UTF-8: the same results, in the same files."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headscope.cli import main

TEXTS = ("I am grateful for the long walk.", "They were thankful; it was early.", "We feel grateful at the lake.")


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Types a command on consoles of an encoding, as strict as Python makes them: exit code, output, messages."""
    monkeypatch.chdir(tmp_path)

    def run(encoding: str, *words: str) -> tuple[int, str, str]:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors="strict", write_through=True) for _ in range(2)]
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", streams[0])
            patched.setattr(sys, "stderr", streams[1])
            with pytest.raises(SystemExit) as left:
                main(words)
        assert isinstance(left.value.code, int)
        out, err = (stream.detach().getvalue().decode(encoding) for stream in streams)
        return left.value.code, out, err

    return run


def test_the_console_and_the_name_of_a_file_change_no_result(
    typed: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    file = os.fsdecode(b"d\xe9j\xe0.csv")
    try:
        Path(file).write_text("Text;Label\n" + "".join(f'"{text}";感謝\n' for text in TEXTS), encoding="utf-8")
    except OSError as error:
        pytest.skip(f"this file system takes names of UTF-8 only: {error}")
    asked = ("screen", "--model", "demo", "--prompts", f"gratitude={file}", "--concept", "gratitude")
    asked = (*asked, "--allow-low-coverage", "--out")
    plain = typed("utf-8", *asked, "plain")
    code, out, err = typed("cp932", *asked, "other")
    assert (code, plain[0]) == (0, 0), err
    assert 'the column "Text" holds the text' in err
    assert "Δ attention" in out, "cp932 has Greek letters"
    for name in ("tables/screen.csv", "tables/coverage.csv", "arrays.safetensors", "head_scores.json"):
        assert (tmp_path / "other" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    manifest = json.loads((tmp_path / "other" / "manifest.json").read_bytes().decode("utf-8"))
    assert any('"Label" is "感謝" on every row' in each for each in manifest["warnings"])
    for encoding in ("cp932", "cp1252", "ascii"):
        code, out, err = typed(encoding, "show", "other", "--json")
        assert code == 0, err
        assert json.loads(out)["warnings"] == manifest["warnings"]
        assert typed(encoding, "rank", "other", "--force")[0] == 0
        assert typed(encoding, "runs", ".")[0] == 0
