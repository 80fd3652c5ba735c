"""Fast scores on models whose answer is known: what they find, and what they cannot see."""

from __future__ import annotations

import numpy as np
import pytest

import headscope as hs
from headscope.worlds.catalog import World, worlds
from headscope.worlds.texts import CONCEPTS, make_profile
from tests.tolerances import DESIGN, effect_error

WORLDS = {world.name: world for world in worlds()}


@pytest.fixture(scope="module", params=["writer", "redundant", "suppressor"])
def found(request: pytest.FixtureRequest):
    world: World = WORLDS[request.param]
    return world, hs.attribute(world.load(), make_profile(), verify=16)


def estimate(result, measure: str, concept: str, heads: str, column: str = "estimate") -> float:
    layer, head = map(int, heads.split(":"))
    rows = result.table
    mine = (rows["measure"] == measure) & (rows["concept"] == concept)
    return float(rows[mine & (rows["layer"] == layer) & (rows["head"] == head)][column].iloc[0])


def test_every_fast_score_predicts_a_planted_head_that_nothing_repairs(found) -> None:
    world, result = found
    if world.name == "redundant":
        return
    for planted in world.planted:
        for concept, nats in planted.effect_nats.items():
            for measure in ("gate_gradient", "attribution_patching", "integrated_gradient", "direct_effect"):
                assert estimate(result, measure, concept, planted.heads) == pytest.approx(nats, rel=4 * DESIGN)


def test_the_largest_planted_effect_has_the_largest_score(found) -> None:
    world, result = found
    for concept in CONCEPTS:
        strongest = world.strongest(concept)
        if strongest is not None:
            assert estimate(result, "attribution_patching", concept, strongest, "rank") == 1


def test_direct_and_total_effect_show_the_backup_head(found) -> None:
    """The main head of the pair writes 4 nats directly; without it the backup writes 3.92 of them."""
    world, result = found
    effects = result.tables["effects"]
    rows = effects[effects["outcome"] == "self_repair_nats"].set_index(["concept", "heads"])
    if world.name != "redundant":
        assert rows["estimate"].abs().max() < 0.02, "nothing repairs here"
        return
    main = rows.loc[("gratitude", "1:1")]
    assert main["baseline_mean"] == pytest.approx(-4.0, rel=DESIGN), "direct"
    assert main["edited_mean"] == pytest.approx(-0.08, abs=0.01), "total"
    assert main["estimate"] == pytest.approx(3.92, abs=0.02)
    assert main["ci_low"] > 3
    others = rows.drop(("gratitude", "1:1"))
    assert others["estimate"].abs().max() < 0.02


def test_only_the_integral_sees_a_head_that_acts_when_another_is_off(found) -> None:
    world, result = found
    if world.name != "redundant":
        return
    assert abs(estimate(result, "attribution_patching", "gratitude", "2:2")) < 0.01
    assert estimate(result, "integrated_gradient", "gratitude", "2:2") < -0.5


def test_parts_of_the_components_table_add_up(found) -> None:
    world, result = found
    for _, rows in result.tables["components"].groupby("concept"):
        total = rows[rows["component"] == "total"]["estimate"].iloc[0]
        assert rows[rows["component"] != "total"]["estimate"].sum() == pytest.approx(
            total, abs=effect_error(world.load())
        )


def test_scores_stand_beside_the_exact_effect_of_the_same_edit(found) -> None:
    world, result = found
    effects = result.tables["effects"]
    exact = effects[(effects["outcome"] == "lexicon_logodds_nats")].set_index(["concept", "heads", "edit"])["estimate"]
    for planted in world.planted:
        if "," in planted.heads:
            continue
        for measure, edit in (("gate_gradient", "zero"), ("attribution_patching", "mean")):
            got = estimate(result, measure, "gratitude", planted.heads, "exact_estimate")
            assert got == exact[("gratitude", planted.heads, edit)]
    agreement = result.tables["agreement"]
    assert set(agreement["note"]) == {"every head was measured exactly"}
    assert np.isfinite(agreement["spearman_abs"]).all()
