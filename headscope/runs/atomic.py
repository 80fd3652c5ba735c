"""Files that are whole or not there.

Data go to a temporary name beside the file, are flushed to the disk, and take the file's name in one step; whatever
interrupts that (Ctrl-C, a full disk, a kill) leaves the old file or none. New files get the modes the user's umask
gives any new file.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, cast

import numpy as np

from headscope.errors import RequestError, WorkError

TEMPORARY_PREFIX = ".headscope-tmp-"


def write_bytes_atomic(path: str | Path, data: bytes) -> Path:
    """Write ``data`` to ``path``, making its folder where needed; the path written.

    Raises:
        RequestError: ``path`` is a folder, or its folder cannot be written to.
        WorkError: the disk is full or fails.
    """
    path = Path(path)
    if path.is_dir():
        raise RequestError("output path is a folder", expected="a file", got=str(path))
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise RequestError("output path cannot be written", got=error.strerror, where=str(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise WorkError("file could not be written", got=error.strerror, where=str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)
    return path


def write_text_atomic(path: str | Path, text: str) -> Path:
    """Write ``text`` as UTF-8 with line feeds; see ``write_bytes_atomic``."""
    return write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: str | Path, content: Any) -> Path:
    """Write ``content``, reduced by ``plain``, as indented JSON; see ``write_bytes_atomic``."""
    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    return write_text_atomic(path, text + "\n")


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: dicts with text keys, lists, text, numbers, truth values, None.

    numpy scalars and arrays become numbers and lists; NaN becomes None, infinities the text "Infinity" and
    "-Infinity", because JSON has no word for them; tuples and sets become lists, sets in sorted order. Bytes of a
    file's name that are no UTF-8 (half surrogate pairs in Python) are spelled, ``\\udce9``.

    Raises:
        WorkError: something else.
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value) if value.isascii() else _spelled(value)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {_spelled(str(key)): plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, Set):
        return sorted(map(plain, cast("Set[Any]", value)))
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(item) for item in cast("Sequence[Any]", value)]
    raise WorkError("value has no place in JSON", expected="plain data", got=type(value).__name__)


def _spelled(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def canonical_json(content: Any) -> str:
    """``content`` as JSON in one form only: sorted keys, no spaces. What digests are taken of."""
    return json.dumps(plain(content), sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def check_writable(path: str | Path) -> None:
    """Prove, before any work, that a file could be written at ``path``; nothing is created.

    Raises:
        RequestError: it is a folder, a parent of it is a file, or the folder may not be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise RequestError("output path is a folder", expected="a file", got=str(path), fix=f"{path / 'result.json'}")
    check_folder_writable(path.parent)


def check_folder_writable(folder: str | Path) -> None:
    """Prove, before any work, that files could be written in ``folder``, which need not exist; nothing is created.

    Raises:
        RequestError: it or a parent of it is a file, or the nearest existing folder may not be written to.
    """
    nearest = Path(folder).absolute()
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    if not nearest.is_dir():
        raise RequestError("output folder cannot be made", expected="a folder", got="a file", where=str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise RequestError("output folder cannot be written to", got="no permission", where=str(nearest))


def _flush_folder(folder: Path) -> None:
    """Make the new name durable; where a folder cannot be opened or flushed the file itself is still whole."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)
