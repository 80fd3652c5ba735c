"""Each verdict from tables made by hand, and what missing evidence does."""

import numpy as np
import pandas as pd
import pytest

from headscope.errors import RequestError
from headscope.stats.verdicts import Criteria, judge
from headscope.tables import TABLES

CONCEPTS = ("gratitude", "anger")


def effect(concept: str, heads: str, estimate: float, half: float = 0.2, **changes: object) -> dict[str, object]:
    """A row with simultaneous half-width ``half``, twice that of the plain interval."""
    alone = "," not in heads
    row = {
        "concept": concept,
        "layer": int(heads.split(":")[0]) if alone else pd.NA,
        "head": int(heads.split(":")[1]) if alone else pd.NA,
        "heads": heads,
        "role": "single" if alone else "joint_top",
        "k": heads.count(",") + 1,
        "edit": "mean",
        "scope": "all",
        "outcome": "lexicon_logodds_nats",
        "estimate": estimate,
        "ci_low": estimate - half / 2,
        "ci_high": estimate + half / 2,
        "sim_low": estimate - half,
        "sim_high": estimate + half,
        "n_templates": 35,
    }
    return row | changes


def damage(heads: str, high: float, low: float | None = None) -> dict[str, object]:
    low = high - 0.02 if low is None else low
    return effect("neutral", heads, np.sqrt(low * high), outcome="perplexity_ratio", ci_low=low, ci_high=high)


def contrast(concept: str, heads: str, other: str, estimate: float, half: float = 0.2) -> dict[str, object]:
    return effect(concept, heads, estimate, half, outcome=f"specificity_nats:{other}")


def case(heads: str, estimate: float, **changes: float) -> list[dict[str, object]]:
    """Everything measured on gratitude for one head; nothing happens on anger."""
    value = {"zero": estimate, "ratio": 1.01, "ratio_low": None, "specificity": 1.0, "half": 0.2} | changes
    return [
        effect("gratitude", heads, estimate, value["half"]),
        effect("gratitude", heads, value["zero"], edit="zero"),
        effect("anger", heads, 0.0, 0.01),
        effect("anger", heads, 0.0, 0.01, edit="zero"),
        damage(heads, value["ratio"], value["ratio_low"]),
        contrast("gratitude", heads, "anger", value["specificity"]),
    ]


def screen(
    attending: dict[str, tuple[float, float]], measure: str = "attention_without_sinks", **changes: object
) -> pd.DataFrame:
    """Δ and the half-width of its simultaneous interval, twice that of the plain one, of each head."""
    rows = [
        {
            "concept": concept,
            "layer": int(heads.split(":")[0]),
            "head": int(heads.split(":")[1]),
            "query": "last",
            "measure": measure,
            "control": "paired_equal",
            "estimate": delta,
            "ci_low": delta - half / 2,
            "ci_high": delta + half / 2,
            "sim_low": delta - half,
            "sim_high": delta + half,
            "n_templates": 35,
            **changes,
        }
        for concept in CONCEPTS
        for heads, (delta, half) in attending.items()
    ]
    return pd.DataFrame(rows, columns=TABLES["screen"].columns)


def assay(gap: float = 4.0, shown: bool = True, concepts: tuple[str, ...] = CONCEPTS) -> pd.DataFrame:
    rows = [{"concept": c, "outcome": "lexicon_logodds_nats", "estimate": gap, "shown": shown} for c in concepts]
    return pd.DataFrame(rows, columns=TABLES["assay"].columns)


def table_of(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=TABLES["effects"].columns)


ATTENDS, BLIND, OPEN = {"1:0": (0.3, 0.1)}, {"1:0": (0.0, 0.01)}, {"1:0": (0.03, 0.02)}
SURELY_TINY = {"1:0": (0.00016, 0.00012)}  # told from 0 by any test, and nothing


def verdict_of(rows: list[dict[str, object]], looks: dict[str, tuple[float, float]], **settings: object) -> pd.Series:
    found = judge(table_of(rows), screen(looks), settings.pop("assay", assay()), **settings)
    assert list(found.columns) == TABLES["verdicts"].columns
    return found[found["concept"] == "gratitude"].iloc[0]


