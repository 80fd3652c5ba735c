"""Which column of a file is the text, which the class: from a table of anyone's making to rows of prompts.

1. The text is the column named (``--text-column``), else ``text``, else the only one of the names that exports give
   it. The class likewise. Capitals do not matter. Where two would do, the file is refused and the option named.
2. Labels that are numbers name no class: the same number on every row says nothing, different ones could mean
   anything, and are refused.
3. A conversation stands in the column of the text, or in ``messages`` where rows have no text.
4. What is not read is named in a note, and so is every column that was taken under another name than the profile's.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from headscope.errors import ProfileError
from headscope.profiles.explaining import SHOWN, describe, some_of

MESSAGES = "messages"
TEXT_NAMES = ("text", "prompt", "sentence", "content", MESSAGES)
LABEL_NAMES = ("concept", "label", "emotion")
_WORDS = ("id", "template", "pair")
_LISTS = ("answers", "foils")
_OTHER_NAMES = (*_WORDS, "span", "span_start", "span_end", "implicit", "spans", *_LISTS, "corrupted")
_ALSO_CALLED = {"answer": "answers", "foil": "foils"}
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")
_CONVERSATION = re.compile(r"\s*\[\s*\{")


@dataclass(frozen=True)
class Reading:
    """What a user says about files of prompts.

    Attributes:
        text_column: the column that holds the text; None: the one its name gives away.
        label_column: the column that names the class; None: likewise, where there is one.
        drop_duplicates: leave out what repeats a prompt of its class exactly, instead of refusing it.
    """

    text_column: str | None = None
    label_column: str | None = None
    drop_duplicates: bool = False

    @property
    def names_columns(self) -> bool:
        """Whether it speaks of columns, which only a table has."""
        return self.text_column is not None or self.label_column is not None


@dataclass(frozen=True)
class Table:
    """A file as a table.

    Attributes:
        path: the file, as messages name it.
        columns: in order; a cell may be missing in some records.
        records: where each stands in the file, and its cells by column.
        is_text: whether all cells are text, so that an empty one is a missing one.
    """

    path: str
    columns: Sequence[str]
    records: Sequence[tuple[str, Mapping[str, Any]]]
    is_text: bool


@dataclass(frozen=True)
class Choice:
    """What each column of a table is; ``notes`` says it."""

    text: str
    label: str | None
    others: Mapping[str, str]
    notes: list[str] = field(default_factory=list[str])


def choose(table: Table, reading: Reading, one_class: str | None) -> Choice:
    """What each column is; ``one_class`` is the class of all rows, where that is known from elsewhere.

    Raises:
        ProfileError: no column holds the text, or several might; labels are numbers; half a span.
    """
    by_name = {column.casefold(): column for column in reversed(table.columns)}
    by_name |= {column: column for column in table.columns}
    text = _column(table, by_name, "text", TEXT_NAMES, reading.text_column)
    if text is None:
        raise ProfileError(
            'file has no column "text"',
            expected=f"a column of that name, or {', '.join(TEXT_NAMES[1:])}",
            got=some_of(table.columns),
            where=table.path,
            fix="--text-column NAME says which column holds the text; plain lines go into a .txt file",
        )
    label = _column(table, by_name, "class", LABEL_NAMES, reading.label_column)
    if label == text:
        raise ProfileError("one column cannot be text and class", got=f'"{text}"', where=table.path)
    by_name |= {name: by_name[also] for also, name in _ALSO_CALLED.items() if also in by_name and name not in by_name}
    others = {name: by_name[name] for name in _OTHER_NAMES if name in by_name and by_name[name] not in (text, label)}
    if text.casefold() == TEXT_NAMES[0] and not all(_is_there(cells.get(text)) for _, cells in table.records):
        others |= {MESSAGES: by_name[MESSAGES]} if MESSAGES in by_name else {}
    if ("span_start" in others) != ("span_end" in others):
        both = "both columns span_start and span_end"
        raise ProfileError("file has half a span", expected=both, got=some_of(table.columns), where=table.path)
    notes = [f'the column "{text}" holds the text'] if text != "text" else []
    kept = label
    if label is not None:
        kept, sentence = _label(table, label, one_class)
        notes += [sentence] if sentence else []
    unread = [column for column in table.columns if column not in (text, label, *others.values())]
    if unread := [column for column in unread if any(_is_there(cells.get(column)) for _, cells in table.records)]:
        notes.append(f"not read: {_named(unread)}")
    return Choice(text, kept, others, notes)


def row_of(cells: Mapping[str, Any], choice: Choice, *, is_text: bool, where: str) -> dict[str, Any]:
    """A record as the fields of ``schema.PromptRow``, which checks them.

    Raises:
        ProfileError: a cell that is neither text nor what its column asks for.
    """
    row: dict[str, Any] = {}
    if choice.text in cells and (MESSAGES not in choice.others or _is_there(cells[choice.text])):
        row = _said(cells[choice.text], where, may_be_json=choice.text.casefold() == MESSAGES)
    fields = choice.others if choice.label is None else {"concept": choice.label, **choice.others}
    for name, column in fields.items():
        value = cells.get(column)
        if value is None or (is_text and not value.strip()):
            continue
        if name == MESSAGES:
            row |= _said(value, where, may_be_json=True)
            continue
        is_number = isinstance(value, int) and not isinstance(value, bool)
        row[name] = str(value) if is_number and name in _WORDS else value
        if name in _LISTS or (
            is_text and (name == "spans" or (name == "span" and str(value).lstrip().startswith("{")))
        ):
            row[name] = _from_json(value, where)
        if name == "corrupted":
            row[name] = _partner(value, where, is_text=is_text)
        if name in _LISTS:
            row[name] = _texts(row[name])
    edges = [row.pop(name, None) for name in ("span_start", "span_end")]
    if edges != [None, None]:
        row["span"] = [_edge(edge, edges, where) for edge in edges]
    if is_text and "implicit" in row:
        given = row["implicit"].strip().lower()
        if given not in _TRUTH:
            raise ProfileError('"implicit" is neither true nor false', expected="true or false", got=given, where=where)
        row["implicit"] = _TRUTH[given]
    return row


def _column(table: Table, by_name: Mapping[str, str], what: str, names: Sequence[str], asked: str | None) -> str | None:
    if asked is not None:
        found = by_name.get(asked, by_name.get(asked.casefold()))
        if found is None:
            raise ProfileError(
                f'file has no column "{asked}"', expected="one of its columns", got=some_of(table.columns),
                where=table.path,
            )  # fmt: skip
        return found
    if names[0] in by_name:
        return by_name[names[0]]
    found_names = [by_name[name] for name in names if name in by_name]
    if len(found_names) > 1:
        option = "--text-column" if names is TEXT_NAMES else "--label-column"
        raise ProfileError(
            f"several columns could hold the {what}",
            expected=f'one, or one named "{names[0]}"',
            got=some_of(found_names),
            where=table.path,
            fix=f"{option} NAME says which",
        )
    return found_names[0] if found_names else None


def _label(table: Table, column: str, one_class: str | None) -> tuple[str | None, str]:
    """The column, or None where it names no class, and a sentence about it."""
    if column == LABEL_NAMES[0]:
        return column, ""  # the profile's own field: the schema says what it may hold
    values = [cells[column] for _, cells in table.records if _is_there(cells.get(column))]
    distinct = list(dict.fromkeys(map(str, values)))
    same = len(distinct) == 1 and len(values) == len(table.records)
    if values and all(isinstance(value, int | float) or _NUMBER.fullmatch(str(value).strip()) for value in values):
        if not same:
            raise ProfileError(
                f'the classes in the column "{column}" are numbers',
                expected="names, e.g. joy and neutral",
                got=some_of(distinct),
                where=table.path,
                fix="write names in their place, or make a file of each class",
            )
        return None, f'the column "{column}" is {distinct[0]} on every row and names no class'
    if same and one_class is not None and distinct != [one_class]:
        return None, f'the column "{column}" is "{distinct[0]}" on every row; they are taken as prompts of {one_class}'
    return column, f'the column "{column}" names the class'


def _said(value: Any, where: str, *, may_be_json: bool) -> dict[str, Any]:
    """A cell that holds a prompt: a text, or messages, which a table of texts writes as JSON."""
    if may_be_json and isinstance(value, str) and _CONVERSATION.match(value):
        value = _from_json(value, where)
    if not isinstance(value, list):
        return {"text": value}
    return {MESSAGES: [_message(one, where) for one in cast("list[Any]", value)]}


def _message(value: Any, where: str) -> dict[str, Any]:
    """A message; a content that is a list of one text is that text, and what is said to be nothing is left out."""
    if not isinstance(value, dict):
        raise ProfileError(
            "message has the wrong shape", expected='{"role": "user", "content": "…"}', got=describe(value), where=where
        )
    message = {key: one for key, one in cast("dict[str, Any]", value).items() if one is not None}
    parts = cast("list[Any]", message["content"]) if isinstance(message.get("content"), list) else []
    if len(parts) == 1 and isinstance(parts[0], dict) and parts[0].get("type") == "text":
        message["content"] = parts[0].get("text")
    return message


def _partner(value: Any, where: str, *, is_text: bool) -> Any:
    """A corrupted partner: a text, messages, or either with its places."""
    if isinstance(value, dict) and isinstance(messages := cast("dict[str, Any]", value).get(MESSAGES), list):
        return value | _said(messages, where, may_be_json=False)
    found = _said(value, where, may_be_json=is_text)
    return found if MESSAGES in found else value


def _edge(edge: Any, edges: Sequence[Any], where: str) -> int:
    if isinstance(edge, int) and not isinstance(edge, bool):
        return edge
    digits = edge.strip() if isinstance(edge, str) else ""
    if digits.isascii() and digits.isdigit() and len(digits) < 10:
        return int(digits)
    raise ProfileError(
        "span is no pair of numbers",
        expected="two whole numbers",
        got=" and ".join(describe(each) for each in edges),
        where=where,
    )


def _from_json(value: Any, where: str) -> Any:
    """A cell that is written as JSON's list or mapping, as what it says; any other as it is."""
    if not (isinstance(value, str) and value.strip()[:1] in ("[", "{")):
        return value
    try:
        return json.loads(value)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ProfileError(
            "cell is no JSON", expected='e.g. [" Mary", " Anna"]', got=value[:60], where=where
        ) from error


def _texts(value: Any) -> list[Any]:
    """One continuation, or several, as a list; whole numbers as they are written."""
    several = cast("list[Any]", value) if isinstance(value, list) else [value]
    return [str(one) if type(one) is int else one for one in several]


def _is_there(value: Any) -> bool:
    return value is not None and value != ""


def _named(columns: Sequence[str]) -> str:
    """Columns that are not read, with the field that was perhaps meant."""
    parts: list[str] = []
    for column in columns[:SHOWN]:
        near = difflib.get_close_matches(column.casefold(), _OTHER_NAMES, n=1, cutoff=0.7)
        meant = f' (is "{near[0]}" meant?)' if near else ""
        parts.append(f'the column "{column}"{meant}' if column else "a column without a name")
    return some_of([*parts, *columns[SHOWN:]])
