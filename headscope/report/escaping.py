"""Text of prompts, models and profiles as Markdown that shows it and does nothing else.

Whatever a model wrote must not end a table's cell, open a tag, start a heading or turn the reading direction around.
``plain`` is for text between words, ``code`` for names and continuations that keep every character visible.
"""

from __future__ import annotations

import re
import unicodedata

_SPECIAL = re.compile(r"([\\`*_{}\[\]|~#$!^])")
_AUTOLINK = re.compile(r"(?<=\w):(?=//)|(?<=www)\.|@(?=\w)", re.I)
_LINE_BREAKS = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def plain(text: object, longest: int | None = None) -> str:
    """``text`` in a sentence, a heading or a table's cell, cut after ``longest`` characters; breaks become ``↵``."""
    shown = _SPECIAL.sub(r"\\\1", visible(_cut(str(text), longest)))
    shown = _AUTOLINK.sub(lambda match: f"\\{match[0]}", shown)
    return "".join(_ENTITIES.get(char, char) for char in shown)


def code(text: object, longest: int | None = None) -> str:
    """``text`` as inline code, safe in table cells too."""
    shown = visible(_cut(str(text), longest))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    padded = f" {shown} " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else shown
    return f"{fence}{padded}{fence}".replace("|", "\\|")


def block(text: str) -> str:
    """``text`` as a fenced code block whose fence it cannot close."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    lines = "\n".join(visible(line) for line in text.split("\n"))
    return f"{fence}bash\n{lines}\n{fence}"


def visible(text: str) -> str:
    """``text`` on one line, with control and direction characters shown by their code points."""
    flat = _LINE_BREAKS.sub("↵", text).replace("\t", " ")
    return "".join(_shown(char) for char in flat)


def _shown(char: str) -> str:
    hidden = unicodedata.category(char) in ("Cc", "Cs") or unicodedata.bidirectional(char) in _TURNING
    return f"U+{ord(char):04X}" if hidden else char


_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def _cut(text: str, longest: int | None) -> str:
    return text if longest is None or len(text) <= longest else text[: longest - 1] + "…"
