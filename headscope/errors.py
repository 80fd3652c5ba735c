"""What can go wrong, in three kinds.

Every message says what was expected, what came, where, and what to do; the command line prints it without a stack
trace and exits with the kind's code: 2 where the request was wrong, 1 where the work itself failed.
"""

from __future__ import annotations

from collections.abc import Collection


class HeadscopeError(Exception):
    """Base of every error headscope raises on purpose.

    The message is built from a one-line statement of the problem and up to four facts, each on its own line; both are
    kept, as ``problem`` and ``facts``.
    """

    exit_code = 1

    def __init__(
        self,
        problem: str,
        *,
        expected: str | None = None,
        got: str | None = None,
        where: str | None = None,
        fix: str | None = None,
    ) -> None:
        facts = (("expected", expected), ("got", got), ("where", where), ("what to do", fix))
        super().__init__("\n".join([problem, *(f"  {name}: {fact}" for name, fact in facts if fact)]))
        self.problem = problem
        self.facts = {name: fact for name, fact in facts if fact}


class RequestError(HeadscopeError):
    """The request cannot be served as it stands: a wrong name, number, file or combination. Exit code 2."""

    exit_code = 2


class ProfileError(RequestError):
    """A profile, or a file of prompts, is missing, malformed or contradicts itself."""


class ModelError(RequestError):
    """A model cannot be loaded, or is not a causal language model whose heads can be found."""


class LawError(HeadscopeError):
    """A loaded model breaks one of the laws that every measurement rests on (see ``models/laws.py``)."""


class WorkError(HeadscopeError):
    """The work failed after the request was accepted: NaN logits, a scorer that broke, memory that ran out."""


class Cancelled(HeadscopeError):  # noqa: N818 - nothing is wrong
    """The work was given up because whoever asked for it does not want it any more."""

    def __init__(self) -> None:
        super().__init__("cancelled")


def one_of(what: str, value: str, known: Collection[str]) -> str:
    """``value``, if it is one of ``known``; RequestError otherwise."""
    if value not in known:
        raise RequestError(f'{what} "{value}" does not exist', expected=", ".join(known), got=value)
    return value
