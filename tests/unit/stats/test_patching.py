"""The tables of patching say what was put into them."""

import numpy as np
import pytest

from headscope.stats.patching import PatchedOutcome, dissociation_table, patch_blocks
from headscope.stats.tables import patching_table
from headscope.tables import TABLES

TEMPLATES = [f"t{i // 2}" for i in range(24)]
SETTINGS = {"what": "z", "source": "partner", "target": "from_span", "alpha": 1.0}
TESTS = [{"layer": 0, "head": h, "heads": f"0:{h}", "role": "single", "k": 1} for h in range(3)]


def block(concept, effects, direction="sufficiency", seed=0, **changes):
    rng = np.random.default_rng([seed, *concept.encode()])
    unpatched = rng.normal(-6.0, 1.0, len(TEMPLATES))
    control = unpatched[:, None] + rng.normal(0.0, 0.05, (len(TEMPLATES), 3))
    patched = control + np.array(effects) + rng.normal(0.0, 0.05, (len(TEMPLATES), 3))
    compared_with = changes.pop("compared_with", "control_patch")
    defaults = {
        "name": "lexicon_logodds_nats", "unit": "nats", "gap": np.full(len(TEMPLATES), 8.0),
        "unpatched": unpatched, "patched": patched, "control_patched": control,
    }  # fmt: skip
    (one,) = patch_blocks(
        PatchedOutcome(**(defaults | changes)), [compared_with], concept=concept, direction=direction, tests=TESTS,
        settings=SETTINGS, templates=TEMPLATES,
    )  # fmt: skip
    return one


def test_columns_are_those_of_the_run_folder():
    assert list(TABLES["patching"].kinds) == TABLES["patching"].columns
    assert list(TABLES["dissociation"].kinds) == TABLES["dissociation"].columns


def test_an_effect_is_patch_minus_control_patch_and_its_share_is_of_the_gap():
    one = block("gratitude", [4.0, 0.0, -2.0])
    table = patching_table([one], seed=0)
    expected = (one.edited - one.baseline).mean(axis=0)
    assert np.allclose(table["estimate"], expected)
    assert np.allclose(table["share_recovered"], expected / 8.0)
    assert np.allclose(table["share_low"], table["ci_low"] / 8.0)
    assert np.allclose(table["patched_mean"] - table["control_patched_mean"], expected)
    assert np.allclose(table["unpatched_mean"], one.means["unpatched_mean"].mean())
    assert set(table["status"]) == {"exploratory"}
    assert (table["p_max_t"] < 0.05).tolist() == [True, False, True]


def test_against_no_patch_the_control_patch_does_not_count():
    one = block("gratitude", [1.0, 0.0, 0.0], compared_with="unpatched", control_patched=np.full((24, 3), 99.0))
    table = patching_table([one], seed=0)
    assert np.allclose(table["estimate"], (one.edited - one.means["unpatched_mean"][:, None]).mean(axis=0))


def test_outcomes_without_a_gap_have_no_share_and_no_simultaneous_interval():
    table = patching_table([block("gratitude", [1.0, 0.0, 0.0], gap=None, name="lexicon_logodds_nats:anger")], seed=0)
    assert table[["share_recovered", "share_low", "p_max_t", "sim_low"]].isna().all().all()
    assert table["family"].iloc[0] == "patch/sufficiency/lexicon_logodds_nats_of_others/control_patch"


def test_concepts_are_corrected_together_and_directions_apart():
    blocks = [block(c, [1.0, 0.0, 0.0], d) for c in ("gratitude", "anger") for d in ("sufficiency", "necessity")]
    table = patching_table(blocks, seed=0)
    assert table.groupby("family").size().to_dict() == {
        "patch/necessity/lexicon_logodds_nats/control_patch": 6,
        "patch/sufficiency/lexicon_logodds_nats/control_patch": 6,
    }


@pytest.mark.parametrize(("direction", "sign"), [("sufficiency", 1.0), ("necessity", -1.0)])
def test_own_heads_win_on_both_concepts(direction, sign):
    blocks = [
        block("gratitude", [sign * 4.0, sign * 1.0, 0.0], direction),
        block("anger", [sign * 0.5, sign * 3.0, 0.0], direction),
    ]
    table = dissociation_table(blocks, seed=0).set_index("concept")
    assert table["own_heads"].to_dict() == {"gratitude": "0:0", "anger": "0:1"}
    # Drawn with a spread over templates; the head that wins is what counts.
    assert table["estimate"].to_dict() == pytest.approx({"gratitude": 3.0, "anger": 2.5}, abs=0.1)
    assert table["double"].all()


def test_one_head_for_both_concepts_dissociates_nothing():
    table = dissociation_table([block("gratitude", [4.0, 0.0, 0.0]), block("anger", [3.0, 0.0, 0.0])], seed=0)
    assert (table["estimate"] == 0.0).all()
    assert (table["p_value"] == 1.0).all()
    assert not table["double"].any()


def test_choosing_among_equal_heads_flatters_none():
    """All heads are noise: the chosen head's effect on the templates that did not choose it is 0 on average."""
    own = [
        dissociation_table([block(c, [0.0, 0.0, 0.0], seed=seed) for c in ("gratitude", "anger")], seed=seed)
        for seed in range(60)
    ]
    values = np.concatenate([table["own_estimate"].to_numpy(float) for table in own])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert np.mean([table["double"].any() for table in own]) < 0.05


def test_one_concept_alone_has_nothing_to_be_dissociated_from():
    assert dissociation_table([block("gratitude", [1.0, 0.0, 0.0])], seed=0).empty
