"""Standard output carries results only: tables or one JSON object; progress is on standard error, as bars or as lines.

Whatever the console's encoding, nothing that is printed fails at it.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from headscope.cli import console


def test_json_has_no_nan_and_knows_numpy(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"a": float("nan"), "b": np.float64(1.5), "c": (np.int64(2), np.nan), "d": {1: True}})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": 1.5, "c": [2, None], "d": {"1": True}}


class Clock:
    """Stands still until it is told what time it is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lines_of(steps: Sequence[tuple[float, str, int, int]], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is told where there is no terminal; ``steps``: seconds since the step before, stage, done, total."""
    clock = Clock()
    with console.progress(clock=clock) as advance:
        assert advance is not None
        for seconds, stage, done, total in steps:
            clock.now += seconds
            advance(stage, done, total)
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()


def test_without_a_terminal_each_stage_has_a_line_as_it_begins_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [(0, "control states", 0, 1), (2, "control states", 1, 1), (5, "sweep", 0, 144)]
    steps += [(0.25, "sweep", done, 144) for done in range(1, 145)]
    assert lines_of(steps, capsys) == [
        "control states: begins, 1 piece",
        "control states: done, 1 piece in 2.0 s",
        "sweep: begins, 144 pieces",
        "sweep: done, 144 pieces in 36 s",
    ]


def test_a_stage_of_hours_has_one_line_a_minute_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    told = lines_of([(0, "sweep", 0, 144), *((2.5, "sweep", done, 144) for done in range(1, 145))], capsys)
    assert told == [
        "sweep: begins, 144 pieces",
        "sweep: 24 of 144, 5 min left",
        "sweep: 48 of 144, 4 min left",
        "sweep: 72 of 144, 3 min left",
        "sweep: 96 of 144, 2 min left",
        "sweep: 120 of 144, 60 s left",
        "sweep: done, 144 pieces in 6 min",
    ]


def test_the_time_left_is_at_the_pace_of_what_ran_since_it_was_first_told(capsys: pytest.CaptureFixture[str]) -> None:
    told = lines_of([(0, "sweep", 100, 144), (60, "sweep", 100, 144), (60, "sweep", 104, 144)], capsys)
    assert told[1:] == ["sweep: 100 of 144", "sweep: 104 of 144, 20 min left"]


def test_stages_inside_each_other_and_again_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [(0, "verdicts", 0, 1), (1, "texts", 0, 2), (1, "texts", 2, 2), (1, "texts", 0, 3), (1, "texts", 3, 3)]
    told = lines_of([*steps, (1, "verdicts", 1, 1)], capsys)
    assert told == [
        "verdicts: begins, 1 piece",
        "texts: begins, 2 pieces",
        "texts: done, 2 pieces in 1.0 s",
        "texts: begins, 3 pieces",
        "texts: done, 3 pieces in 1.0 s",
        "verdicts: done, 1 piece in 5.0 s",
    ]


def test_quiet_tells_nothing() -> None:
    with console.progress(quiet=True) as advance:
        assert advance is None


def test_progress_is_told_by_stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with console.progress() as advance:
        assert advance is not None
        advance("attention", 1, 2)
        advance("attention", 2, 2)
        advance("attention", 1, 2)  # again, after its bar has ended
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


def test_a_cell_is_text_whatever_signs_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich takes such brackets for markup, loses some and fails at others."""
    console.print_table("", [{"a": "[INST] so [/INST]", "b": "[red]"}], {"a": "a", "b": "b"}, styles={"[red]": "red"})
    assert "[INST] so [/INST]   [red]" in capsys.readouterr().out
