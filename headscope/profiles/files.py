"""Reading the files of a profile: bounded, decoded, and never from outside the profile's folder.

A profile may come from a stranger. So a file is read only if it is a plain file (no pipe, no device), no larger than
its limit, UTF-8 (a byte order mark is dropped), and, where it belongs to a folder, inside that folder once every
symbolic link is followed.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
import shlex
import stat
from pathlib import Path
from typing import Any, BinaryIO

from headscope.errors import ProfileError, RequestError

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
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")  # may be half of a pair, or a whole one


def expanded(path: str | Path) -> Path:
    """A path whose leading ``~`` or ``~user`` is that home, which a shell leaves alone in ``--out=~/x``.

    Raises:
        RequestError: nobody knows that home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise RequestError("home folder is not known", got=str(path), fix=f"write the path out, or ./{path}") from error


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


def read_text(path: Path, limit_bytes: int = PROMPT_FILE_LIMIT_BYTES, expected: str = "at least one prompt") -> str:
    """The text of a UTF-8 file, without its byte order mark; ``expected`` is what an empty one lacks.

    Raises:
        ProfileError: missing, not a plain file, not readable, larger than ``limit_bytes``, empty, or not UTF-8.
    """
    data = read_bytes(path, limit_bytes)
    for mark, encoding in _OTHER_MARKS:
        if data.startswith(mark):
            raise _not_utf8(path, f"{encoding} (its byte order mark says so)", encoding)
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise ProfileError("file is empty", expected=expected, where=str(path))
    if b"\0" in data[:4096]:
        raise _not_utf8(path, "zero bytes, as in UTF-16 or a binary file", "UTF-16")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _not_utf8(path, f"byte 0x{data[error.start]:02x} in line {line}", _code_page(data)) from error


class NotPlainError(OSError):
    """A folder, pipe, socket or device where a plain file is wanted."""


def open_plain(path: Path) -> BinaryIO:
    """A plain file, opened to read. A pipe is not waited for.

    Raises:
        OSError: it cannot be opened, or is no plain file (``NotPlainError``).
    """
    # Opening a pipe would wait for its other end; O_NONBLOCK makes that return, so that fstat can refuse it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "a folder (a directory)" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise NotPlainError(errno.EINVAL, kind)
    return os.fdopen(descriptor, "rb")


def json_of(data: bytes) -> Any:
    """The JSON in the bytes of a file.

    Raises:
        ValueError: broken, not UTF-8, or a text in it is half of a surrogate pair, which no file can hold again.
        RecursionError: nested too deeply.
    """
    text = data.decode("utf-8-sig")
    value = json.loads(text)
    if _HALF_PAIR.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"half of a character, U+{ord(error.object[error.start]):04X}") from error
    return value


def read_bytes(path: Path, limit_bytes: int) -> bytes:
    """The bytes of a plain file of at most ``limit_bytes``.

    Raises:
        ProfileError: missing, not a plain file, not readable, or larger.
    """
    try:
        file = open_plain(path)
    except FileNotFoundError as error:
        raise ProfileError("file does not exist", where=str(path), fix="check the path") from error
    except NotPlainError as error:
        raise ProfileError("not a file", expected="a plain file", got=error.strerror, where=str(path)) from error
    except (OSError, ValueError) as error:
        raise ProfileError("file cannot be read", got=str(error), where=str(path)) from error
    with file:
        size_bytes = os.fstat(file.fileno()).st_size
        # Read one byte more than allowed, whatever fstat says: a file can grow while it is read.
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ProfileError(
            "file is too large",
            expected=f"at most {limit_bytes:,} bytes",
            got=f"{max(size_bytes, len(data)):,} bytes",
            where=str(path),
            fix="split the prompts over several profiles",
        )
    return data


def read_limited(path: Path, limit_bytes: int, what: str) -> bytes:
    """The bytes of ``what``, a plain file; RequestError beyond ``limit_bytes``, OSError as it comes."""
    with open_plain(path) as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise RequestError(f"{what} is too large", expected=f"at most {limit_bytes:,} bytes", where=str(path))
    return data


def _code_page(data: bytes) -> str:
    """The code page named in the advice. Never read by it: most bytes are text in several, and other text in each."""
    try:
        is_japanese = any("\u3041" <= character <= "\u30fe" for character in data.decode("cp932"))  # kana
    except UnicodeDecodeError:
        is_japanese = False
    return "CP932" if is_japanese else "CP1252"


def _not_utf8(path: Path, got: str, encoding: str) -> ProfileError:
    pages = " (or the code page it was written in)" if encoding.startswith("CP") else ""
    return ProfileError(
        "file is not UTF-8",
        expected="UTF-8 text",
        got=got,
        where=str(path),
        fix=f'save it as UTF-8 (Excel: "CSV UTF-8"), or convert it: iconv -f {encoding} -t UTF-8 '
        f"{shlex.quote(path.name)} > {shlex.quote(f'new_{path.name}')}{pages}",
    )
