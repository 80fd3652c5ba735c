"""``regex_<hash>``: how often a pattern of Python's ``re`` matches a text, the prompt left out.

Matches are those of ``re.finditer``: left to right, none overlapping. Whether a text matches at all is asked with a
pattern that can match once, such as ``(?s)\\A.*?(?:PATTERN)``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import partial

from headscope.errors import RequestError
from headscope.measure.outcomes.outcome import Outcome
from headscope.terms import OUTCOMES, REGEX


def regex_outcome(pattern: str, name: str = "") -> Outcome:
    """The number of matches of ``pattern``; ``name`` by default ends in 8 digits that stand for the pattern.

    Raises:
        RequestError: the pattern is empty, or none of Python's.
    """
    if not pattern:
        raise RequestError("a pattern is empty", expected="regex:PATTERN, e.g. 'regex:(?i)\\bsorry\\b'")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise RequestError(
            "a pattern does not compile",
            expected="a regular expression of Python's re",
            got=pattern,
            where=f"character {error.pos}: {error.msg}",
            fix="put a backslash before a sign that is meant as it stands, and quotes around the whole",
        ) from error
    own = REGEX + hashlib.sha256(pattern.encode()).hexdigest()[:8]
    value = partial(_counts, compiled)
    return Outcome.of(OUTCOMES[REGEX], value, "text", name=name or own, rests_on={"pattern": pattern})


def _counts(pattern: re.Pattern[str], texts: Sequence[str], prompts: Sequence[str]) -> list[int]:
    return [sum(1 for _ in pattern.finditer(text)) for text in texts]
