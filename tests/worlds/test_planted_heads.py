"""What is planted in each world is found by the screen, the sweep, the ranking and the verdicts.

Read from the tables themselves and not from the check's own column of agreement; the places of the planted heads come
from the designs.
"""

from __future__ import annotations

from typing import Any

import pytest

from headscope.models.head_model import HeadModel
from headscope.worlds.catalog import worlds
from headscope.worlds.checking import Measured
from headscope.worlds.texts import CONCEPTS
from tests.tolerances import DESIGN, effect_error, pass_error

Worlds = dict[str, Measured]
GRATITUDE, ANGER = CONCEPTS
ALPHA = 0.05
BLIND = 1e-3  # by design 0; beside it stands what noise in the stream adds to a score


def verdict(measured: Measured, heads: str, concept: str) -> Any:
    table = measured.verdicts
    return table[(table["heads"] == heads) & (table["concept"] == concept)].iloc[0]


def ranked(measured: Measured, heads: str, concept: str) -> Any:
    table = measured.heads
    return table[(table["heads"] == heads) & (table["concept"] == concept)].iloc[0]


def place(world: str, part: str) -> str:
    """Where the world's design has that part."""
    (heads,) = [p.heads for w in worlds() if w.name == world for p in w.planted if p.part == part]
    return heads


@pytest.fixture(scope="module")
def writer_model() -> HeadModel:
    return next(world for world in worlds() if world.name == "writer").load()


def is_attending(measured: Measured, heads: str, concept: str) -> bool:
    """By an interval beyond the smallest attention that matters."""
    row = verdict(measured, heads, concept)
    assert (row["attends"] == "yes") == (row["attention_share_low"] > row["threshold_share"])
    return row["attends"] == "yes"


def share(measured: Measured, heads: str, concept: str, region: str) -> float:
    table = measured.regions
    layer, head = map(int, heads.split(":"))
    rows = table[(table["layer"] == layer) & (table["head"] == head) & (table["concept"] == concept)]
    return float(rows.set_index("region")["share"][region])


def test_the_writer_is_ranked_first_and_a_carrier(measured: Worlds) -> None:
    for concept in CONCEPTS:
        writer = place("writer", f"writer of {concept}")
        assert ranked(measured["writer"], writer, concept)["rank"] == 1
        assert verdict(measured["writer"], writer, concept)["verdict"] == "carrier"
        other = next(one for one in CONCEPTS if one != concept)
        assert verdict(measured["writer"], writer, other)["verdict"] == "no effect"


def test_the_decoy_attends_only(measured: Worlds, writer_model: HeadModel) -> None:
    decoy = place("writer", "decoy")
    for concept in CONCEPTS:
        row = ranked(measured["writer"], decoy, concept)
        assert is_attending(measured["writer"], decoy, concept)
        assert row["screen_delta"] > 0.9  # it looks like the writers do,
        assert abs(row["effect_estimate"]) < effect_error(writer_model)  # and nothing changes without it
        assert verdict(measured["writer"], decoy, concept)["verdict"] == "attends only"


def test_attention_cannot_tell_the_decoy_from_the_writer_but_values_can(
    measured: Worlds, writer_model: HeadModel
) -> None:
    writer, decoy = (
        ranked(measured["writer"], place("writer", part), GRATITUDE) for part in ("writer of gratitude", "decoy")
    )
    assert decoy["screen_delta"] == pytest.approx(writer["screen_delta"], rel=2 * DESIGN)
    assert abs(decoy["value_weighted_delta"]) < pass_error(writer_model) * writer["value_weighted_delta"]
    assert writer["value_weighted_delta"] > 0.5


def test_the_diffuse_writer_is_found_by_the_sweep_though_the_screen_is_blind_to_it(measured: Worlds) -> None:
    diffuse = place("diffuse", "diffuse writer")
    row = ranked(measured["diffuse"], diffuse, GRATITUDE)
    assert abs(row["screen_delta"]) < BLIND
    assert not is_attending(measured["diffuse"], diffuse, GRATITUDE)
    assert row["rank"] == 1
    assert row["effect_p_max_t"] < ALPHA
    assert verdict(measured["diffuse"], diffuse, GRATITUDE)["verdict"] == "carrier, reading elsewhere"