def test_a_carrier_is_causal_attends_and_is_specific():
    row = verdict_of(case("1:0", -1.5), ATTENDS)
    assert row["verdict"] == "carrier"
    assert row["threshold_nats"] == pytest.approx(0.2)  # 5 % of a gap of 4 nats
    assert (row["attends"], row["attention_measure"]) == ("yes", "attention_without_sinks")
    assert (row["attention_share"], row["attention_share_low"], row["attention_share_high"]) == (0.3, 0.3 - 0.1, 0.4)
    assert row["threshold_share"] == 0.02
    assert row["specificity"] == 1.0
    assert (row["perplexity_ratio_low"], row["perplexity_ratio_high"]) == (0.99, 1.01)
    assert np.isnan(row["templates_needed"])
    assert "lowers the concept: -1.5 nats" in row["reason"]


def test_a_small_gap_leaves_the_smallest_threshold():
    assert verdict_of(case("1:0", -1.5), ATTENDS, assay=assay(gap=0.3))["threshold_nats"] == 0.05
    strict = Criteria(minimum_nats=2.0)
    row = verdict_of(case("1:0", -1.5), ATTENDS, criteria=strict)
    assert row["verdict"] == "attends only"
    assert row["threshold_nats"] == 2.0


def test_causal_for_two_concepts_is_a_shared_carrier():
    rows = [*case("1:0", -1.5), effect("anger", "1:0", -1.2), effect("anger", "1:0", -1.2, edit="zero")]
    rows = [row for row in rows if not (row["concept"] == "anger" and row["estimate"] == 0.0)]
    found = judge(table_of(rows), screen(ATTENDS), assay())
    assert found["verdict"].tolist() == ["shared carrier", "shared carrier"]
    assert "gratitude, anger" in found["reason"][0]


def test_a_causal_specific_head_that_does_not_attend_reads_elsewhere():
    row = verdict_of(case("1:0", -1.5), BLIND)
    assert row["verdict"] == "carrier, reading elsewhere"
    assert "does not attend to the concept's words: +0 of the attention that is not on sinks" in row["reason"]


def test_a_tiny_attention_is_none_however_sure():
    row = verdict_of(case("1:0", -1.5), SURELY_TINY)
    assert (row["verdict"], row["attends"]) == ("carrier, reading elsewhere", "no")
    assert verdict_of(case("1:0", 0.0, half=0.1), SURELY_TINY)["verdict"] == "no effect"


def test_looking_away_from_the_concept_is_not_attending():
    row = verdict_of(case("1:0", -1.5), {"1:0": (-0.3, 0.01)})
    assert (row["verdict"], row["attends"]) == ("carrier, reading elsewhere", "no")


def test_attention_across_its_limit_leaves_where_the_head_reads_undecided():
    row = verdict_of(case("1:0", -1.5), OPEN)
    assert (row["verdict"], row["attends"]) == ("undecided (where it reads)", "undecided")
    assert row["templates_needed"] > 35
    assert f"about {row['templates_needed']:.0f} templates would decide" in row["reason"]
    nearer = verdict_of(case("1:0", -1.5), {"1:0": (0.038, 0.02)})
    assert nearer["templates_needed"] < row["templates_needed"]
    at_once = verdict_of(case("1:0", -1.5), {"1:0": (0.02, 0.02)})
    assert np.isnan(at_once["templates_needed"])
    assert "no number of templates" in at_once["reason"]
    assert verdict_of(case("1:0", 0.0, half=0.1), OPEN)["verdict"] == "no effect"


def test_the_smallest_attention_that_matters_can_be_set():
    assert verdict_of(case("1:0", -1.5), ATTENDS, criteria=Criteria(minimum_attention_share=0.5))["attends"] == "no"
    row = verdict_of(case("1:0", -1.5), OPEN, criteria=Criteria(minimum_attention_share=0.005))
    assert (row["verdict"], row["threshold_share"]) == ("carrier", 0.005)


@pytest.mark.parametrize("value", [0.0, -0.1, 1.0, np.nan, np.inf])
def test_a_smallest_attention_that_is_no_share_is_refused(value):
    with pytest.raises(RequestError, match="no share"):
        Criteria(minimum_attention_share=value)
    if not 0.0 < value < np.inf:
        with pytest.raises(RequestError, match="no size"):
            Criteria(minimum_nats=value)


def test_criteria_come_back_from_a_record():
    strict = Criteria(minimum_nats=0.2, minimum_attention_share=0.1, query="readout")
    assert Criteria.of(vars(strict)) == strict
    assert Criteria.of({}) == Criteria()
    for wrong in ({"attends_q": 0.05}, {"minimum_nats": "much"}, {"query": 3}):
        with pytest.raises(RequestError, match="no criterion"):
            Criteria.of(wrong)


