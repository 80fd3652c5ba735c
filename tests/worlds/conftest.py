"""One pass over all worlds, made by the command itself; every test reads what it recorded."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from headscope.worlds import checking
from headscope.worlds.checking import Measured
from tests.end_to_end.conftest import Outcome, type_command


@dataclass(frozen=True)
class Pass:
    """How ``headscope selfcheck --json`` ended, and the tables of each world that it measured on the way."""

    ended: Outcome
    worlds: dict[str, Measured]


@pytest.fixture(scope="session")
def selfcheck() -> Pass:
    """The real command on every world. Only to be read."""
    recorded: dict[str, Measured] = {}
    measure = checking.measure_world

    def recording(world: checking.World, *, seed: int = 0) -> Measured:
        recorded[world.name] = measure(world, seed=seed)
        return recorded[world.name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checking, "measure_world", recording)
        ended = type_command("selfcheck", "--json")
    return Pass(ended, recorded)


@pytest.fixture(scope="session")
def measured(selfcheck: Pass) -> dict[str, Measured]:
    """World -> its tables."""
    return selfcheck.worlds