def test_a_head_that_reads_the_concept_at_the_readout_is_a_carrier_reading_elsewhere(measured: Worlds) -> None:
    world = measured["elsewhere"]
    reader, relay = place("elsewhere", "reads it at the readout"), place("elsewhere", "hands the concept on")
    for head in (reader, relay):
        assert verdict(world, head, GRATITUDE)["verdict"] == "carrier, reading elsewhere"
        assert not is_attending(world, head, GRATITUDE)
    assert share(world, reader, GRATITUDE, "readout") > 0.95
    assert share(world, reader, GRATITUDE, "span") < 0.001
    assert (
        "reads mostly at the readout (1), 0.00044 at the concept's words" in verdict(world, reader, GRATITUDE)["reason"]
    )
    assert share(world, relay, GRATITUDE, "first_token") > 0.7
    writer = place("elsewhere", f"writer of {ANGER}")
    assert verdict(world, writer, ANGER)["verdict"] == "carrier"
    assert share(world, writer, ANGER, "span") > 0.95


def test_a_tiny_attention_is_no_attending_however_sure_it_is(measured: Worlds) -> None:
    """About 2e-4 on every template, with the smallest q there is."""
    world, head = measured["elsewhere"], place("elsewhere", "glances at the concept")
    row, judged = ranked(world, head, GRATITUDE), verdict(world, head, GRATITUDE)
    assert row["screen_q"] < 0.001
    assert 1e-4 < row["screen_delta"] < 4e-4
    assert judged["attention_share_low"] > 0
    assert (judged["attends"], judged["verdict"]) == ("no", "no effect")


def test_the_redundant_pair_is_found_jointly_and_not_alone(measured: Worlds) -> None:
    pair = place("redundant", "the pair")
    main, backup = (verdict(measured["redundant"], heads, GRATITUDE) for heads in pair.split(","))
    both = verdict(measured["redundant"], pair, GRATITUDE)
    assert both["verdict"] == "redundant"
    assert main["verdict"] == "attends only"
    assert backup["verdict"] == "no effect"
    assert abs(both["estimate"]) > 40 * (abs(main["estimate"]) + abs(backup["estimate"]))


def test_the_position_only_head_is_not_screened_in(measured: Worlds) -> None:
    head = place("position", "position-only")
    for concept in CONCEPTS:
        row = ranked(measured["position"], head, concept)
        assert not is_attending(measured["position"], head, concept)
        assert abs(row["screen_delta"]) < BLIND
        assert verdict(measured["position"], head, concept)["verdict"] == "no effect"


def test_the_suppressor_raises_the_concept_when_it_is_off(measured: Worlds) -> None:
    row = verdict(measured["suppressor"], place("suppressor", "suppressor"), GRATITUDE)
    assert row["verdict"] == "suppressor"
    assert row["sim_low"] > 0


def test_the_damaging_head_is_general_damage_and_its_writers_are_not(measured: Worlds) -> None:
    head = place("damage", "everything rests on it")
    for concept in CONCEPTS:
        damaging = verdict(measured["damage"], head, concept)
        assert damaging["verdict"] == "general damage"
        assert damaging["perplexity_ratio_high"] > 1.05
        writer = verdict(measured["damage"], place("damage", f"writer of {concept}"), concept)
        assert writer["verdict"] == "carrier"
        assert writer["perplexity_ratio_high"] < 1.05


def test_nothing_is_found_in_noise(measured: Worlds) -> None:
    noise = measured["noise"]
    assert not noise.assay["shown"].any()
    assert set(noise.verdicts["verdict"]) == {"no verdict"}
    assert not (noise.heads["effect_p_max_t"] < ALPHA).any()
    assert not (noise.verdicts["attends"] == "yes").any()


def test_every_head_has_a_rank_and_a_verdict_in_every_world(measured: Worlds) -> None:
    assert set(measured) == {world.name for world in worlds()}
    for one in measured.values():
        assert len(one.heads) == 16 * len(CONCEPTS)
        assert len(one.verdicts) == (16 + len(one.world.sets)) * len(CONCEPTS)
