"""How an option is declared: a field of a group, with all that is said of it anywhere.

A group is a frozen dataclass; the field gives the option its name, type and default, and an ``Option`` beside the type
the rest. Command lines, their help, ``docs/reference_cli.md``, the request in a manifest and what ``help()`` says of
the public functions are made of these (``declared``).
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

C = TypeVar("C", bound=Callable[..., Any])

OPTIONS = "options"
"""``Option.request`` of what names a run under its own name."""


@dataclass(frozen=True)
class Check:
    """A law of numbers, with the words that name what it allows."""

    expected: str
    allows: Callable[[float], bool]


ABOVE_ZERO = Check("a number above 0", lambda value: math.isfinite(value) and value > 0)
SHARE = Check("a number above 0 and at most 1", lambda value: 0 < value <= 1)
BELOW_ONE = Check("a number above 0 and below 1", lambda value: 0 < value < 1)


@dataclass(frozen=True)
class Option:
    """What is said of one option beside its name, type and default.

    Attributes:
        help: what it does, as the command line says it.
        panel: heading it stands under in ``--help``; None for what only Python can ask.
        flags: as typed, separated by blanks; made from the name by default.
        check: what its value must be: a law, or the least whole number.
        choices: the words that it, or each of its values, must be one of.
        metavar: what stands for its value in the help.
        name: its parameter on the command line, where that is not the field's.
        typed: its type there, where that is not the field's; what is then left out is None and takes the default.
        negated: given on the command line it is False.
        is_name: a name that may also be a path.
        is_argument: typed without a flag.
        python: what it does, as Python's ``help()`` says it, where that is not the same.
        request: the field of the manifest's request that holds it: ``options`` for the options of the verb, another
            field where it is summed up there; empty where results do not depend on it.
        came_later: its default does not stand in a request, so that requests of before it keep their digests.
    """

    help: str
    panel: str | None = None
    flags: str = ""
    check: Check | int | None = None
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    name: str = ""
    typed: Any = None
    negated: bool = False
    is_name: bool = False
    is_argument: bool = False
    python: str = ""
    request: str = OPTIONS
    came_later: bool = False


@dataclass(frozen=True)
class Declared:
    """One option of a group.

    Attributes:
        field: its name in Python.
        name: its parameter on the command line; empty where it has none.
        type: of its value in Python.
        default: of its value in Python; ``MISSING`` where it must be given.
        option: the rest.
    """

    field: str
    name: str
    type: Any
    default: Any
    option: Option


@cache
def declared(group: type) -> Mapping[str, Declared]:
    """Field -> option, in the order of the group; fields that are no options are left out."""
    hints = get_type_hints(group, include_extras=True)
    found: dict[str, Declared] = {}
    for field in fields(group):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            continue
        kind, *said = get_args(hint)
        for option in said:
            if isinstance(option, Option):
                default = field.default if field.default_factory is MISSING else field.default_factory()
                name = "" if option.panel is None else option.name or field.name
                found[field.name] = Declared(field.name, name, kind, default, option)
    return found


def request_options(group: Any, offered: Iterable[str] | None = None) -> dict[str, Any]:
    """The values of a group that stand among the options of a request.

    ``offered``: fields that the verb has; all of the group by default.
    """
    asked = None if offered is None else frozenset(offered)
    values: dict[str, Any] = {}
    for name, each in declared(type(group)).items():
        value, default = (_plain(each) for each in (getattr(group, name), each.default))
        if each.option.request != OPTIONS or (each.option.came_later and value == default):
            continue
        if asked is None or name in asked:
            values[name] = value
    return values


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def keywords(function: Callable[..., Any]) -> frozenset[str]:
    """The keywords of a public function: its own, and those of the ``TypedDict`` that it unpacks."""
    own = frozenset(inspect.signature(function).parameters)
    unpacked = [get_args(hint) for hint in get_type_hints(function, include_extras=True).values()]
    return own.union(*(getattr(of[0], "__optional_keys__", ()) for of in unpacked if len(of) == 1))


def documented(*groups: type) -> Callable[[C], C]:
    """Add to the ``Args`` of a function what its keywords do, in the words of ``groups``."""

    def told(function: C) -> C:
        offered = keywords(function)
        head, mark, tail = inspect.cleandoc(function.__doc__ or "").partition("\n\nRaises:")
        every = [each for group in groups for each in declared(group).values() if each.field in offered]
        lines = [_line(each) for each in every if f"\n    {each.field}:" not in head]
        args = "" if "\nArgs:" in head else "\n\nArgs:"
        function.__doc__ = "\n".join([head + args, *lines]) + mark + tail
        return function

    return told


def _line(each: Declared) -> str:
    text = re.sub("--([a-z-]+)", lambda flag: flag[1].replace("-", "_"), each.option.python or each.option.help)
    shown = "" if each.default in (MISSING, None) else f"; {each.default!r} by default"
    return f"    {each.field}: {text.rstrip('.')}{shown}."


def grouped(function: str, options: Mapping[str, Any], allowed: Iterable[str], *groups: type[Any]) -> list[Any]:
    """One of each group, of the keywords of a function.

    ``function`` is its name, for the message; each of ``groups`` takes what it has a field for.

    Raises:
        TypeError: a keyword that there is not, in Python's own words.
    """
    if wrong := sorted(options.keys() - frozenset(allowed)):
        raise TypeError(f"{function}() got an unexpected keyword argument '{wrong[0]}'")
    names = [{field.name for field in fields(group)} for group in groups]
    return [
        group(**{name: value for name, value in options.items() if name in own})
        for group, own in zip(groups, names, strict=True)
    ]
