"""What stands in a cell (a text, words, whole numbers, a mapping), in whichever way its program writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from headscope.profiles.words import find_words, space_before

_CLOSING = tuple(".,;:!?)]}%")
_QUOTES = "'\"\u2018\u2019\u201c\u201d"
_DIGITS = re.compile(r"[0-9]{1,18}")
# A list as Python or NumPy prints it, quotes or not.
_ITEM = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,'"]+))\s*(?:,|$)""")


def text_of(value: Any) -> str | None:
    """A text, or a number as it is written; None where the cell is empty or holds anything else."""
    if isinstance(value, str):
        return value if value.strip() else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def mapping_of(value: Any) -> Mapping[str, Any] | None:
    """A mapping, also one written as JSON; None where it is none."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _json(value)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def list_of(value: Any) -> list[Any] | None:
    """A list, also one written as JSON or as Python prints it (``[a, b]``, ``['a', 'b']``); None where it is none."""
    if isinstance(value, list):
        return cast("list[Any]", value)
    if not (isinstance(value, str) and value.strip().startswith("[") and value.strip().endswith("]")):
        return None
    read = _json(value)
    if isinstance(read, list):
        return cast("list[Any]", read)
    inside, at = value.strip()[1:-1], 0
    found: list[Any] = []
    while at < len(inside):
        match = _ITEM.match(inside, at)
        if match is None:
            return None
        quoted = match[1] if match[1] is not None else match[2]
        found.append(match[3].strip() if quoted is None else quoted.replace("\\", ""))
        at = match.end()
    return found


def words_of(value: Any) -> list[str]:
    """A word, or several, of a cell; numbers as they are written; empty where it holds none."""
    several = list_of(value)
    if several is None:
        several = [value]
    return [text for one in several if (text := text_of(one)) is not None]


def whole_numbers_of(value: Any) -> list[int] | None:
    """A whole number from 0 on, or several, of a cell; None where it holds anything else."""
    several = list_of(value)
    numbers = [_whole_number(one) for one in ([value] if several is None else several)]
    known = [number for number in numbers if number is not None]
    return known if known and len(known) == len(numbers) else None


def following(text: str, word: str) -> str:
    """``word`` as it follows ``text``: with a space before it, unless it brings one or the text leaves no room."""
    if word[:1].isspace() or word.startswith(_CLOSING):
        return word
    return space_before(word, text) + word


def places_of_word(text: str, word: str) -> list[tuple[int, int]]:
    """Where ``word`` stands whole in ``text``, whatever its case, from left to right."""
    bare = word.strip().strip(_QUOTES)
    if text.isascii() and bare.isascii() and bare.lower() not in text.lower():
        return []  # most words stand in few texts, and a pattern is made for each
    return list(find_words(text, (bare,))) if bare else []


def shortened(value: object) -> str:
    """A value as an example of what was left out shows it."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:59]}\N{HORIZONTAL ELLIPSIS}"


def _whole_number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    if isinstance(value, float):
        return int(value) if value >= 0 and value.is_integer() and value < 2**53 else None
    digits = value.strip().removesuffix(".0") if isinstance(value, str) else ""
    return int(digits) if _DIGITS.fullmatch(digits) else None


def _json(text: str) -> Any:
    """What JSON says; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
