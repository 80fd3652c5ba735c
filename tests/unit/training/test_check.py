"""Laws of the check: what a bar is, how words are counted, and that the shipped checkpoint does what its card says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import headscope as hs
from training.check import Bar, as_table, measure, words_per_100

LIMITS = (
    ("concept_gap_nats", 3.0, False),
    ("prompts_right_share", 0.85, False),
    ("top_set_drop_nats", 3.0, False),
    ("top_set_drop_over_best_control", 3.0, False),
    ("own_words_per_100", 4.0, False),
    ("other_words_per_100", 1.5, True),
    ("own_words_kept_share", 0.5, True),
)


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


def shipped_in_the_card(project_root: Path) -> dict[tuple[str, str], tuple[float, bool]]:
    """(bar, concept) -> the card's figure for the shipped seed, and whether it is called met."""
    text = (project_root / "headscope" / "models" / "demo" / "README.md").read_text(encoding="utf-8")
    figures: dict[tuple[str, str], tuple[float, bool]] = {}
    for name, shipped in re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| ([^|]+) \|", text, re.MULTILINE):
        for concept, cell in zip(("gratitude", "anger", "apology"), shipped.split("/"), strict=True):
            figures[name, concept] = float(cell.strip().rstrip("*")), "*" not in cell
    return figures


def test_the_card_calls_missed_what_its_own_figures_miss(project_root: Path) -> None:
    card = shipped_in_the_card(project_root)
    assert len(card) == 7 * 3
    limits = {name: (limit, at_most) for name, limit, at_most in LIMITS}
    for (name, concept), (value, met) in card.items():
        assert Bar(concept, name, value, *limits[name]).passed is met


@pytest.mark.slow
def test_the_shipped_checkpoint_does_what_its_card_says(project_root: Path) -> None:
    card = shipped_in_the_card(project_root)
    bars = measure(hs.load_model("demo"), hs.load_profile("baseline"))
    assert len(bars) == len(card)
    for bar in bars:
        value, met = card[bar.name, bar.concept]
        assert bar.value == pytest.approx(value, rel=0.1, abs=0.02), bar
        assert bar.passed is met or abs(bar.value - bar.limit) < 0.1 * bar.limit, bar
    assert all(bar.passed for bar in bars if bar.concept != "anger")
