"""Laws of the engine: all results, in order, each piece run once, whatever was interrupted and whoever ran it."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headscope.engines.engine import Engine, Part, in_process, postponed
from headscope.errors import RequestError
from headscope.runs.shards import PartDone, Shards


@dataclass(frozen=True)
class Piece:
    number: int


PIECES = [Piece(number) for number in range(20)]
ABOUT = {"arms": ["zero(0:0)"]}


class Counted:
    """Squares, counting what was run; fails before the pieces in ``fails``."""

    def __init__(self, *fails: int) -> None:
        self.run: list[int] = []
        self.fails = fails

    def __call__(self, piece: Piece) -> dict[str, Any]:
        if piece.number in self.fails:
            raise MemoryError(piece.number)
        self.run.append(piece.number)
        return {"square": np.array([piece.number**2])}


def squares(results: Any) -> list[int]:
    return [int(result["square"][0]) for result in results]


def shuffled(pieces: Sequence[Any], run: Callable[[Any], Any]) -> Iterator[tuple[int, Any]]:
    """A runner that finishes pieces in another order, as machines do."""
    order = list(enumerate(pieces))
    random.Random(0).shuffle(order)
    return ((index, run(piece)) for index, piece in order)


@pytest.mark.parametrize("runner", [in_process, shuffled])
@pytest.mark.parametrize("keeps", [True, False])
def test_results_come_in_the_order_of_the_plan(tmp_path: Path, runner: Any, keeps: bool) -> None:
    engine = Engine(Shards(tmp_path, "g") if keeps else None, runner)
    counted = Counted()
    assert squares(engine.stage("s", ABOUT)(PIECES, counted)) == [n**2 for n in range(20)]
    assert sorted(counted.run) == list(range(20))


@pytest.mark.parametrize("runner", [in_process, shuffled])
def test_what_was_done_before_a_failure_is_not_run_again(tmp_path: Path, runner: Any) -> None:
    first, second = Counted(13), Counted()
    with pytest.raises(MemoryError):
        list(Engine(Shards(tmp_path, "g"), runner).stage("s", ABOUT)(PIECES, first))
    assert squares(Engine(Shards(tmp_path, "g")).stage("s", ABOUT)(PIECES, second)) == [n**2 for n in range(20)]
    assert first.run
    assert sorted(first.run + second.run) == list(range(20))


def test_another_stage_or_other_arms_find_nothing(tmp_path: Path) -> None:
    list(Engine(Shards(tmp_path, "g")).stage("s", ABOUT)(PIECES, Counted()))
    for name, about in (("t", ABOUT), ("s", {"arms": ["zero(0:1)"]})):
        counted = Counted()
        list(Engine(Shards(tmp_path, "g")).stage(name, about)(PIECES, counted))
        assert len(counted.run) == 20


@pytest.mark.parametrize("of", [1, 3, 25])
def test_parts_share_the_pieces_and_together_are_the_whole(tmp_path: Path, of: int) -> None:
    run: list[int] = []
    for number in range(1, of + 1):
        counted = Counted()
        with pytest.raises(PartDone) as done:
            list(Engine(Shards(tmp_path, "g"), part=Part(number, of)).stage("s", ABOUT)(PIECES, counted))
        assert done.value.exit_code == 0
        run += counted.run
    assert sorted(run) == list(range(20))
    counted = Counted()
    assert squares(Engine(Shards(tmp_path, "g")).stage("s", ABOUT)(PIECES, counted)) == [n**2 for n in range(20)]
    assert counted.run == []


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "-1/4", "a/b", "1/", "/2", "1/2/3", "1.0/2", "١/٢"])
def test_a_malformed_part_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="K/N"):
        Part.parse(text)


def test_a_signal_waits_for_the_end_of_the_piece(tmp_path: Path) -> None:
    counted = Counted()

    def run(piece: Piece) -> dict[str, Any]:
        if piece.number == 4:
            signal.raise_signal(signal.SIGINT)
        return counted(piece)

    with pytest.raises(KeyboardInterrupt):
        list(Engine(Shards(tmp_path, "g")).stage("s", ABOUT)(PIECES, run))
    assert counted.run == [0, 1, 2, 3, 4]
    assert len(Shards(tmp_path, "g")) == 5


def test_a_second_signal_does_not_wait() -> None:
    reached = False
    with pytest.raises(KeyboardInterrupt), postponed():  # noqa: PT012 - how far it comes is the point
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        reached = True
    assert not reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
