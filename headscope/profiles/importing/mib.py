"""MIB's rows: a prompt, and beside it counterfactuals, each a column that holds a mapping.

Which task a record is of follows from its columns: ``metadata`` (indirect object), ``choices`` and ``answerKey``
(multiple choice), ``entity`` and ``attribute`` (RAVEL), ``label`` (arithmetic), ``Context1`` (EWoK). Wrong are: the
subject; the other choices of the prompt itself; of arithmetic and RAVEL what is right in the counterfactual; of EWoK
the target of the other context.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from headscope.errors import ProfileError
from headscope.profiles.columns import Table
from headscope.profiles.explaining import some_of
from headscope.profiles.importing.cells import (
    following,
    list_of,
    mapping_of,
    places_of_word,
    shortened,
    text_of,
    whole_numbers_of,
    words_of,
)
from headscope.profiles.importing.kinds import Cells, Found, Importer, Left, Span, TaskRow, Wanted, each

ENDING = "_counterfactual"
# The counterfactual that MIB compares with, of each of its tasks.
USUAL = ("s2_io_flip", "symbol", "random", "attribute")
_EWOK = ("Context1", "Context2", "Target1", "Target2")


def read(table: Table, wanted: Wanted) -> Found:
    """The rows of a table.

    Raises:
        ProfileError: it has no counterfactual of the name asked for, or several and none is asked for.
    """
    columns = {*table.columns}
    if {*_EWOK} <= columns:
        return Found(list(each(table, _ewok)), ["Context1 is the prompt, Context2 its corrupted partner"])
    column = _counterfactual(table, wanted)
    made: Callable[[Cells, Cells], TaskRow | Left]
    if "metadata" in columns:
        made = _ioi
    elif {"choices", "answerKey"} <= columns:
        made = _choice
    elif {"entity", "attribute"} <= columns:
        made = _ravel
    else:
        made = _arithmetic

    def one(cells: Cells) -> TaskRow | Left:
        other = mapping_of(cells.get(column))
        if not isinstance(cells.get("prompt"), str):
            return Left("it has no prompt")
        if other is None or not isinstance(other.get("prompt"), str):
            return Left(f"{column} holds no prompt", shortened(cells.get(column)))
        return made(cells, other)

    return Found(list(each(table, one)), [f"the corrupted prompts are those of {column}"])


def _counterfactual(table: Table, wanted: Wanted) -> str:
    there = [name for name in table.columns if name.endswith(ENDING)]
    asked = wanted.counterfactual
    if not there:
        raise ProfileError(
            "file has no counterfactuals", expected=f"a column whose name ends in {ENDING}",
            got=some_of(table.columns), where=table.path, fix="--as KIND names another kind; left out: it is found",
        )  # fmt: skip
    if asked is not None:
        found = [name for name in there if name in (asked, asked + ENDING)]
    else:
        usual = [name + ENDING for name in USUAL if name + ENDING in there]
        found = usual[:1] or (there if len(there) == 1 else [])
    if not found:
        raise ProfileError(
            "file has several counterfactuals" if asked is None else f'file has no counterfactual "{asked}"',
            expected="the name of one",
            got=some_of(there),
            where=table.path,
            fix="--counterfactual NAME says which",
        )
    return found[0]


def _recognises(table: Table) -> bool:
    columns = {*table.columns}
    return {*_EWOK} <= columns or ("prompt" in columns and any(name.endswith(ENDING) for name in columns))


def _ioi(cells: Cells, other: Cells) -> TaskRow | Left:
    named = mapping_of(cells.get("metadata")) or {}
    prompt = str(cells["prompt"])
    io, subject = text_of(named.get("indirect_object")), text_of(named.get("subject"))
    if io is None or subject is None:
        return Left("metadata does not name indirect_object and subject", shortened(cells.get("metadata")))
    first, again = places_of_word(prompt, io), places_of_word(prompt, subject)
    places = {"io": first[:1], "s1": again[:1], "s2": again[1:2]}
    spans = {name: found[0] for name, found in places.items() if found}
    row = _row(cells, other, [following(prompt, io)], [following(prompt, subject)], spans)
    return replace(row, fillers=tuple(text for one in named.values() if (text := text_of(one)) is not None))


def _choice(cells: Cells, other: Cells) -> TaskRow | Left:
    labels = _of_choices(cells, "label")
    right = whole_numbers_of(cells.get("answerKey"))
    key = text_of(cells.get("answerKey"))
    index = right[0] if right is not None else labels.index(key.strip()) if key and key.strip() in labels else None
    if index is None or index >= len(labels):
        return Left("answerKey is no place among the choices", shortened(cells.get("answerKey")))
    prompt = str(cells["prompt"])
    options = [following(prompt, label) for label in labels]
    row = _row(cells, other, [options[index]], [one for one in options if one != options[index]])
    return replace(row, fillers=tuple(_of_choices(cells, "text")))


def _of_choices(cells: Cells, what: str) -> list[str]:
    """The labels or the texts of the choices; of choices without labels both are the choices."""
    choices = mapping_of(cells.get("choices"))
    return words_of(list_of(choices.get(what)) if choices is not None else cells.get("choices"))


def _arithmetic(cells: Cells, other: Cells) -> TaskRow | Left:
    prompt, right, wrong = str(cells["prompt"]), text_of(cells.get("label")), text_of(other.get("label"))
    if right is None or wrong is None:
        return Left("it has no label, or its counterfactual has none")
    return _row(cells, other, [following(prompt, right)], [following(prompt, wrong)])


def _ravel(cells: Cells, other: Cells) -> TaskRow | Left:
    prompt, attribute = str(cells["prompt"]), str(cells.get("attribute"))
    right, wrong = (text_of(each_of.get(attribute, each_of.get("label"))) for each_of in (cells, other))
    if right is None or wrong is None:
        return Left("it has no column named as its attribute, or its counterfactual has none", shortened(attribute))
    found = places_of_word(prompt, str(cells.get("entity") or ""))
    spans = {"entity": found[-1]} if found else {}
    return _row(cells, other, [following(prompt, right)], [following(prompt, wrong)], spans)


def _ewok(cells: Cells) -> TaskRow | Left:
    context, other, right, wrong = (text_of(cells.get(name)) for name in _EWOK)
    if context is None or right is None or wrong is None:
        return Left("it has no context, or a target is missing")
    answers, foils = ((following(context, one),) for one in (right, wrong))
    return TaskRow(context, answers, foils, corrupted=other, task=text_of(cells.get("Domain")))


def _row(
    cells: Cells, other: Cells, answers: list[str], foils: list[str], spans: Mapping[str, Span] | None = None
) -> TaskRow:
    corrupted: Any = other.get("prompt")
    return TaskRow(str(cells["prompt"]), tuple(answers), tuple(foils), spans or {}, str(corrupted))


MIB = Importer(
    "mib",
    "prompt and a column that ends in _counterfactual; or Context1, Context2, Target1, Target2",
    ("prompt", "Context1"),
    _recognises,
    read,
    frozenset({"counterfactual"}),
)
