"""An edit read back from its file, bound to the model that it was made on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headscope.models.edit_format import EditRecord, read_record
from headscope.models.editing import HeadEdit


def load_edit(path: str | Path, *, any_model: bool = False) -> HeadEdit:
    """The edit that ``model.save_edit`` or ``headscope edits save`` wrote, ready for ``with model.edit(...)``.

    Args:
        path: the file.
        any_model: let it be used on a model with another fingerprint; its heads must exist there, and its values fit.

    Raises:
        RequestError: there is no such file, it is damaged or something else, or a newer headscope wrote it.
    """
    return edit_of(read_record(path), any_model=any_model)


def edit_of(record: EditRecord, *, any_model: bool = False) -> HeadEdit:
    """The edit of a record."""
    kind: Any = record.kind
    bias: Any = record.value_bias
    return HeadEdit(
        ",".join(record.heads),
        kind,
        dict(record.values) or None,
        value_bias=bias,
        factor=record.factor,
        about=record.about,
        only_for=None if any_model else record.model["fingerprint"],
    )
