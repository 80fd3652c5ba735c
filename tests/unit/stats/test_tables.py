"""The run's tables: exactly their columns, and arms whose means differ by the estimate."""

import numpy as np
import pandas as pd
import pytest

from headscope.errors import RequestError
from headscope.heads import Head
from headscope.stats.assays import assay_table
from headscope.stats.multiplicity import benjamini_hochberg
from headscope.stats.specificity import specificity_blocks
from headscope.stats.tables import EffectBlock, ScreenBlock, effects_table, head_tests, screen_table
from headscope.tables import TABLES
from tests.tolerances import FLOAT64

HEADS = [Head(0, 0), Head(0, 1), Head(1, 0)]
TEMPLATES = [f"t{i:02d}" for i in range(10) for _ in range(2)]


def screen_block(seed: int = 0, **changes: object) -> ScreenBlock:
    rng = np.random.default_rng(seed)
    values = {
        "concept": "anger",
        "query": "last",
        "measure": "attention",
        "control": "paired_equal",
        "unit": "attention_share",
        "heads": HEADS,
        "values": rng.random((20, 3)) + np.array([0.5, 0, 0]),
        "controls": rng.random((20, 3)),
        "templates": TEMPLATES,
    }
    return ScreenBlock(**(values | changes))


def effect_block(seed: int = 0, **changes: object) -> EffectBlock:
    rng = np.random.default_rng(seed)
    values = {
        "concept": "anger",
        "outcome": "lexicon_logodds_nats",
        "unit": "nats",
        "edit": "mean",
        "scope": "all",
        "tests": head_tests(HEADS),
        "baseline": rng.normal(size=20),
        "edited": rng.normal(size=(20, 3)) - np.array([2.0, 0, 0]),
        "templates": TEMPLATES,
        "family": "primary",
        "status": "confirmatory",
        "simultaneous": True,
    }
    return EffectBlock(**(values | changes))


def test_the_screen_table_has_its_columns_and_its_arms_differ_by_the_estimate():
    table = screen_table([screen_block(), screen_block(1, concept="apology")], seed=0)
    assert list(table.columns) == TABLES["screen"].columns
    assert len(table) == 6
    np.testing.assert_allclose(table["concept_mean"] - table["control_mean"], table["estimate"])
    assert set(table["family"]) == {"screen/last/attention/paired_equal"}
    assert table.loc[0, "q_value"] < 0.05
    assert (table["status"] == "exploratory").all()


def test_pairs_with_a_missing_side_leave_both_means():
    block = screen_block()
    values = np.array(block.values)
    values[:6] = np.nan
    table = screen_table([screen_block(values=values)], seed=0)
    np.testing.assert_allclose(table["concept_mean"] - table["control_mean"], table["estimate"])
    assert table["n_prompts"].tolist() == [14] * 3
    assert table["n_templates"].tolist() == [7] * 3


def test_measures_and_controls_are_families_of_their_own():
    blocks = [screen_block(), screen_block(1, measure="value_weighted"), screen_block(2, control="length_matched")]
    table = screen_table(blocks, seed=0)
    assert table["family"].nunique() == 3
    alone = screen_table(blocks[:1], seed=0)
    pd.testing.assert_frame_equal(table.iloc[:3], alone)


def test_the_studys_screen_is_the_plain_difference_of_prompt_means():
    block = screen_block(query="phase6", control="phase6_unpaired", control_templates=TEMPLATES)
    other = screen_block(3, query="phase6", control="phase6_unpaired", control_templates=TEMPLATES, concept="apology")
    table = screen_table([block, other], seed=0)
    assert list(table.columns) == TABLES["screen"].columns
    np.testing.assert_array_equal(table["estimate"][:3], block.values.mean(0) - block.controls.mean(0))
    np.testing.assert_array_equal(table["concept_mean"][:3], block.values.mean(0))
    np.testing.assert_allclose(table["q_value"], benjamini_hochberg(table["p_value"].to_numpy()))


def test_the_studys_screen_needs_the_controls_templates():
    with pytest.raises(RequestError, match="no template id"):
        screen_table([screen_block(control="phase6_unpaired", control_templates=[None] * 20)], seed=0)


