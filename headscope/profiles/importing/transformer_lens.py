"""The lists of TransformerLens' demos, as JSON: ``prompts``, ``corrupted_prompts``, and ``answers`` as pairs.

Of a pair the first is right and the second wrong.
"""

from __future__ import annotations

from headscope.profiles.columns import Table
from headscope.profiles.importing.cells import following, list_of, shortened, words_of
from headscope.profiles.importing.kinds import Cells, Found, Importer, Left, TaskRow, Wanted, each


def read(table: Table, _: Wanted) -> Found:
    """The rows of a table."""
    return Found(list(each(table, _one)), ["of each pair of answers the first is right"])


def _one(cells: Cells) -> TaskRow | Left:
    prompt, corrupted = cells.get("prompts"), cells.get("corrupted_prompts")
    if not isinstance(prompt, str):
        return Left("it has no prompt")
    pair = list_of(cells.get("answers"))
    words = words_of(pair) if pair is not None else []
    if pair is None or len(words) != len(pair) or len(words) < 2:
        return Left("its answers are no pair", shortened(cells.get("answers")))
    right, *wrong = (following(prompt, word) for word in words)
    return TaskRow(prompt, (right,), tuple(wrong), corrupted=corrupted if isinstance(corrupted, str) else None)


TRANSFORMER_LENS = Importer(
    "transformer-lens",
    "the lists prompts and answers, perhaps corrupted_prompts",
    ("prompts",),
    lambda table: {"prompts", "answers"} <= {*table.columns},
    read,
)
