"""How long a Markdown report is to read, and where its links lead."""

from __future__ import annotations

import re
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

_ALIGNMENT = re.compile(r"\|[\s:|-]+\|")
_TARGET = re.compile(r"(?<=\])\([^)]*\)")
_JAPANESE = re.compile(r"[々ぁ-ヺー-ヿ㐀-鿿]")
_WIDE = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")
CHARACTERS_A_WORD = 2.5
"""Japanese has no spaces: so many kana and kanji count as one word."""


def n_words(markdown: str) -> int:
    """Words of a document as ``wc -w`` counts them: whatever whitespace separates, pipes of tables included."""
    return len(markdown.split())


def n_japanese_words(markdown: str) -> float:
    """Words of a Japanese document: kana and kanji count by ``CHARACTERS_A_WORD``, what stands between them (numbers,
    names) as whitespace separates it. Punctuation of either, pipes and alignment rows of tables and the addresses of
    links are no words here; ``n_words`` counts those.
    """
    lines = [line for line in markdown.splitlines() if not _ALIGNMENT.fullmatch(line)]
    text = _TARGET.sub("", "\n".join(lines)).replace("|", " ")
    return len(_WIDE.sub(" ", text).split()) + len(_JAPANESE.findall(text)) / CHARACTERS_A_WORD


def length_in_words(markdown: str) -> float:
    """How long a document is, by the rule that finds more in it."""
    return max(n_words(markdown), n_japanese_words(markdown))


def anchors_in(markdown: str) -> set[str]:
    """The ids that GitHub gives the headings of a document, in which a repeated one is counted up."""
    seen: dict[str, int] = {}
    for text in _headings(markdown):
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        times = seen[anchor] = seen.get(anchor, -1) + 1
        if times:
            seen[f"{anchor}-{times}"] = 0
    return set(seen)


def _headings(markdown: str) -> list[str]:
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    inline = [tokens[at + 1] for at, token in enumerate(tokens) if token.type == "heading_open"]
    return ["".join(child.content for child in token.children or []).strip() for token in inline]


def links_in(markdown: str) -> set[str]:
    """The addresses of all links and pictures of a document."""

    def walk(tokens: list[Token]) -> set[str]:
        found = {str(token.attrs[name]) for token in tokens for name in ("href", "src") if name in token.attrs}
        return found.union(*(walk(token.children) for token in tokens if token.children))

    return {unquote(address) for address in walk(MarkdownIt("commonmark").enable("table").parse(markdown))}
