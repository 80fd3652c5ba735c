"""Reading the files of a profile: bounded, decoded, and never from outside the profile's folder.

A profile may come from a stranger. So a file is read only if it is a plain file (no pipe, no device), no larger than
its limit, UTF-8 (a byte order mark is dropped), and, where it belongs to a folder, inside that folder once every
symbolic link is followed.
"""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

from headscope.errors import ProfileError

PROMPT_FILE_LIMIT_BYTES = 64 * 2**20
YAML_LIMIT_BYTES = 2**18
PROMPT_LIMIT_CHARACTERS = 100_000  # under the longest cell that Python's csv module reads
PROMPT_LIMIT_COUNT = 1_000_000

_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def inside(folder: Path, name: str) -> Path:
    """The file ``name`` of ``folder``, proved to lie inside it.

    Raises:
        ProfileError: the name is absolute or leads out, or a symbolic link on the way does.
    """
    try:
        resolved = (folder / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise ProfileError(f'profile file "{name}" cannot be reached', got=str(error), where=str(folder)) from error
    if Path(name).is_absolute() or not resolved.is_relative_to(folder.resolve()):
        raise ProfileError(
            f'profile file "{name}" is outside the profile\'s folder',
            expected="a file inside the folder, not reached through a link that leads out",
            got=str(resolved),
            where=str(folder),
            fix="copy the file into the folder and name it there",
        )
    return resolved


def read_text(path: Path, limit_bytes: int = PROMPT_FILE_LIMIT_BYTES) -> str:
    """The text of a UTF-8 file, without its byte order mark.

    Raises:
        ProfileError: missing, not a plain file, not readable, larger than ``limit_bytes``, empty, or not UTF-8.
    """
    data = _read_bytes(path, limit_bytes)
    for mark, encoding in _OTHER_MARKS:
        if data.startswith(mark):
            raise _not_utf8(path, f"{encoding} (its byte order mark says so)")
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise ProfileError("file is empty", expected="at least one prompt", where=str(path))
    if b"\0" in data[:4096]:
        raise _not_utf8(path, "zero bytes, as in UTF-16 or a binary file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _not_utf8(path, f"byte 0x{data[error.start]:02x} in line {line}") from error


def _read_bytes(path: Path, limit_bytes: int) -> bytes:
    try:
        # Opening a pipe would wait for its other end; O_NONBLOCK makes that return, so that fstat can refuse it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError as error:
        raise ProfileError("file does not exist", where=str(path), fix="check the path") from error
    except (OSError, ValueError) as error:
        raise ProfileError("file cannot be read", got=str(error), where=str(path)) from error
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "a pipe, socket or device"
        raise ProfileError("not a file", expected="a plain file", got=kind, where=str(path))
    with os.fdopen(descriptor, "rb") as file:
        # Read one byte more than allowed, whatever fstat says: a file can grow while it is read.
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ProfileError(
            "file is too large",
            expected=f"at most {limit_bytes:,} bytes",
            got=f"{max(facts.st_size, len(data)):,} bytes",
            where=str(path),
            fix="split the prompts over several profiles",
        )
    return data


def _not_utf8(path: Path, got: str) -> ProfileError:
    return ProfileError(
        "file is not UTF-8",
        expected="UTF-8 text",
        got=got,
        where=str(path),
        fix=f"convert it, e.g. iconv -f UTF-16 -t UTF-8 {path.name} > new_{path.name}",
    )
