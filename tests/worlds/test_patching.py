"""Patching finds in the worlds what was planted there, in both directions."""

from functools import partial

import pytest

from headscope import api
from headscope.terms import PRIMARY
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import make_profile
from tests.tolerances import DESIGN, effect_error

patch = partial(api.patch, generate=False)  # these worlds have no room for texts
BY_NAME = {world.name: world for world in worlds()}


def effects(result, concept):
    """(direction, heads) -> row of the primary outcome, patch - control patch."""
    table = result.table
    rows = table[
        (table["outcome"] == PRIMARY) & (table["compared_with"] == "control_patch") & (table["concept"] == concept)
    ]
    return {(row["direction"], row["heads"]): row for row in rows.to_dict("records")}


@pytest.fixture(scope="module")
def writer():
    return patch(BY_NAME["writer"].load(), make_profile())


@pytest.fixture(scope="module")
def redundant():
    return BY_NAME["redundant"].load()


@pytest.mark.parametrize(("concept", "heads", "nats"), [("gratitude", "1:2", 4.0), ("anger", "2:0", 3.0)])
def test_a_writer_brings_its_concept_and_takes_it_away(writer, concept, heads, nats):
    found = effects(writer, concept)
    assert found["sufficiency", heads]["estimate"] == pytest.approx(nats, rel=DESIGN)
    assert found["necessity", heads]["estimate"] == pytest.approx(-nats, rel=DESIGN)
    for direction in ("sufficiency", "necessity"):
        row = found[direction, heads]
        assert row["p_max_t"] < 0.05
        assert row["share_recovered"] == pytest.approx(1.0, abs=0.05)
        assert row["share_low"] < row["share_recovered"] < row["share_high"]


def test_a_decoy_that_attends_like_a_writer_does_neither(writer):
    for concept in ("gratitude", "anger"):
        for direction in ("sufficiency", "necessity"):
            assert abs(effects(writer, concept)[direction, "1:3"]["estimate"]) < effect_error(BY_NAME["writer"].load())


def test_no_other_head_is_found(writer):
    for concept, mine in (("gratitude", "1:2"), ("anger", "2:0")):
        others = {key: row for key, row in effects(writer, concept).items() if key[1] != mine}
        assert max(abs(row["estimate"]) for row in others.values()) < 0.2
        assert all(row["p_max_t"] >= 0.05 for row in others.values())


def test_writers_of_two_concepts_are_doubly_dissociated(writer):
    table = writer.tables["dissociation"].set_index(["direction", "concept"])
    for direction in ("sufficiency", "necessity"):
        for concept, own, other, nats in (("gratitude", "1:2", "2:0", 4.0), ("anger", "2:0", "1:2", 3.0)):
            row = table.loc[(direction, concept)]
            assert (row["own_heads"], row["other_heads"]) == (own, other)
            assert row["own_estimate"] == pytest.approx(nats, rel=DESIGN)
            assert row["estimate"] == pytest.approx(row["own_estimate"] - row["other_estimate"])
            assert row["double"]


def test_a_redundant_pair_is_needed_only_jointly(redundant):
    """Each alone is replaced by the other; the main head alone already brings the concept."""
    alone = effects(patch(redundant, make_profile(), "1:1,2:2", each=True, concepts="gratitude"), "gratitude")
    assert abs(alone["necessity", "1:1"]["estimate"]) < 0.1
    assert abs(alone["necessity", "2:2"]["estimate"]) < 0.02
    assert alone["sufficiency", "1:1"]["estimate"] == pytest.approx(4.0, rel=2 * DESIGN)
    both = patch(redundant, make_profile(), "1:1,2:2", concepts="gratitude", n_random=20)
    found = effects(both, "gratitude")
    assert found["necessity", "1:1,2:2"]["estimate"] == pytest.approx(-4.0, rel=2 * DESIGN)
    nulls = both.tables["nulls"].set_index("outcome")
    assert nulls.loc["necessity_nats", "percentile"] == pytest.approx(100.0 * (1.0 - 1.0 / 21))


def test_a_value_patch_brings_the_word_and_a_pattern_patch_only_the_look():
    """The writer looks at concept words only: in a control it looks at BOS, so values alone bring nothing, and looking
    at a neutral word brings nothing either. Removing the word from the values takes the concept away."""
    model, profile = BY_NAME["writer"].load(), make_profile()
    found = {
        what: effects(
            patch(model, profile, "1:2", concepts="gratitude", what=what, n_random=0, alignment="exact"), "gratitude"
        )
        for what in ("pattern", "v")
    }
    assert abs(found["pattern"]["sufficiency", "1:2"]["estimate"]) < 0.05
    leak = 4.0 * 0.02  # next to BOS, 4 units of score above them, other tokens get under two per cent each
    assert abs(found["v"]["sufficiency", "1:2"]["estimate"]) < leak
    for what in ("pattern", "v"):
        assert found[what]["necessity", "1:2"]["estimate"] == pytest.approx(-4.0, abs=leak)


def test_the_mean_over_the_concept_brings_part_of_it():
    """A mean over every place after the span holds what the writer wrote there, and its null holds nothing."""
    model, profile = BY_NAME["writer"].load(), make_profile()
    found = effects(patch(model, profile, "1:2", concepts="gratitude", source="mean", n_random=0), "gratitude")
    # "Part": words differ in strength, and a mean over prompts brings the mean strength to each.
    assert found["sufficiency", "1:2"]["estimate"] == pytest.approx(4.0, rel=0.1)
    assert found["necessity", "1:2"]["estimate"] == pytest.approx(-4.0, rel=0.1)