def test_where_next_to_nothing_is_left_beside_sinks_all_attention_decides_and_the_row_says_so():
    everything = screen({"1:0": (0.001, 0.0005)}, "attention")
    for lacking in (
        screen({"1:0": (np.nan, np.nan)}),
        screen({"1:0": (0.4, np.nan)}, sim_low=np.nan, sim_high=np.nan, n_templates=3),
    ):
        both = pd.concat([everything, lacking], ignore_index=True)
        row = judge(table_of(case("1:0", -1.5)), both, assay()).iloc[0]
        assert (row["verdict"], row["attends"]) == ("carrier, reading elsewhere", "no")
        assert (row["attention_measure"], row["attention_share"]) == ("attention", 0.001)
        assert "+0.001 of all attention" in row["reason"]
    both = pd.concat([everything, screen(ATTENDS)], ignore_index=True)
    row = judge(table_of(case("1:0", -1.5)), both, assay()).iloc[0]
    assert (row["verdict"], row["attention_measure"]) == ("carrier", "attention_without_sinks")


def test_templates_without_a_share_are_counted_in_the_reason():
    found = judge(table_of(case("1:0", -1.5)), screen(ATTENDS, n_templates=20), assay()).iloc[0]
    assert "on 20 of 35 templates" in found["reason"]


def test_the_reason_says_where_a_causal_head_reads():
    shares = {"span": 0.00016, "prompt": 0.05, "punctuation": 0.01, "readout": 0.61, "first_token": 0.3, "query": 0.03}
    rows = [
        {"concept": "gratitude", "layer": 1, "head": 0, "region": region, "share": share}
        for region, share in shares.items()
    ]
    regions = pd.DataFrame(rows, columns=TABLES["attention_by_region"].columns)
    row = judge(table_of(case("1:0", -1.5)), screen(BLIND), assay(), regions=regions).iloc[0]
    assert (
        "reads mostly at the readout (0.61) and the first token (0.3), 0.00016 at the concept's words" in row["reason"]
    )


def test_removal_that_raises_the_concept_makes_a_suppressor():
    assert verdict_of(case("1:0", 1.5), ATTENDS)["verdict"] == "suppressor"


def test_damage_to_control_text_overrides_every_causal_verdict():
    for estimate in (-1.5, 1.5):
        row = verdict_of(case("1:0", estimate, ratio=1.06), ATTENDS)
        assert row["verdict"] == "general damage"
        assert "1.060" in row["reason"]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.97, 1.05, "carrier"),
        (1.01, 1.05, "carrier"),  # some harm, surely small
        (1.001, 1.051, "general damage"),
        (1.2, 1.4, "general damage"),
        (0.978, 1.059, "undecided (damage not bounded)"),  # no evidence of harm, and none that there is none
        (1.0, 1.2, "undecided (damage not bounded)"),
        (0.7, 1.06, "undecided (damage not bounded)"),
    ],
)
def test_damage_is_shown_bounded_or_neither(low, high, verdict):
    for estimate, expected in ((-1.5, verdict), (1.5, "suppressor" if verdict == "carrier" else verdict)):
        assert verdict_of(case("1:0", estimate, ratio=high, ratio_low=low), ATTENDS)["verdict"] == expected


def test_unbounded_damage_says_how_many_templates_would_bound_or_show_it():
    near = verdict_of(case("1:0", -1.5, ratio=1.059, ratio_low=0.978), ATTENDS)
    assert f"about {near['templates_needed']:.0f} templates would decide" in near["reason"]
    assert near["templates_needed"] > 35
    wide = verdict_of(case("1:0", -1.5, ratio=1.2, ratio_low=0.863), ATTENDS)
    assert wide["templates_needed"] > near["templates_needed"]


def test_damage_that_is_not_bounded_does_not_touch_a_head_without_effect():
    assert verdict_of(case("1:0", 0.0, half=0.1, ratio=1.3, ratio_low=1.1), ATTENDS)["verdict"] == "attends only"


def test_attending_without_effect_is_attends_only():
    assert verdict_of(case("1:0", 0.0, half=0.1), ATTENDS)["verdict"] == "attends only"
    assert verdict_of(case("1:0", 0.0, half=0.1), BLIND)["verdict"] == "no effect"


