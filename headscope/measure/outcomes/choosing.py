"""The outcomes that are asked for beside headscope's own: found by name, or made of what they are named by.

What may be asked for, as ``--outcome`` or in ``Study(outcomes=[...])``:

- ``NAME``: a registered outcome, or ``refusal``;
- ``regex:PATTERN``, ``classifier:MODEL`` or ``classifier:MODEL#LABEL``; with ``NAME=`` before it under that name;
- ``FILE.py:NAME`` or ``MODULE:NAME``: an outcome of the user's own code (``own_code``).

What was made is registered, so that its name alone finds it from then on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from headscope.errors import RequestError
from headscope.measure.outcomes.classifiers import classifier_outcome
from headscope.measure.outcomes.outcome import REGISTERED, Outcome, check_name
from headscope.measure.outcomes.own_code import outcome_of_code
from headscope.measure.outcomes.patterns import regex_outcome
from headscope.measure.outcomes.refusal import REFUSALS

BUILT_IN: Mapping[str, Outcome] = {REFUSALS.name: REFUSALS}
"""Outcomes of text that are measured on request only; one's own of the same name goes before."""

_KINDS: Mapping[str, Callable[[str, str], Outcome]] = {"regex": regex_outcome, "classifier": classifier_outcome}
_OF_A_KIND = re.compile(rf"(?:(?P<name>[^=:]*)=)?(?P<kind>{'|'.join(_KINDS)}):(?P<what>.*)", re.DOTALL)
_FORMS = "NAME, FILE.py:NAME, MODULE:NAME, regex:PATTERN or classifier:MODEL#LABEL"


def chosen_outcomes(asked: Sequence[str]) -> list[Outcome]:
    """The outcomes asked for, in their order; those that were not registered before are made and registered.

    Raises:
        RequestError: one is not known or cannot be made, or two have one name.
    """
    if len(set(asked)) < len(asked):
        raise RequestError("outcomes must be named once each", got=", ".join(asked))
    chosen: dict[str, Outcome] = {}
    for each in asked:
        one = _made(each)
        if one.name in chosen:
            raise RequestError(
                f'two outcomes have the name "{one.name}"', expected="outcomes named once each", got=", ".join(asked)
            )
        chosen[one.name] = one
    REGISTERED.update(chosen)
    return list(chosen.values())


def _made(asked: str) -> Outcome:
    of_a_kind = _OF_A_KIND.fullmatch(asked)
    if of_a_kind is not None:
        name = of_a_kind["name"]
        if name is not None:
            check_name(name)
        return _KINDS[of_a_kind["kind"]](of_a_kind["what"], name or "")
    if ":" in asked:
        return outcome_of_code(asked, _FORMS)
    known = {**BUILT_IN, **REGISTERED}
    if asked not in known:
        raise RequestError(
            f'outcome "{asked}" is not registered',
            expected=f"{', '.join(known)}; or {_FORMS}",
            fix=f"name the file that holds it, {asked}.py:NAME, or import what registers it: a function under "
            "@headscope.outcome(name, unit=...)",
        )
    return known[asked]
