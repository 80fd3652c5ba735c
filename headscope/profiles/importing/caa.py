"""CAA's and the model-written evaluations' lists: a question that holds its options, and which fits the behaviour.

The answers stand in the file as they follow the question, ``(A)`` or `` (A)``; the options in the question are marked
where each is found once. There are no corrupted prompts.
"""

from __future__ import annotations

import re

from headscope.profiles.columns import Table
from headscope.profiles.importing.cells import following, words_of
from headscope.profiles.importing.kinds import Cells, Found, Importer, Left, Span, TaskRow, Wanted, each

_RIGHT, _WRONG = "answer_matching_behavior", "answer_not_matching_behavior"


def read(table: Table, _: Wanted) -> Found:
    """The rows of a table."""
    return Found(list(each(table, _one)), ["right is the answer that matches the behaviour"])


def _one(cells: Cells) -> TaskRow | Left:
    question = cells.get("question")
    if not isinstance(question, str):
        return Left("it has no question")
    right, wrong = words_of(cells.get(_RIGHT)), words_of(cells.get(_WRONG))
    if not right or not wrong:
        return Left("it has no answer or no foil")
    places = {"matching": _option(question, right[0]), "not_matching": _option(question, wrong[0])}
    spans = {name: place for name, place in places.items() if place is not None}
    answers, foils = (tuple(following(question, one) for one in several) for several in (right, wrong))
    return TaskRow(question, answers, foils, spans if len(spans) == len(places) else {})


def _option(question: str, answer: str) -> Span | None:
    """Where the option that ``answer`` names stands, to the end of its line; None where it stands nowhere or again."""
    found = list(re.finditer(rf"{re.escape(answer.strip())}[^\n]*", question))
    return found[0].span() if len(found) == 1 else None


CAA = Importer(
    "caa",
    f"question, {_RIGHT}, {_WRONG}",
    (_RIGHT,),
    lambda table: {"question", _RIGHT, _WRONG} <= {*table.columns},
    read,
)
