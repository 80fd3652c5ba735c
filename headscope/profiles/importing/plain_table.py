"""A table of prompts and answers by common names, capitals aside: which column is what, and what is not read."""

from __future__ import annotations

from headscope.errors import ProfileError
from headscope.profiles.columns import Table
from headscope.profiles.explaining import some_of
from headscope.profiles.importing.cells import following, mapping_of, text_of, words_of
from headscope.profiles.importing.kinds import Cells, Found, Importer, Left, TaskRow, Wanted, each

NAMES: dict[str, tuple[str, ...]] = {
    "prompt": ("text", "prompt", "question", "clean", "clean_prompt", "sentence"),
    "answer": ("answers", "answer", "correct", "correct_answer", "target", "completion", "expected"),
    "foil": ("foils", "foil", "wrong", "incorrect", "incorrect_answer", "wrong_answer", "distractor"),
    "corrupted": ("corrupted", "corrupted_prompt", "counterfactual", "counterfactual_prompt"),
    "template": ("template", "template_id"),
    "task": ("concept", "task"),
}


def read(table: Table, _: Wanted) -> Found:
    """The rows of a table.

    Raises:
        ProfileError: no column, or several, could hold the prompt or the answer.
    """
    columns = {what: _column(table, what) for what in NAMES}
    for what in ("prompt", "answer"):
        if columns[what] is None:
            raise ProfileError(
                f"no column, or more than one, could hold the {what}",
                expected=f"one of {', '.join(NAMES[what])}",
                got=some_of(table.columns),
                where=table.path,
            )
    spaced: list[str] = []

    def one(cells: Cells) -> TaskRow | Left:
        def value(what: str) -> object:
            return cells.get(columns[what] or "")

        prompt = value("prompt")
        if not isinstance(prompt, str):
            return Left("it has no prompt")
        right, wrong = (
            [(word, following(prompt, word)) for word in words_of(value(what))] for what in ("answer", "foil")
        )
        spaced.extend(word for word, follows in (*right, *wrong) if word != follows)
        if not right:
            return Left("it has no answer")
        other = mapping_of(value("corrupted"))
        corrupted = text_of(value("corrupted") if other is None else other.get("text"))
        answers, foils = (tuple(follows for _, follows in side) for side in (right, wrong))
        return TaskRow(prompt, answers, foils, corrupted=corrupted, template=text_of(value("template")),
                       task=text_of(value("task")))  # fmt: skip

    found = Found(list(each(table, one)))
    found.notes += [f'the column "{column}" holds the {what}' for what, column in columns.items() if column is not None]
    if spaced:
        found.notes.append(f"a space was put before {len(spaced)} answers and foils, such as {spaced[0]!r}")
    unread = [f'"{name}"' for name in table.columns if name and name not in columns.values()]
    if unread:
        found.notes.append(f"not read: the columns {some_of(unread)}")
    return found


def _column(table: Table, what: str) -> str | None:
    found = [column for column in table.columns if column.casefold() in NAMES[what]]
    return found[0] if len(found) == 1 else None


TABLE = Importer(
    "table",
    f"one of {', '.join(NAMES['prompt'])}, and one of {', '.join(NAMES['answer'])}",
    NAMES["prompt"],
    lambda table: _column(table, "prompt") is not None and _column(table, "answer") is not None,
    read,
)