def test_an_interval_across_the_threshold_is_undecided_with_the_templates_that_would_decide():
    row = verdict_of(case("1:0", -0.3), ATTENDS)
    assert row["verdict"] == "undecided"
    assert row["templates_needed"] > 35
    assert f"about {row['templates_needed']:.0f} templates" in row["reason"]
    nearer = verdict_of(case("1:0", -0.35), ATTENDS)["templates_needed"]
    inside = verdict_of(case("1:0", -0.05), ATTENDS)["templates_needed"]
    assert nearer < row["templates_needed"]
    assert inside < row["templates_needed"]


def test_an_effect_on_the_threshold_is_decided_by_no_number_of_templates():
    row = verdict_of(case("1:0", -0.2), ATTENDS)
    assert row["verdict"] == "undecided"
    assert np.isnan(row["templates_needed"])
    assert "no number of templates" in row["reason"]


def test_edits_that_disagree_in_sign_leave_it_undecided():
    row = verdict_of(case("1:0", -1.5, zero=0.4), ATTENDS)
    assert row["verdict"] == "undecided (edit-dependent)"
    assert "+0.4" in row["reason"]
    assert verdict_of(case("1:0", -1.5, zero=0.0), ATTENDS)["verdict"] == "undecided (edit-dependent)"


def test_an_effect_on_other_concepts_just_as_large_is_not_specific():
    for looks in (ATTENDS, BLIND, OPEN):
        row = verdict_of(case("1:0", -1.5, specificity=-0.1), looks)
        assert row["verdict"] == "causal, not specific"
        assert verdict_of(case("1:0", -1.5, specificity=0.2), looks)["verdict"] == "undecided"


def test_the_least_specific_of_several_other_concepts_decides():
    rows = [*case("1:0", -1.5), contrast("gratitude", "1:0", "apology", 0.1, half=0.2)]
    row = verdict_of(rows, ATTENDS, assay=assay(concepts=("gratitude", "anger", "apology")))
    assert row["verdict"] == "undecided"
    assert row["specificity"] == 0.1
    assert "apology" in row["reason"]


def test_a_profile_of_one_concept_cannot_test_specificity_and_says_so():
    rows = [row for row in case("1:0", -1.5) if row["concept"] != "anger" and "specificity" not in str(row["outcome"])]
    row = verdict_of(rows, ATTENDS, assay=assay(concepts=("gratitude",)))
    assert row["verdict"] == "carrier (specificity not tested)"
    row = verdict_of(rows, BLIND, assay=assay(concepts=("gratitude",)))
    assert row["verdict"] == "carrier, reading elsewhere (specificity not tested)"


def test_no_verdict_where_the_model_does_not_show_the_concept():
    row = verdict_of(case("1:0", -1.5), ATTENDS, assay=assay(shown=False))
    assert row["verdict"] == "no verdict"
    assert "does not show this concept" in row["reason"]
    assert verdict_of(case("1:0", -1.5), ATTENDS, assay=assay(concepts=("anger",)))["verdict"] == "no verdict"


def test_no_verdict_without_simultaneous_intervals():
    rows = case("1:0", -1.5)
    rows[0] |= {"sim_low": np.nan, "sim_high": np.nan, "n_templates": 4}
    row = verdict_of(rows, ATTENDS)
    assert row["verdict"] == "no verdict"
    assert "descriptive only: 4 templates" in row["reason"]


@pytest.mark.parametrize(
    ("missing", "verdict", "why"),
    [
        (lambda row: row["edit"] == "zero", "undecided (edit-dependent)", "was not made"),
        (lambda row: row["outcome"] == "perplexity_ratio", "undecided", "damage to control text was not measured"),
        (lambda row: "specificity" in str(row["outcome"]), "undecided", "other concepts was not measured"),
    ],
)
def test_missing_evidence_never_favors_a_head(missing, verdict, why):
    row = verdict_of([row for row in case("1:0", -1.5) if not missing(row)], ATTENDS)
    assert row["verdict"] == verdict
    assert why in row["reason"]


def half_of(rows: list[dict[str, object]], **changes: object) -> list[dict[str, object]]:
    """The same head measured again on half of the prompts, as a top set of one is."""
    return [row | {"n_prompts": 18, "n_templates": 18, "family": "joint_top/x/y"} | changes for row in rows]


