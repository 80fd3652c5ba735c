"""``headscope selfcheck`` passes on the worlds as they are, and says so where anything planted is not found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace

import pytest

from headscope.errors import RequestError
from headscope.heads import Head
from headscope.worlds import checking, designs
from headscope.worlds.catalog import World, worlds
from headscope.worlds.checking import Measured, findings, measure_world
from headscope.worlds.texts import CONCEPTS
from tests.end_to_end.conftest import type_command
from tests.worlds.conftest import Pass

GRATITUDE, ANGER = CONCEPTS


def test_the_command_agrees_with_every_plan_and_exits_0(selfcheck: Pass) -> None:
    assert selfcheck.ended.code == 0, selfcheck.ended.err
    said = selfcheck.ended.json
    assert said["agrees"] is True
    assert said["n_wrong"] == 0
    assert set(said["worlds"]) == {world.name for world in worlds()}
    assert all(question.endswith("?") for question in said["worlds"].values())
    rows = said["findings"]
    assert all(row["agrees"] is True for row in rows)
    # Of each planted head or set a row for each concept, so nothing can agree by being left out.
    for world in worlds():
        for planted in world.planted:
            found = [row["concept"] for row in rows if (row["world"], row["part"]) == (world.name, planted.part)]
            assert found == list(CONCEPTS)


def test_json_has_null_where_a_claim_says_nothing_and_numbers_elsewhere(selfcheck: Pass) -> None:
    rows = selfcheck.ended.json["findings"]
    whole_model = [row for row in rows if row["part"] == "the model"]
    assert {row["planted_nats"] for row in whole_model} == {None}
    planted = [row for row in rows if row["found_nats"] is not None]
    assert all(isinstance(row["found_nats"], float) for row in planted)
    assert len(planted) == sum(len(world.planted) for world in worlds()) * len(CONCEPTS)


def _claim(world: World, part: str, **changes: object) -> World:
    """The world with one planted claim changed."""
    return replace(world, planted=tuple(replace(p, **changes) if p.part == part else p for p in world.planted))


FALSIFIED: dict[str, tuple[str, Callable[[World], World], str]] = {
    "a verdict": (
        "writer",
        lambda w: _claim(w, "decoy", verdicts=dict.fromkeys(CONCEPTS, "carrier")),
        "decoy",
    ),
    "an effect of 1 % more": (
        "writer",
        lambda w: _claim(w, "writer of gratitude", effect_nats={GRATITUDE: -4.04}),
        "writer of gratitude",
    ),
    "attention where there is none": (
        "diffuse",
        lambda w: _claim(w, "diffuse writer", attends=frozenset({GRATITUDE})),
        "diffuse writer",
    ),
    "no attention where there is some": ("writer", lambda w: _claim(w, "decoy", attends=frozenset()), "decoy"),
    "where it reads": (
        "elsewhere",
        lambda w: _claim(w, "reads it at the readout", reads={GRATITUDE: "span"}),
        "reads it at the readout, by attention",
    ),
    "a joint effect": ("redundant", lambda w: _claim(w, "the pair", effect_nats={}), "the pair"),
    "another head as the strongest": (
        "suppressor",
        lambda w: _claim(w, "suppressor", effect_nats={GRATITUDE: 9.0}),
        "largest effect",
    ),
    "a head that the plan does not know": (
        "writer",
        lambda w: replace(w, planted=tuple(p for p in w.planted if p.part != "decoy")),
        "14 other heads",
    ),
    "a concept that is not shown": ("writer", lambda w: replace(w, shown=False), "the model"),
    "a concept that is shown": ("noise", lambda w: replace(w, shown=True), "the model"),
    "a verdict on noise": ("noise", lambda w: replace(w, others="no effect"), "16 other heads"),
}


@pytest.mark.parametrize("name", FALSIFIED)
def test_a_falsified_plan_is_reported_with_exit_code_1(
    name: str, measured: dict[str, Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    world_name, falsify, part = FALSIFIED[name]
    falsified = {w.name: falsify(w) if w.name == world_name else w for w in worlds()}
    monkeypatch.setattr(checking, "worlds", lambda: tuple(falsified.values()))
    monkeypatch.setattr(checking, "measure_world", lambda world, *, seed: replace(measured[world.name], world=world))
    ended = type_command("selfcheck", "--json")
    assert ended.code == 1
    wrong = [row for row in ended.json["findings"] if not row["agrees"]]
    assert ended.json["agrees"] is False
    assert ended.json["n_wrong"] == len(wrong) > 0
    assert part in {row["part"] for row in wrong}
    assert {row["world"] for row in wrong} == {world_name}
    said = type_command("selfcheck", "--quiet")
    assert said.code == 1
    assert said.out.startswith(f"selfcheck FAILED: {len(wrong)} of ")


def test_a_model_that_is_not_what_was_planned_is_found_out() -> None:
    """The plan stays, the weights change: a decoy that writes a little, and a writer 2 % too strong."""
    world = worlds()[0]
    built = {**world.designs, Head(1, 3): designs.writer(0.3, GRATITUDE), Head(2, 0): designs.writer(3.06, ANGER)}
    table = findings(measure_world(dataclasses.replace(world, designs=built)))
    wrong = table[~table["agrees"].astype(bool)]
    assert set(zip(wrong["part"], wrong["concept"], strict=True)) == {
        ("decoy", GRATITUDE),
        ("decoy", ANGER),  # it no longer looks for anger
        ("writer of anger", ANGER),
    }


def test_worlds_are_chosen_by_name(measured: dict[str, Measured], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "measure_world", lambda world, *, seed: measured[world.name])
    told: list[tuple[str, int, int]] = []
    table = checking.check_worlds(["noise", "writer"], progress=lambda *step: told.append(step))
    assert list(dict.fromkeys(table["world"])) == ["writer", "noise"]  # in the order of the check
    assert told == [("worlds", 0, 2), ("worlds", 1, 2), ("worlds", 2, 2)]


def test_a_world_that_does_not_exist_is_named() -> None:
    with pytest.raises(RequestError, match='no world "wonderland"') as caught:
        checking.check_worlds(["wonderland"])
    assert "redundant" in str(caught.value)
