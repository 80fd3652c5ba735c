"""Laws of the check: what a bar is, how words are counted, and that the shipped checkpoint meets the bars."""

from __future__ import annotations

import pytest

import headscope as hs
from training.check import Bar, as_table, measure, words_per_100


def test_a_bar_is_met_at_its_limit_and_missed_beyond_it() -> None:
    assert Bar("anger", "x", 3.0, 3.0).passed
    assert not Bar("anger", "x", 2.99, 3.0).passed
    assert Bar("anger", "x", 0.5, 0.5, at_most=True).passed
    assert not Bar("anger", "x", 0.51, 0.5, at_most=True).passed
    assert not Bar("anger", "x", float("nan"), 0.5, at_most=True).passed


def test_words_are_counted_whole_and_in_100_words() -> None:
    rates = words_per_100(["I am mad, so mad!", "It was made of madness."], hs.load_profile("baseline"))
    assert rates == {"gratitude": 0.0, "anger": pytest.approx(20.0), "apology": 0.0}


def test_the_table_has_a_row_for_each_bar_and_marks_what_is_missed() -> None:
    bars = [Bar("a", "x", 1.0, 3.0), Bar("b", "x", 4.0, 3.0), Bar("a", "y", 1.0, 2.0, at_most=True)]
    bars.append(Bar("b", "y", 1.0, 2.0, at_most=True))
    lines = as_table(bars).splitlines()
    assert lines[2:] == ["| `x` | ≥ 3 | 1.00 (missed) | 4.00 |", "| `y` | ≤ 2 | 1.00 | 1.00 |"]


@pytest.mark.slow
def test_the_shipped_checkpoint_meets_every_bar() -> None:
    bars = measure(hs.load_model("demo"), hs.load_profile("baseline"))
    assert len(bars) == 7 * 3
    assert [bar for bar in bars if not bar.passed] == []
