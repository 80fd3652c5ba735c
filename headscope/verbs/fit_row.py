"""One row of "is my data fit?": what was checked, a light, what was found, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headscope.errors import HeadscopeError
from headscope.profiles.explaining import some_of

Light = Literal["green", "yellow", "red"]
LIGHTS: dict[Light, str] = {
    "red": "no result can be had, or none that means what it says",
    "yellow": "something weakens a result",
    "green": "nothing weakens a result here",
}


@dataclass(frozen=True)
class FitRow:
    """One check of a profile with a model.

    Attributes:
        name: what is checked.
        concept: the concept or task it is checked of; empty where of the whole profile.
        light: see ``LIGHTS``.
        says: what was found, a sentence with its numbers.
        fix: what to do; empty where the light is green.
    """

    name: str
    concept: str
    light: Light
    says: str
    fix: str = ""


def of_prompts(name: str, concept: str, found: Sequence[str], n: int, bad: str, good: str, fix: str) -> FitRow:
    """Yellow where prompts were found, named among the ``n`` that were looked at; green where none was.

    ``bad`` goes on after "3 of 8 prompts", ``good`` is the whole sentence.
    """
    if not found:
        return FitRow(name, concept, "green", good)
    return FitRow(name, concept, "yellow", f"{len(found)} of {n} prompts {bad}: {some_of(found)}", fix)


def in_a_line(error: HeadscopeError) -> str:
    """What an error says of the problem, what was expected and what came, without what to do."""
    lines = [line.strip() for line in str(error).splitlines()]
    return "; ".join(line for line in lines if not line.startswith("what to do: "))