def test_the_assay_table_says_whether_the_concept_shows():
    rng = np.random.default_rng(0)
    shows = assay_table("anger", "o", "nats", rng.normal(3, 1, 20), rng.normal(0, 1, 20), TEMPLATES, seed=0)
    assert list(shows.columns) == TABLES["assay"].columns
    assert shows.loc[0, "shown"]
    assert shows.loc[0, "share_right"] > 0.9
    assert shows.loc[0, "estimate"] == pytest.approx(shows.loc[0, "concept_mean"] - shows.loc[0, "control_mean"])
    noise = assay_table("anger", "o", "nats", rng.normal(0, 1, 20), rng.normal(0, 1, 20), TEMPLATES, seed=0)
    assert not noise.loc[0, "shown"]


def test_an_assay_on_few_templates_or_the_wrong_way_round_says_so():
    values = np.array([2.0, 2.1, 2.2, 2.3])
    few = assay_table("anger", "o", "nats", values, values - 1.5, ["a", "b", "c", "d"], seed=0, note="first run")
    assert not few.loc[0, "shown"]
    assert few.loc[0, "note"] == "first run; descriptive only: fewer than six templates"
    rng = np.random.default_rng(0)
    reversed_ = assay_table("anger", "o", "nats", rng.normal(0, 1, 20), rng.normal(5, 1, 20), TEMPLATES, seed=0)
    assert not reversed_.loc[0, "shown"]
    assert "reversed" in reversed_.loc[0, "note"]


def test_an_assay_without_any_pair_is_missing():
    row = assay_table("anger", "o", "nats", np.full(20, np.nan), np.zeros(20), TEMPLATES, seed=0).iloc[0]
    assert np.isnan(row["share_right"])
    assert np.isnan(row["estimate"])
    assert not row["shown"]


def test_the_effects_table_has_its_columns_and_its_arms_differ_by_the_estimate():
    table = effects_table([effect_block(), effect_block(1, concept="apology")], seed=0)
    assert list(table.columns) == TABLES["effects"].columns
    np.testing.assert_allclose(table["edited_mean"] - table["baseline_mean"], table["estimate"])
    assert table["heads"].tolist() == ["0:0", "0:1", "1:0"] * 2
    assert table.loc[0, "p_max_t"] < 0.05
    assert str(table["layer"].dtype) == "Int64"


def test_sets_have_no_layer_and_no_head():
    sets = [{"heads": "0:0,1:0", "role": "joint_top", "k": 2}]
    edited = np.random.default_rng(0).normal(size=(20, 1))
    table = effects_table([effect_block(), effect_block(tests=sets, edited=edited, family="sets")], seed=0)
    assert table["layer"].isna().tolist() == [False] * 3 + [True]
    assert table.loc[3, "heads"] == "0:0,1:0"


def test_ratios_have_geometric_arm_means():
    logs = np.random.default_rng(0).normal(0.1, 0.05, size=(20, 3))
    base = np.full(20, 2.0)
    table = effects_table([effect_block(baseline=base, edited=base[:, None] + logs, scale="log_ratio")], seed=0)
    np.testing.assert_allclose(table["edited_mean"] / table["baseline_mean"], table["estimate"])
    np.testing.assert_allclose(table["baseline_mean"], np.exp(2.0))


def test_blocks_of_one_family_must_be_tested_alike():
    with pytest.raises(RequestError, match="tested differently"):
        effects_table([effect_block(), effect_block(status="exploratory")], seed=0)


def test_arms_of_different_shapes_are_refused():
    with pytest.raises(RequestError, match="two arms"):
        effects_table([effect_block(baseline=np.zeros(19))], seed=0)


def test_no_blocks_give_an_empty_table():
    assert screen_table([], seed=0).columns.tolist() == TABLES["screen"].columns
    assert effects_table([], seed=0).columns.tolist() == TABLES["effects"].columns


def test_specificity_is_own_change_over_the_others_change_in_magnitude():
    rng = np.random.default_rng(0)
    own = rng.normal(-2.0, 0.2, size=(20, 1))
    others = {"same": rng.normal(-1.9, 0.2, size=(20, 1)), "none": rng.normal(0, 0.05, size=(20, 1)), "opposite": -own}
    tests = head_tests(HEADS[:1])
    table = effects_table(specificity_blocks("anger", tests, own, others, TEMPLATES), seed=0).set_index("outcome")
    assert table.at["specificity_nats:none", "sim_low"] > 1.5
    assert table.at["specificity_nats:same", "estimate"] == pytest.approx(0.1, abs=0.1)  # s.e. .2 √(2 / 20)
    assert table.at["specificity_nats:opposite", "estimate"] == 0.0
    assert table.at["specificity_nats:same", "edited_mean"] == pytest.approx(abs(own.mean()), rel=FLOAT64)
