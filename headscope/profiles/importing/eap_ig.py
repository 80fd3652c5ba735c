"""EAP-IG's CSV files: ``clean, corrupted`` and what is right, as token ids of one tokenizer, as words, or as a number.

1. Words are taken where the file has them beside the ids (countries, hypernyms) and no tokenizer is named; an id there
   is often the first token of the word alone.
2. An id must decode to a word that fits: letters and digits, parted from the text before it; of names (``correct_idx``,
   ``incorrect_idx``) one that stands in the prompt. Where more than a tenth of the records has one that does not, the
   ids are of another tokenizer, and the file is refused.
3. ``label`` (or ``correct_idx`` alone) is a year's last two digits: right are all two-digit numbers above it, wrong it
   and those below.
4. ``plural`` says which verb agrees; the file has no verbs, so those of every English model serve. Its ``group`` is
   the construction, and names the template.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from headscope.errors import ProfileError
from headscope.profiles.columns import Table
from headscope.profiles.explaining import some_of
from headscope.profiles.importing.cells import (
    following,
    places_of_word,
    shortened,
    text_of,
    whole_numbers_of,
    words_of,
)
from headscope.profiles.importing.kinds import Cells, Found, Importer, Left, Span, TaskRow, Wanted, each
from headscope.profiles.words import space_before

MISFIT_SHARE = 0.1
YEARS = tuple(f"{year:02d}" for year in range(100))
VERBS = ((" is", " was", " has"), (" are", " were", " have"))
_YEAR = re.compile(r"[0-9]{2}$")
_MISFIT = "a token id does not decode to a word that fits"


@dataclass(frozen=True)
class _Shape:
    """Columns of what is right and of what is wrong."""

    ids: tuple[str, str]
    words: tuple[str, str] | None = None
    are_names: bool = False


_SHAPES = (
    _Shape(("correct_idx", "incorrect_idx"), are_names=True),
    _Shape(("clean_answer_idx", "corrupted_answer_idx")),
    _Shape(("country_idx", "corrupted_country_idx"), ("country", "corrupted_country")),
    _Shape(("answers_idx", "corrupted_answers_idx"), ("answers", "corrupted_answers")),
)


def read(table: Table, wanted: Wanted) -> Found:
    """The rows of a table.

    Raises:
        ProfileError: it has ids and no tokenizer is named, or another one's; or no column of that name is corrupted.
    """
    corrupted = _corrupted_column(table, wanted)
    shape = _shape(table)
    if shape is not None and shape.words is not None and wanted.token_text is None:
        words = shape.words
        found = Found(list(each(table, lambda cells: _of_words(cells, corrupted, words))))
        found.notes.append(f"answers are the words of the column {words[0]}, not the token ids")
    elif shape is not None:
        found = _of_ids(table, corrupted, shape, wanted)
    elif _number_column(table) is None:
        found = Found(list(each(table, lambda cells: _verbs(cells, corrupted))))
        found.notes.append(f"the file has no verbs: {', '.join(VERBS[0])} stand against {', '.join(VERBS[1])}")
    else:
        column = _number_column(table) or ""
        found = Found(list(each(table, lambda cells: _years(cells, corrupted, column))))
        found.notes.append(f"right are all two-digit numbers above {column}, wrong those at or below it")
    return found


def _corrupted_column(table: Table, wanted: Wanted) -> str:
    column = wanted.counterfactual or "corrupted"
    if column not in table.columns:
        raise ProfileError(
            f'file has no column "{column}"',
            expected="the column of the corrupted prompts",
            got=some_of([name for name in table.columns if name.startswith("corrupted")]),
            where=table.path,
        )
    return column


def _shape(table: Table) -> _Shape | None:
    for shape in _SHAPES:
        if {*shape.ids} <= {*table.columns} or (shape.words is not None and {*shape.words} <= {*table.columns}):
            return shape
    return None


def _number_column(table: Table) -> str | None:
    return next((name for name in ("label", "correct_idx") if name in table.columns), None)


def _recognises(table: Table) -> bool:
    has_answers = _shape(table) is not None or _number_column(table) is not None or "plural" in table.columns
    return {"clean", "corrupted"} <= {*table.columns} and has_answers


def _row(cells: Cells, corrupted: str, answers: list[str], foils: list[str], spans: dict[str, Span]) -> TaskRow:
    partner, group = cells.get(corrupted), text_of(cells.get("template", cells.get("group")))
    return TaskRow(cells["clean"], tuple(answers), tuple(foils), spans, partner if isinstance(partner, str) else None,
                    template=group)  # fmt: skip


def _of_words(cells: Cells, corrupted: str, columns: tuple[str, str]) -> TaskRow | Left:
    clean = cells.get("clean")
    if not isinstance(clean, str):
        return Left("it has no prompt")
    right, wrong = ([following(clean, word.strip()) for word in words_of(cells.get(name))] for name in columns)
    return _row(cells, corrupted, right, wrong, {}) if right and wrong else Left("it has no answer or no foil")


def _of_ids(table: Table, corrupted: str, shape: _Shape, wanted: Wanted) -> Found:
    if wanted.token_text is None:
        raise ProfileError(
            "answers are token ids of one tokenizer, and the file does not say of which",
            expected="the tokenizer that the file was made with",
            got=f"the columns {shape.ids[0]} and {shape.ids[1]}",
            where=table.path,
            fix="--ids-of FOLDER names it",
        )
    token_text = wanted.token_text
    found = Found(list(each(table, lambda cells: _decoded(cells, corrupted, shape, token_text))))
    misfits = [(at, row) for at, row in found.rows if isinstance(row, Left) and row.reason == _MISFIT]
    if len(misfits) > MISFIT_SHARE * len(found.rows):
        at, first = misfits[0]
        raise ProfileError(
            f"the file's token ids are of another tokenizer: {len(misfits)} of {len(found.rows)} records do not fit",
            expected="ids that decode to words that follow their prompt" + ", and stand in it" * shape.are_names,
            got=first.got,
            where=f"{table.path}, {at}",
            fix="--ids-of FOLDER: the tokenizer that the file was made with",
        )
    return found


def _decoded(cells: Cells, corrupted: str, shape: _Shape, token_text: Callable[[int], str | None]) -> TaskRow | Left:
    clean = cells.get("clean")
    if not isinstance(clean, str):
        return Left("it has no prompt")
    sides: list[list[str]] = []
    for column in shape.ids:
        ids = whole_numbers_of(cells.get(column))
        if ids is None:
            return Left(f"{column} is no token id", shortened(cells.get(column)))
        texts = [token_text(token) for token in ids]
        bad = [(token, text) for token, text in zip(ids, texts, strict=True) if not _fits(clean, text, shape)]
        if bad:
            return Left(_MISFIT, f"{bad[0][0]}, which is {bad[0][1]!r}")
        sides.append([text for text in texts if text is not None])
    right, wrong = sides
    return _row(cells, corrupted, right, wrong, _places_of_names(clean, right, wrong) if shape.are_names else {})


def _fits(clean: str, text: str | None, shape: _Shape) -> bool:
    """Whether the text of a token can be a word after ``clean``."""
    bare = (text or "").strip()
    if text is None or not bare or not all(sign.isalnum() or sign in "'\u2019-" for sign in bare):
        return False
    if not text[:1].isspace() and space_before(text, clean):
        return False
    return not shape.are_names or re.search(rf"\b{re.escape(bare)}", clean) is not None


def _places_of_names(clean: str, right: list[str], wrong: list[str]) -> dict[str, Span]:
    """Where the one that is right stands first, and where the one that is wrong stands first and again."""
    io, subject = places_of_word(clean, right[0]), places_of_word(clean, wrong[0])
    named = {"io": io[:1], "s1": subject[:1], "s2": subject[1:2]}
    return {name: places[0] for name, places in named.items() if places}


def _years(cells: Cells, corrupted: str, column: str) -> TaskRow | Left:
    clean, label = cells.get("clean"), whole_numbers_of(cells.get(column))
    if not isinstance(clean, str):
        return Left("it has no prompt")
    if label is None or len(label) != 1 or label[0] > 98:
        return Left(f"{column} is no number from 0 to 98", shortened(cells.get(column)))
    year = label[0]
    if not re.search(rf"{year:02d}(?![0-9])", clean):
        return Left(f"{column} does not stand in the prompt", f"{year:02d}")
    if not _YEAR.search(clean):
        return Left("its prompt does not end in the first two digits of a year", shortened(clean[-30:]))
    return _row(cells, corrupted, list(YEARS[year + 1 :]), list(YEARS[: year + 1]), {})


def _verbs(cells: Cells, corrupted: str) -> TaskRow | Left:
    clean, plural = cells.get("clean"), text_of(cells.get("plural"))
    if not isinstance(clean, str):
        return Left("it has no prompt")
    if plural not in ("0", "1"):
        return Left("plural is neither 0 nor 1", shortened(cells.get("plural")))
    right = int(plural)
    return _row(cells, corrupted, list(VERBS[right]), list(VERBS[1 - right]), {})


EAP_IG = Importer(
    "eap-ig",
    "clean, corrupted, and token ids (correct_idx, ...), a label, or plural",
    ("clean",),
    _recognises,
    read,
    frozenset({"token_text", "counterfactual"}),
)
