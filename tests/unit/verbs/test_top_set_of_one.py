"""The top set of one head is a set: measured where it was not chosen, and never mixed up with the head swept alone."""

import pandas as pd
import pytest

import headscope as hs
from headscope.report.findings import findings_of
from headscope.stats.ranking import single_effects
from headscope.stats.verdicts import judge
from headscope.verbs.joint import choose_top
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import make_profile

WRITER = "1:2"


@pytest.fixture(scope="module")
def tables():
    model, profile = worlds()[0].load(), make_profile()
    swept = hs.sweep(model, profile, concepts="gratitude", heads=f"{WRITER},1:3")
    (one,) = choose_top(swept, "gratitude", 1, seed=0)
    half = one.prompts[: len(one.prompts) // 2]
    alone = hs.ablate(model, profile, one.heads, concept="gratitude", prompts=half, role="joint_top", generate=False)
    assert str(one.heads) == WRITER
    return swept, alone


def test_it_keeps_the_part_of_a_set_and_says_on_how_many_prompts(tables):
    swept, alone = tables
    assert set(alone.table["role"]) == {"joint_top"}
    assert set(alone.table["k"]) == {1}
    both = pd.concat([swept.table, alone.table], ignore_index=True)
    (row,) = single_effects(both[both["heads"] == WRITER]).to_dict("records")
    assert (row["role"], row["n_templates"]) == ("single", 32)


def test_the_head_has_one_verdict_that_of_the_sweep(tables):
    swept, alone = tables
    expected = judge(swept.table, None, swept.tables["assay"])
    for order in ([swept.table, alone.table], [alone.table, swept.table]):
        found = judge(pd.concat(order, ignore_index=True), None, swept.tables["assay"])
        found = found.set_index("heads").loc[expected["heads"]].reset_index()[expected.columns]
        pd.testing.assert_frame_equal(found, expected)


def test_the_report_shows_the_sets_own_damage(tables):
    swept, alone = tables
    shifted = alone.table.assign(estimate=alone.table["estimate"] + 0.5)
    (found,) = findings_of({"effects": pd.concat([swept.table, shifted], ignore_index=True)})
    (one,) = found.sets
    damage = one.effect("perplexity_ratio")
    (own,) = shifted.loc[(shifted["outcome"] == "perplexity_ratio") & (shifted["edit"] == "mean"), "estimate"]
    assert damage is not None
    assert damage.estimate == own