@pytest.mark.parametrize("again", [{"role": "joint_top"}, {"role": "single"}, {"role": "requested"}])
@pytest.mark.parametrize(
    ("weak", "verdict"),
    [
        ({"zero": 0.4}, "undecided (edit-dependent)"),
        ({"ratio": 1.059, "ratio_low": 0.978}, "undecided (damage not bounded)"),
        ({"specificity": 0.2}, "undecided"),
    ],
)
def test_everything_said_of_a_head_comes_from_one_group_of_rows(weak, verdict, again):
    """Alone on all prompts the head is undecided; no row of another group of rows may stand in for what is lacking."""
    whole = [row | {"n_prompts": 35, "family": "sweep/x/y"} for row in case("1:0", -1.5, **weak)]
    half = half_of(case("1:0", -1.4), **again)
    assert verdict_of([*whole, *half], ATTENDS)["verdict"] == verdict
    if again["role"] != "single":
        assert verdict_of([*half, *whole], ATTENDS)["verdict"] == verdict
    lacking = [row for row in whole if row["edit"] != "zero"]
    assert verdict_of([*lacking, *half], ATTENDS)["verdict"] == "undecided (edit-dependent)"


def test_without_a_screen_no_head_is_a_carrier():
    found = judge(table_of(case("1:0", -1.5)), None, assay())
    assert found["verdict"][0] == "undecided"
    assert "attends was not measured" in found["reason"][0]
    assert (found["attends"][0], found["attention_measure"][0]) == ("", "")
    descriptive = screen({"1:0": (0.3, np.nan)})
    assert judge(table_of(case("1:0", -1.5)), descriptive, assay())["verdict"][0] == "undecided"


def pair(first: float, second: float, joint: float, half: float = 0.2) -> list[dict[str, object]]:
    rows = [*case("1:0", first, half=0.1), *case("1:1", second, half=0.1)]
    return [*rows, *case("1:0,1:1", joint, half=half)]


def set_verdict(rows: list[dict[str, object]]) -> pd.Series:
    found = judge(table_of(rows), screen(ATTENDS | {"1:1": (0.3, 0.1)}), assay())
    return found[(found["heads"] == "1:0,1:1") & (found["concept"] == "gratitude")].iloc[0]


def test_a_set_that_is_causal_only_jointly_is_redundant():
    row = set_verdict(pair(-0.05, -0.05, -2.0))
    assert row["verdict"] == "redundant"
    assert "sum to -0.1" in row["reason"]


def test_a_set_whose_members_act_alone_is_causal_and_not_redundant():
    row = set_verdict(pair(-1.0, -0.05, -2.0))
    assert row["verdict"] == "causal (set)"
    assert "causal alone: 1:0" in row["reason"]


def test_a_joint_effect_that_is_only_the_sum_is_not_redundancy():
    rows = [*case("1:0", -0.25, half=0.2), *case("1:1", -0.25, half=0.2), *case("1:0,1:1", -0.5, half=0.1)]
    assert set_verdict(rows)["verdict"] == "causal (set)"


def test_the_sum_of_single_effects_on_the_sets_own_prompts_is_preferred():
    """A set chosen on one half of the templates is measured on the other; so is the sum it is compared with."""
    rows = [*pair(-0.05, -0.05, -2.0), effect("gratitude", "1:0,1:1", -2.1, role="sum_of_singles")]
    row = set_verdict(rows)
    assert row["verdict"] == "causal (set)"
    assert "sum to -2.1" in row["reason"]


def test_a_set_whose_members_were_not_removed_alone_says_so():
    row = judge(table_of(case("1:0,1:1", -2.0)), screen(ATTENDS), assay()).iloc[0]
    assert row["verdict"] == "causal (set)"
    assert "not every member" in row["reason"]


def test_sets_can_damage_suppress_or_do_nothing_too():
    assert set_verdict(pair(0.0, 0.0, 1.0))["verdict"] == "suppressor"
    assert set_verdict(pair(0.0, 0.0, 0.0, half=0.1))["verdict"] == "no effect"


def test_random_sets_get_no_verdict():
    rows = [*case("1:0", -1.5), effect("gratitude", "2:0,2:1", -3.0, role="random_disjoint")]
    assert "2:0,2:1" not in set(judge(table_of(rows), screen(ATTENDS), assay())["heads"])


def test_an_empty_table_gives_an_empty_table():
    assert judge(table_of([]), None, assay()).columns.tolist() == TABLES["verdicts"].columns
