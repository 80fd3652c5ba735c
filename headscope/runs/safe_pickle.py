"""Pickles read as data.

A pickle is a program. This reader first walks its instructions without running any and admits only those that build
plain values: numbers, text, bytes, truth values, None, lists, tuples, dicts, sets. Anything that names, calls or
fills an object is refused before a byte of it is executed. Then an unpickler that can look up no name at all runs it.
Last, the values are counted, because a few hundred bytes that refer to themselves can unfold without end.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

from headscope.errors import RequestError
from headscope.profiles.files import read_limited

LIMIT_BYTES = 64 * 2**20
LIMIT_VALUES = 2_000_000

_STRUCTURE = "PROTO FRAME STOP MARK POP POP_MARK DUP GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE"
_NUMBERS = "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT NONE NEWTRUE NEWFALSE"
_STRINGS = (
    "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8"
)
_CONTAINERS = (
    "EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET "
    "ADDITEMS FROZENSET"
)
_ADMITTED = frozenset(" ".join((_STRUCTURE, _NUMBERS, _STRINGS, _CONTAINERS)).split())
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})

# What the pickle module's own pages name as raised on broken input, and what its C code was seen to raise.
_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    MemoryError,
    OverflowError,
    RecursionError,
)


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"pickle asks for {module_name}.{global_name}")

    def persistent_load(self, pid: Any, /) -> NoReturn:
        raise pickle.UnpicklingError("pickle asks for an outside object")


def read_plain_pickle(path: str | Path) -> Any:
    """The value in a pickle file that holds plain builtins only.

    Raises:
        RequestError: missing, too large, broken, or it holds anything else.
    """
    try:
        data = read_limited(Path(path), LIMIT_BYTES, "pickle")
    except (OSError, ValueError) as error:
        raise RequestError("pickle cannot be read", got=str(error), where=str(path)) from error
    return plain_pickle(data, str(path))


def plain_pickle(data: bytes, where: str) -> Any:
    """The value of a pickle given as bytes; ``where`` is what messages name. Raises as ``read_plain_pickle``."""
    _check_instructions(data, where)
    try:
        value = _PlainUnpickler(io.BytesIO(data)).load()
    except _BROKEN as error:
        raise _broken(error, where) from error
    _check_size(value, where)
    return value


def _check_instructions(data: bytes, where: str) -> None:
    try:
        for instruction, argument, _ in pickletools.genops(data):
            if instruction.name not in _ADMITTED:
                raise RequestError(
                    "pickle holds more than plain data and was not run",
                    expected="numbers, text, lists, tuples, dicts",
                    got=f"the instruction {instruction.name}" + (f" {str(argument)[:80]!r}" if argument else ""),
                    where=where,
                    fix="do not open it with pickle.load either, unless you made it yourself",
                )
            # The unpickler reserves memory up to the largest place named.
            if instruction.name in _PUTS and not 0 <= cast("int", argument) <= len(data):
                raise RequestError("pickle is broken", got=f"place {argument} in its memo", where=where)
    except _BROKEN as error:
        raise _broken(error, where) from error


def _check_size(value: Any, where: str) -> None:
    """Walk the value as a reader would, each reference anew, and stop where that takes too long."""
    iterators: list[Iterator[Any]] = [iter((value,))]
    count = 0
    while iterators:
        for item in iterators[-1]:
            count += 1
            if count > LIMIT_VALUES or len(iterators) > 100:
                raise RequestError(
                    "pickle unfolds into too much", expected=f"at most {LIMIT_VALUES:,} values, 100 deep", where=where
                )
            if isinstance(item, str) and not item.isascii():
                _check_text(item, where)
            if isinstance(item, dict):
                content = cast("dict[Any, Any]", item)
                iterators.append(iter((*content.keys(), *content.values())))
                break
            if isinstance(item, list | tuple | set | frozenset):
                iterators.append(iter(cast("Iterable[Any]", item)))
                break
        else:
            iterators.pop()


def _check_text(text: str, where: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError("pickle is broken", got="half of a character in a text", where=where) from error


def _broken(error: BaseException, where: str) -> RequestError:
    return RequestError("pickle is broken", got=f"{type(error).__name__}: {error}"[:200], where=where)
