"""Where in a Markdown file a heading can be linked to: the fragment that GitHub makes of it.

1. A heading's Markdown becomes bare text. 2. It is put in lower case; what is no letter, mark, digit, underscore,
hyphen or space goes; spaces become hyphens. 3. A fragment that stood in the file before gets ``-1``, ``-2`` and so on.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from markdown_it import MarkdownIt

from headscope.report.document import Heading, Section

Place = tuple[str, str]
"""A section's key with the text of a heading in it; empty text is the section's own heading."""


def anchor_of(heading: str) -> str:
    """The fragment of one heading (Markdown), as if it stood in its file alone."""
    return "".join("-" if char == " " else char for char in _bare(heading).lower() if _stays(char))


def anchors_of(sections: Iterable[Section]) -> dict[Place, str]:
    """The fragment of every heading of a file made of ``sections``, in their order, each once."""
    places: dict[Place, str] = {}
    taken: dict[str, int] = {}
    for section in sections:
        own = [(section.key, "")] if section.title else []
        texts = [section.title, *(block.text for block in section.blocks if isinstance(block, Heading))]
        keys = [*own, *((section.key, text) for text in texts[1:])]
        for key, text in zip(keys, texts[0 if own else 1 :], strict=True):
            places.setdefault(key, _free(anchor_of(text), taken))
    return places


def _free(anchor: str, taken: dict[str, int]) -> str:
    """An anchor that was not given away; ``taken`` counts how often each was asked for."""
    found = anchor
    while found in taken:
        taken[anchor] += 1
        found = f"{anchor}-{taken[anchor]}"
    taken[found] = 0
    return found


def _stays(char: str) -> bool:
    return char in "-_ " or unicodedata.category(char)[0] in "LMN"


def _bare(heading: str) -> str:
    inline = _markdown().parseInline(heading)[0].children or []
    return "".join(token.content for token in inline if token.type in ("text", "code_inline", "text_special"))


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False})
