"""Links from the report to the headings of its evidence: where each section of the evidence stands.

GitHub gives a heading an id: its text in lower case, without all that is no letter, digit, mark, underscore, hyphen or
space, spaces as hyphens; of headings with the same text the second gets ``-1``, the third ``-2``.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from headscope.report.document import Heading, Section

_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")


def evidence_file(language: str) -> str:
    """``evidence.md`` in English, else ``evidence.<code>.md``."""
    return "evidence.md" if language == "en" else f"evidence.{language}.md"


def slug(heading: str) -> str:
    """The id that GitHub gives a heading, of its text in Markdown, where no heading before has the same."""
    text = html.unescape(_ESCAPED.sub(r"\1", heading)).strip().lower()
    return "".join(char for char in text if _is_kept(char)).replace(" ", "-")


def _is_kept(char: str) -> bool:
    category = unicodedata.category(char)
    return char in " -" or category[0] in "LM" or category in ("Nd", "Pc")


def targets_of(sections: Iterable[Section], file: str) -> dict[str, str]:
    """For each section of a file, by its key, what a link to it names; one without a heading is under the last one."""
    seen: Counter[str] = Counter()
    targets: dict[str, str] = {}
    last = file
    for section in sections:
        headings = [block.text for block in section.blocks if isinstance(block, Heading)]
        for at, text in enumerate([section.title, *headings]):
            if text:
                anchor = slug(text)
                last = f"{file}#{anchor}-{seen[anchor]}" if seen[anchor] else f"{file}#{anchor}"
                seen[anchor] += 1
            if at == 0:
                targets[section.key] = last
    return targets
