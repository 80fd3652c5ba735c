"""A command of the command line, made of a function of groups of options (``settings``).

``@command("model seed json")`` gives the function a command whose options are those, in this order, found by name among
the groups that the function's annotations name; a group may hold groups. What is typed is checked and put into the
groups; the function gets these. Numbers are checked here, before any model is loaded; a leading ``~`` of a path is
expanded here, because no shell does it in ``--out=~/runs``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from headscope.errors import one_of
from headscope.settings.option import Check, Declared, declared

Values = Mapping[str, Any]
OFFERED = "__headscope_options__"
"""Attribute of a command: its options as declared."""


@dataclass(frozen=True)
class Called:
    """The call of a command.

    Attributes:
        context: typer's.
        fields: the fields of its groups that its options fill.
    """

    context: typer.Context
    fields: frozenset[str]


def command(names: str, **defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function of groups.

    ``names`` are in the order of its help; ``defaults``: of options that it begins otherwise than their group.
    """

    def made(function: Callable[..., None]) -> Callable[..., None]:
        hints = {name: hint for name, hint in get_type_hints(function).items() if name != "return"}
        known = {each.name: each for hint in hints.values() for each in _options_of(hint)}
        offered = [known[name] for name in names.split()]

        @functools.wraps(function)
        def run(context: typer.Context, **values: Any) -> None:
            called = Called(context, frozenset(each.field for each in offered))
            given = {each.field: _value(each, values[each.name]) for each in offered}
            given = {name: value for name, value in given.items() if value is not MISSING}
            for each in offered:
                if each.option.choices and (value := given.get(each.field)) is not None:
                    for one in [value] if isinstance(value, str) else value:
                        one_of(each.name.replace("_", " "), one, each.option.choices)
            function(**{name: _group(hint, given, called) for name, hint in hints.items()})

        parameters = [_parameter(each, defaults.get(each.name, MISSING)) for each in offered]
        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        run.__signature__ = inspect.Signature([context, *parameters])  # pyright: ignore[reportAttributeAccessIssue]
        setattr(run, OFFERED, tuple(offered))
        run.__annotations__ = {each.name: each.annotation for each in (context, *parameters)}
        return run

    return made


def _options_of(group: type) -> Iterator[Declared]:
    """The options of a group and of the groups it holds."""
    if not is_dataclass(group):
        return
    yield from (each for each in declared(group).values() if each.name)
    for hint in get_type_hints(group).values():
        yield from _options_of(hint)


def _group(group: Any, given: Values, called: Called) -> Any:
    """A group of what was given; what was not is as the group has it."""
    if group is Called:
        return called
    inner = {name: hint for name, hint in get_type_hints(group).items() if is_dataclass(hint)}
    mine = {name: given[name] for name, each in declared(group).items() if each.name and name in given}
    return group(**mine, **{name: _group(hint, given, called) for name, hint in inner.items()})


def _value(each: Declared, value: Any) -> Any:
    """What an option means in Python; MISSING where it was left out for the group to say."""
    if each.option.negated:
        return not value
    if value is None or (each.option.typed is bool and not value):
        return MISSING
    return value


def _parameter(each: Declared, default: Any) -> inspect.Parameter:
    """An option as typer reads it."""
    option = each.option
    kind = option.typed or each.type
    default = _default(each) if default is MISSING else default
    law = option.check
    if option.is_name or Path in (kind, *get_args(kind)):
        callback: Callable[[Any], Any] | None = expanded
    else:
        callback = _checked(law) if isinstance(law, Check) else None
    common: dict[str, Any] = {"help": option.help, "callback": callback, "metavar": option.metavar}
    if option.is_argument:
        said = typer.Argument(**common, show_default=default is not MISSING)
    else:
        flags = option.flags.split() or ["--" + each.name.replace("_", "-")]
        least = law if isinstance(law, int) else None
        said = typer.Option(*flags, **common, min=least, rich_help_panel=option.panel or None)
    return inspect.Parameter(
        each.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is MISSING else default,
        annotation=Annotated[kind, said],
    )


def _default(each: Declared) -> Any:
    """What a command line begins with where nothing is typed."""
    typed = each.option.typed
    if each.option.negated:
        return not each.default
    if typed is bool:
        return bool(each.default)
    return None if typed is not None and type(None) in get_args(typed) else each.default


def _checked(law: Check) -> Callable[[float | None], float | None]:
    def check(value: float | None) -> float | None:
        if value is not None and not law.allows(value):
            raise typer.BadParameter(f"expected {law.expected}, got {value:g}")
        return value

    return check


def expanded(value: str | Path | None) -> str | Path | None:
    """A path, or a name that may be one, its leading ``~`` expanded: the callback of every such option."""
    if value is None or not str(value).startswith("~"):
        return value
    from headscope.profiles.files import expanded as in_full

    return type(value)(in_full(value))
