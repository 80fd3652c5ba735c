"""A bundled task as its file holds it, read without headscope, and what its laws are stated in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

BUILTIN = Path(__file__).resolve().parents[3] / "headscope" / "profiles" / "builtin"
NAMES = ("agreement", "capitals", "copy", "greater_than", "ioi", "negation", "pronouns", "successor")
Row = dict[str, Any]


@cache
def rows_of(name: str) -> tuple[Row, ...]:
    """The rows of one task, in the order of the file."""
    lines = (BUILTIN / name / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(json.loads(line) for line in lines)


def at(row: Row, place: str) -> str:
    """What stands at a place of a prompt, or of its partner (``row["corrupted"]``)."""
    start, end = row["spans"][place]
    return row["text"][start:end]


def words(text: str) -> list[str]:
    """Runs of letters and digits."""
    return re.findall(r"\w+", text)


def misaligned(name: str, encode: Callable[[str], Any]) -> list[str]:
    """Ids of the prompts that a tokenizer takes apart otherwise than their partners; ``encode`` gives ``Tokens``."""
    return [row["id"] for row in rows_of(name) if not _pair_fits(row, encode)]


def unstable(name: str, encode: Callable[[str], Any]) -> list[str]:
    """Ids of the prompts whose tokens change where a continuation follows, or two of whose continuations are alike."""
    found: list[str] = []
    for row in rows_of(name):
        ids = encode(row["text"]).ids
        ends = [encode(row["text"] + one).ids for one in continuations(row)]
        if len(set(ends)) < len(ends) or any(end[: len(ids)] != ids for end in ends):
            found.append(row["id"])
    return found


def continuation_lengths(name: str, encode: Callable[[str], Any]) -> set[int]:
    """Numbers of tokens of a task's answers and foils."""
    return {len(encode(one)) for row in rows_of(name) for one in continuations(row)}


def place_lengths(name: str, encode: Callable[[str], Any]) -> set[int]:
    """Numbers of tokens of a task's named places."""
    return {len(encode(row["text"]).of_span(span)) for row in rows_of(name) for span in row["spans"].values()}


def continuations(row: Row) -> Sequence[str]:
    """Answers, then foils."""
    return (*row["answers"], *row["foils"])


def _pair_fits(row: Row, encode: Callable[[str], Any]) -> bool:
    clean, corrupted = encode(row["text"]), encode(row["corrupted"]["text"])
    there = row["corrupted"]["spans"]
    return len(clean) == len(corrupted) and all(
        clean.of_span(span) == corrupted.of_span(there[place]) for place, span in row["spans"].items()
    )
