"""Standard output carries results only: tables or one JSON object, and no progress where nobody looks.

Whatever the console's encoding, nothing that is printed fails at it.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable

import numpy as np
import pytest

from headscope.cli import console


def test_json_has_no_nan_and_knows_numpy(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"a": float("nan"), "b": np.float64(1.5), "c": (np.int64(2), np.nan), "d": {1: True}})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": 1.5, "c": [2, None], "d": {"1": True}}


def test_no_progress_without_a_terminal() -> None:
    with console.progress() as advance:
        assert advance is None


def test_progress_is_told_by_stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with console.progress() as advance:
        assert advance is not None
        advance("attention", 1, 2)
        advance("attention", 2, 2)
    assert capsys.readouterr().out == ""
    with console.progress(quiet=True) as advance:
        assert advance is None


def test_a_table_keeps_every_column_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "gratitude", "delta": 0.12345678, "missing": float("nan")}]
    console.print_table("", rows, {"name": "concept", "delta": "Δ attention", "missing": "q"})
    printed = capsys.readouterr().out
    assert "gratitude" in printed
    assert "0.123" in printed
    assert "–" in printed


SIGNS = "Δ − – × 喜び façon 🙂 \udcff \u2028 ₂"
Streams = Callable[[str], tuple[io.BytesIO, io.BytesIO]]


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    """Makes standard output and error consoles of an encoding, as strict as Python makes them; their bytes."""

    def make(encoding: str) -> tuple[io.BytesIO, io.BytesIO]:
        written = io.BytesIO(), io.BytesIO()
        for name, buffer in zip(("stdout", "stderr"), written, strict=True):
            stream = io.TextIOWrapper(buffer, encoding=encoding, errors="strict", write_through=True)
            monkeypatch.setattr(sys, name, stream)
        return written

    return make


@pytest.mark.parametrize("encoding", ["cp1252", "cp932", "ascii", "utf-8", "cp437", "utf-16"])
def test_whatever_the_console_lacks_is_spelled(encoding: str, streams: Streams) -> None:
    out, err = streams(encoding)
    console.show_what_can_be_shown()
    console.say(SIGNS)
    console.note(SIGNS)
    console.warn(SIGNS)
    console.print_table(SIGNS, [{"a": SIGNS, "b": float("nan")}], {"a": "Δ attention", "b": SIGNS})
    for written in (out, err):
        text = written.getvalue().decode(encoding)
        for sign in SIGNS.replace("\udcff", ""):
            shown = sign.encode(encoding, "ignore").decode(encoding)  # cp932 has one minus sign for several
            assert shown in text if shown else sign not in text
    assert "Delta -" in out.getvalue().decode(encoding) or "Δ" in out.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["cp1252", "cp932", "ascii", "utf-8"])
def test_json_says_the_same_on_every_console(encoding: str, streams: Streams) -> None:
    out, _ = streams(encoding)
    console.show_what_can_be_shown()
    whole = SIGNS.replace("\udcff", "")
    console.print_json({whole: [whole, "é", SIGNS]})
    spelled = SIGNS.replace("\udcff", "\\udcff")  # half a character has no place in JSON's bytes
    assert json.loads(out.getvalue().decode(encoding)) == {whole: [whole, "é", spelled]}


@pytest.mark.parametrize("encoding", ["cp1252", "cp932", "ascii"])
def test_bars_are_drawn_on_every_console(encoding: str, streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    _, err = streams(encoding)
    console.show_what_can_be_shown()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with console.progress() as advance:
        assert advance is not None
        advance(SIGNS, 1, 2)
        advance(SIGNS, 2, 2)
    assert b"Delta" in err.getvalue() or "Δ".encode(encoding, "ignore") in err.getvalue()
