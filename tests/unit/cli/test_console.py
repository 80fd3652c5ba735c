"""Standard output carries results only: tables or one JSON object, and no progress where nobody looks."""

from __future__ import annotations

import json

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
