"""The header of a GGUF file, llama.cpp's format: its settings, and which tensor lies where, stored how.

One file holds weights, configuration, tokenizer and chat template. The header is read here before anything else is, so
that a file that is truncated, split, or of another kind is named as such and never half loaded. Only the header is
read: of an array its length, of a tensor its place.
"""

from __future__ import annotations

import importlib
import math
import mmap
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headscope.errors import ModelError

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_MOST_DIMENSIONS = 8
_PART = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")
_AGAIN = "download or copy the file again; its size must be that of the original"


@dataclass(frozen=True)
class StoredTensor:
    """One tensor: its shape in torch's order, the type it is stored in (F32, Q4_1, ...), and its bytes in the file."""

    name: str
    shape: tuple[int, ...]
    kind: str
    start: int
    n_bytes: int

    @property
    def n_weights(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class GgufFile:
    """The header of a GGUF file.

    Attributes:
        path: the file.
        settings: by key each setting that is a number or a text, and of each array its length.
        tensors: every tensor of the file.
    """

    path: Path
    settings: dict[str, Any]
    tensors: tuple[StoredTensor, ...]

    @property
    def architecture(self) -> str:
        """The family, as llama.cpp names it."""
        return str(self.settings["general.architecture"])

    def setting(self, key: str) -> Any:
        """The setting of that key under the architecture's name; None where the file does not say."""
        return self.settings.get(f"{self.architecture}.{key}")

    def tensor(self, name: str) -> StoredTensor | None:
        """The tensor of that name; None where there is none."""
        return next((tensor for tensor in self.tensors if tensor.name == name), None)

    def weights_by_type(self) -> dict[str, int]:
        """How many weights are stored in each type, most first."""
        counts: dict[str, int] = {}
        for tensor in self.tensors:
            counts[tensor.kind] = counts.get(tensor.kind, 0) + tensor.n_weights
        return dict(sorted(counts.items(), key=lambda item: -item[1]))


def gguf_at(name: str) -> Path | None:
    """The GGUF file of that name, by its ending or its first bytes; None where the name is of something else.

    Raises:
        ModelError: the name ends as such a file's does, and there is none.
    """
    file = Path(name).expanduser()
    try:
        if file.is_file():
            return file if file.suffix.lower() == ".gguf" or _first_bytes(file) == MAGIC else None
        ends_so = file.suffix.lower() == ".gguf" and not file.exists()
    except (OSError, ValueError):
        return None  # no file can have such a name, or it cannot be read: the search for a folder says so
    if ends_so:
        raise ModelError(f'there is no file "{name}"', expected="a GGUF file", where=str(file.absolute().parent))
    return None


def one_of_several(folder: Path, files: Sequence[Path]) -> Path:
    """The one GGUF file of a folder; ModelError where it holds several."""
    if len(files) > 1:
        refuse_split(str(folder), files[0])
        raise ModelError(
            f'"{folder}" holds several GGUF files',
            expected="one of them",
            got=", ".join(file.name for file in files),
            where=str(folder),
            fix=f"name one: --model {files[0]}",
        )
    return files[0]


def refuse_split(name: str, file: Path, count: int = 1) -> None:
    """ModelError where the file is one part of several, by its name or by ``count``, what its header says."""
    match = _PART.match(file.name)
    count = max(count, int(match["count"]) if match else 1)
    if count < 2:
        return
    stem = match["stem"] if match else file.stem
    names = [f"{stem}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
    missing = [part for part in names if not (file.parent / part).is_file()]
    first = "" if not missing else f"fetch the missing part{'s' if len(missing) > 1 else ''}, then "
    raise ModelError(
        f'"{name}" is a GGUF file that was split into {count} parts',
        expected="one file with all weights",
        got=f"{len(missing)} of its parts are missing: {', '.join(missing)}" if missing else f"{count} parts",
        where=str(file.parent),
        fix=f"{first}merge them (llama.cpp's llama-gguf-split --merge {names[0]} {stem}.gguf), and name that file",
    )


def read_gguf(name: str, file: Path) -> GgufFile:
    """The header of a file.

    Raises:
        ModelError: it is no GGUF file, truncated, damaged, split, holds no language model, or gguf is not installed.
    """
    begin = _first_bytes(file)
    if begin != MAGIC:
        raise ModelError(
            f'"{name}" is no GGUF file, though it ends so',
            expected=f"a file that begins with {MAGIC!r}", got=f"{begin!r}" if begin else "an empty file",
            where=str(file), fix=_AGAIN,
        )  # fmt: skip
    sizes = _type_sizes(name)
    size = file.stat().st_size
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            header = _header(name, file, _Reader(content), sizes)
    except (struct.error, UnicodeDecodeError, EOFError) as error:
        raise ModelError(
            f'"{name}" is truncated or damaged: its header cannot be read to its end',
            got=f"{size:,} bytes; {type(error).__name__}: {error}",
            where=str(file),
            fix=_AGAIN,
        ) from error
    end = max((tensor.start + tensor.n_bytes for tensor in header.tensors), default=0)
    if end > size:
        raise ModelError(
            f'"{name}" is truncated', expected=f"{end:,} bytes, by its header", got=f"{size:,} bytes",
            where=str(file), fix=_AGAIN,
        )  # fmt: skip
    _refuse_other_kinds(name, header)
    return header


def require_gguf(problem: str) -> Any:
    """The module ``gguf``; ModelError with that problem where it is not installed."""
    try:
        return importlib.import_module("gguf")
    except ImportError as error:
        raise ModelError(problem, fix='pip install "headscope[gguf]"') from error


class _Reader:
    """Values of a header one after the other; EOFError or struct.error at the end of the file."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self.position = 0

    def take(self, letters: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{letters}", self._content, self.position)
        self.position += struct.calcsize(f"<{letters}")
        return values

    def skip(self, n_bytes: int) -> int:
        """Pass over bytes; returns where they began."""
        start, end = self.position, self.position + n_bytes
        if end > len(self._content):
            raise EOFError(f"{end:,} bytes are needed")
        self.position = end
        return start

    def text(self) -> str:
        (length,) = self.take("Q")
        start = self.skip(length)
        return self._content[start : start + length].decode("utf-8")

    def value(self, kind: int) -> Any:
        """A number or a text; of an array its length."""
        if kind in _FORMATS:
            return self.take(_FORMATS[kind])[0]
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            raise EOFError(f"a value of the unknown kind {kind}")
        of, count = self.take("IQ")
        if of in _FORMATS:
            self.skip(count * struct.calcsize(f"<{_FORMATS[of]}"))
        elif of == _TEXT:
            for _ in range(count):
                self.skip(self.take("Q")[0])
        else:
            raise EOFError(f"an array of the unknown kind {of}")
        return count


def _header(name: str, file: Path, reader: _Reader, sizes: dict[int, tuple[str, int, int]]) -> GgufFile:
    reader.skip(len(MAGIC))
    (version,) = reader.take("I")
    if version not in _VERSIONS:
        raise ModelError(
            f'"{name}" is a GGUF file of a version that is not read',
            expected="version 2 or 3, little endian", got=str(version), where=str(file),
            fix="convert the model anew with a current llama.cpp",
        )  # fmt: skip
    n_tensors, n_settings = reader.take("QQ")
    settings: dict[str, Any] = {}
    for _ in range(n_settings):
        key = reader.text()
        settings[key] = reader.value(reader.take("I")[0])
    table = [_entry(reader) for _ in range(n_tensors)]
    alignment = settings.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise EOFError(f"an alignment of {alignment}")
    data = math.ceil(reader.position / alignment) * alignment
    tensors: list[StoredTensor] = []
    for tensor, shape, kind, offset in table:
        if kind not in sizes:
            raise ModelError(
                f'"{name}" holds weights in a type that is not known here',
                expected="a type that the gguf package knows", got=f"type {kind} of {tensor}", where=str(file),
                fix="pip install -U gguf; or take a file of another quantization",
            )  # fmt: skip
        label, n_in_block, n_bytes = sizes[kind]
        tensors.append(StoredTensor(tensor, shape, label, data + offset, math.prod(shape) // n_in_block * n_bytes))
    return GgufFile(file, settings, tuple(tensors))


def _entry(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape, type and offset of a tensor."""
    name = reader.text()
    (n_dimensions,) = reader.take("I")
    if n_dimensions > _MOST_DIMENSIONS:
        raise EOFError(f"a tensor of {n_dimensions} dimensions")
    shape = reader.take(f"{n_dimensions}Q")
    kind, offset = reader.take("IQ")
    return name, tuple(reversed(shape)), kind, offset


def _refuse_other_kinds(name: str, header: GgufFile) -> None:
    count = header.settings.get("split.count", 1)
    refuse_split(name, header.path, count if isinstance(count, int) else 1)
    holds = str(header.settings.get("general.type", "model"))
    if holds != "model" or "general.architecture" not in header.settings or not header.tensors:
        raise ModelError(
            f'"{name}" is a GGUF file without a model',
            expected="a model: an architecture and its weights",
            got=f"general.type {holds}, {len(header.tensors)} tensors",
            where=str(header.path),
            fix="name the file of the model itself",
        )


def _type_sizes(name: str) -> dict[int, tuple[str, int, int]]:
    """By number each type: its name, how many weights a block of it holds, and in how many bytes."""
    gguf = require_gguf(f'"{name}" is a GGUF file, and gguf is not installed')
    return {int(kind): (str(kind.name), *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}


def _first_bytes(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(len(MAGIC))
