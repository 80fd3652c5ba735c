"""What pydantic found wrong with data read from a file, in headscope's words.

Of the problems of a union the one deepest in the data is told, because it belongs to the form the author meant.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from headscope.errors import HeadscopeError

M = TypeVar("M", bound=BaseModel)
Place = tuple[str | int, ...]

_GOT_LIMIT = 60
SHOWN = 5
_KINDS = {"int": "a number", "float": "a number", "str": "text"}


@dataclass(frozen=True)
class Misfit:
    """One place where data does not fit its schema, e.g. ``("concepts", "anger", "lexicon", 0)``."""

    place: Place
    expected: str
    got: str

    @property
    def name(self) -> str:
        """The place as one would write it, ``concepts.anger.lexicon[0]``."""
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place]
        return "".join(parts).removeprefix(".") or "the whole"


def first_misfit(error: ValidationError, data: object) -> Misfit:
    """The most telling of the problems of ``error``, found while validating ``data``."""
    problems = error.errors(include_url=False, include_context=False)
    telling = max(problems, key=lambda problem: len(problem["loc"]))
    place = _place_in(data, telling["loc"])
    kind, message = telling["type"], telling["msg"]
    if kind == "missing":
        return Misfit(place, "this field", "nothing")
    if kind == "extra_forbidden":
        return Misfit(place, "no field of this name", f'"{place[-1]}"')
    return Misfit(
        place, message.removeprefix("Input should be ").removeprefix("Value error, "), describe(telling["input"])
    )


def fitted(schema: type[M], data: Any, where: str, kind: type[HeadscopeError]) -> M:
    """``data`` in the form of ``schema``; an error of ``kind`` where it does not fit."""
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        misfit = first_misfit(error, data)
        raise kind(
            f"{misfit.name} has the wrong shape", expected=misfit.expected, got=misfit.got, where=where
        ) from error


def some_of(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def describe(value: object) -> str:
    """A value in a few words: its kind, and its beginning where it is short enough to help."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        keys = ", ".join(map(str, cast("dict[Hashable, Any]", value)))
        return f"a mapping with the keys {_cut(keys)}" if keys else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(cast('list[Any]', value))}"
    if isinstance(value, int) and value.bit_length() > _GOT_LIMIT * 4:  # Python writes out only so many digits
        return f"a number beyond 2^{value.bit_length() - 1}"
    kind = "a truth value" if isinstance(value, bool) else _KINDS.get(type(value).__name__, type(value).__name__)
    return f"{kind}: {_cut(repr(value))}"


def _place_in(data: object, location: Place) -> Place:
    """``location`` without the tags pydantic adds for the members of a union."""
    place: list[str | int] = []
    current = data
    for index, part in enumerate(location):
        if isinstance(current, dict) and part in current:
            current = cast("dict[Hashable, Any]", current)[part]
        elif isinstance(current, list) and isinstance(part, int) and part < len(cast("list[Any]", current)):
            current = cast("list[Any]", current)[part]
        elif not (
            index == len(location) - 1 and isinstance(current, dict) and isinstance(part, str) and "[" not in part
        ):
            continue
        place.append(part)
    return tuple(place)


def _cut(text: str) -> str:
    return text if len(text) <= _GOT_LIMIT else text[: _GOT_LIMIT - 1] + "…"
