"""Rankings and layer statistics from tables, and the study's published order."""

import json

import numpy as np
import pandas as pd
import pytest

from headscope.errors import RequestError
from headscope.heads import Head
from headscope.stats.agreement import auroc, rank_correlation, score_agreement, screen_agreement
from headscope.stats.decodability import knowing_not_acting
from headscope.stats.ranking import layer_table, primary_screen, rank_heads, single_effects
from headscope.tables import TABLES


def screen_rows(concept: str, deltas: dict[Head, float], **changes: object) -> pd.DataFrame:
    rows = [
        {
            "concept": concept,
            "layer": head.layer,
            "head": head.head,
            "query": "last",
            "measure": "attention",
            "control": "paired_equal",
            "estimate": delta,
            "ci_low": delta - 0.1,
            "ci_high": delta + 0.1,
            "q_value": 0.01 if abs(delta) > 0.15 else 0.5,
            **changes,
        }
        for head, delta in deltas.items()
    ]
    return pd.DataFrame(rows, columns=TABLES["screen"].columns)


def effect_rows(concept: str, effects: dict[Head, float], **changes: object) -> pd.DataFrame:
    rows = [
        {
            "concept": concept,
            "layer": head.layer,
            "head": head.head,
            "heads": str(head),
            "role": "single",
            "k": 1,
            "edit": "mean",
            "scope": "all",
            "outcome": "lexicon_logodds_nats",
            "estimate": effect,
            "ci_low": effect - 0.1,
            "ci_high": effect + 0.1,
            "sim_low": effect - 0.2,
            "sim_high": effect + 0.2,
            "p_max_t": 0.01,
            **changes,
        }
        for head, effect in effects.items()
    ]
    return pd.DataFrame(rows, columns=TABLES["effects"].columns)


A, B, C, D = Head(0, 0), Head(0, 1), Head(1, 0), Head(1, 1)
SCREEN = pd.concat(
    [
        screen_rows("anger", {A: 0.3, B: -0.4, C: 0.0, D: 0.1}),
        screen_rows("apology", {A: 0.1, B: 0.0, C: 0.2, D: 0.1}),
        screen_rows("anger", {A: 0.01, B: 0.02, C: 0.03, D: 0.04}, measure="value_weighted"),
    ],
    ignore_index=True,
)
EFFECTS = pd.concat(
    [
        effect_rows("anger", {A: -2.0, B: 0.5}),
        effect_rows("apology", {A: -1.0, B: 0.1}),
        effect_rows("anger", {A: -3.0, B: 0.4}, edit="zero"),
    ],
    ignore_index=True,
)


def order(table: pd.DataFrame, concept: str) -> list[str]:
    rows = table[table["concept"] == concept]
    assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
    return [f"{layer}:{head}" for layer, head in zip(rows["layer"], rows["head"], strict=True)]


def test_heads_are_ranked_by_magnitude_or_signed():
    table = rank_heads(SCREEN, EFFECTS)
    assert list(table.columns) == TABLES["ranking"].columns
    assert order(table, "anger") == ["0:1", "0:0", "1:1", "1:0"]
    assert order(rank_heads(SCREEN, signed=True), "anger") == ["0:0", "1:1", "1:0", "0:1"]
    assert order(rank_heads(SCREEN, top_n=1), "anger") == ["0:1"]


def test_overall_is_the_mean_of_signed_differences_over_concepts():
    table = rank_heads(SCREEN, EFFECTS)
    rows = table[table["concept"] == "overall"].set_index(["layer", "head"])
    assert rows.at[(0, 0), "score"] == pytest.approx(0.2)
    assert rows.at[(0, 1), "score"] == pytest.approx(-0.2)
    assert rows.at[(0, 0), "effect_estimate"] == pytest.approx(-1.5)
    assert rows["screen_ci_low"].isna().all()
    assert order(table, "overall")[:2] == ["0:0", "0:1"]  # a tie goes to the earlier head


def test_the_causal_effect_stands_beside_the_screen():
    row = rank_heads(SCREEN, EFFECTS).set_index(["concept", "layer", "head"]).loc[("anger", 0, 0)]
    assert row["effect_estimate"] == -2.0
    assert row["effect_zero_estimate"] == -3.0
    assert row["effect_p_max_t"] == 0.01
    assert row["value_weighted_delta"] == 0.01
    missing = rank_heads(SCREEN, EFFECTS).set_index(["concept", "layer", "head"]).loc[("anger", 1, 0)]
    assert np.isnan(missing["effect_estimate"])


def test_a_signed_ranking_by_effect_starts_where_removal_lowers_most():
    table = rank_heads(SCREEN, EFFECTS, by="effect", signed=True)
    assert order(table, "anger") == ["0:0", "0:1"]
    assert table.iloc[0]["score"] == -2.0
    assert order(rank_heads(None, EFFECTS, by="effect"), "apology") == ["0:0", "0:1"]


def test_verdicts_stand_beside_single_heads():
    verdicts = pd.DataFrame(
        {"concept": ["anger"] * 2, "heads": ["0:0", "0:0,1:0"], "verdict": ["carrier", "redundant"]}
    )
    table = rank_heads(SCREEN, EFFECTS, verdicts).set_index(["concept", "layer", "head"])
    assert table.at[("anger", 0, 0), "verdict"] == "carrier"
    assert pd.isna(table.at[("anger", 1, 0), "verdict"])


def probe_rows(p_of: dict[Head, float]) -> pd.DataFrame:
    rows = [
        {"concept": "joy", "layer": head.layer, "head": head.head, "probe_auroc": 1.0 - p, "p_max_t": p}
        for head, p in p_of.items()
    ]
    return pd.DataFrame(rows, columns=TABLES["probes"].columns)


def test_probes_stand_beside_single_heads_and_change_no_order():
    screen = screen_rows("joy", {Head(0, 0): 0.3, Head(0, 1): 0.1})
    probes = probe_rows({Head(0, 1): 0.01})
    ranking = rank_heads(screen, probes=probes).query("concept == 'joy'").set_index("head")
    assert ranking.index.tolist() == rank_heads(screen).query("concept == 'joy'")["head"].tolist()
    assert ranking.loc[1, "probe_auroc"] == 0.99
    assert ranking.loc[1, "probe_p_max_t"] == 0.01
    assert np.isnan(ranking.loc[0, "probe_auroc"])


def test_heads_that_know_and_do_not_act_are_told_only_where_no_effect_is_shown():
    heads = {Head(0, n): 0.01 for n in range(4)} | {Head(0, 4): 0.06}
    said = ["no effect", "undecided", "attends only", "carrier", "no effect"]
    alone = [{"concept": "joy", "heads": str(head), "verdict": one} for head, one in zip(heads, said, strict=True)]
    others = [
        {"concept": "joy", "heads": "0:1,0:3", "verdict": "no effect"},
        {"concept": "anger", "heads": "0:1", "verdict": "no effect"},
    ]
    idle = knowing_not_acting(probe_rows(heads), pd.DataFrame([*alone, *others]))
    assert idle["head"].tolist() == [0, 2]
    assert knowing_not_acting(probe_rows(heads), pd.DataFrame(others)).empty


def test_nothing_to_rank_is_an_error():
    with pytest.raises(RequestError, match="nothing to rank"):
        rank_heads(SCREEN, None, by="effect")
    with pytest.raises(RequestError, match="nothing to rank"):
        rank_heads(None, EFFECTS, by="screen")
    with pytest.raises(RequestError, match="top_n"):
        rank_heads(SCREEN, top_n=0)
    with pytest.raises(RequestError, match="importance"):
        rank_heads(SCREEN, by="importance")


def test_the_best_matched_control_ranks_and_unequal_pairs_never_do():
    screen = pd.concat(
        [
            screen_rows("anger", {A: 9.0}, control="paired_unequal_per_token"),
            screen_rows("anger", {A: 1.0}, control="length_matched"),
            screen_rows("anger", {A: 0.5}, control="paired_equal"),
            screen_rows("apology", {A: 0.7}, control="length_matched"),
            screen_rows("apology", {A: np.nan}, control="paired_equal"),
            screen_rows("anger", {A: 4.0}, query="self"),
        ]
    )
    found = primary_screen(screen).set_index("concept")["estimate"]
    assert found.to_dict() == {"anger": 0.5, "apology": 0.7}
    assert primary_screen(screen, query="self")["estimate"].tolist() == [4.0]
    assert primary_screen(screen, measure="nothing").empty
    only_unequal = screen_rows("anger", {A: 9.0}, control="paired_unequal_per_token")
    assert primary_screen(only_unequal).empty


def test_a_head_that_was_swept_and_requested_counts_once():
    effects = pd.concat([effect_rows("anger", {A: -9.0}, role="requested"), EFFECTS], ignore_index=True)
    rows = single_effects(effects)
    assert rows[rows["concept"] == "anger"]["estimate"].tolist() == [-2.0, 0.5]
    assert single_effects(None).empty


def test_layer_statistics():
    found = {"anger": {A: "yes", B: "no", C: "undecided", D: "yes"}, "apology": {A: "yes", B: "yes", C: "yes", D: ""}}
    answers = pd.DataFrame(
        [
            {"concept": concept, "layer": head.layer, "head": head.head, "answer": answer}
            for concept, of_heads in found.items()
            for head, answer in of_heads.items()
        ]
    )
    table = layer_table(SCREEN, EFFECTS, answers=answers).set_index(["concept", "layer"])
    assert list(table.reset_index().columns) == TABLES["layers"].columns
    row = table.loc[("anger", 0)]
    assert row["n_heads"] == 2
    assert row["mean_delta"] == pytest.approx(-0.05)
    assert row["mean_abs_delta"] == pytest.approx(0.35)
    assert row["max_delta"] == 0.3
    assert row["max_delta_head"] == 0
    assert row["n_attending"] == 1
    assert table.loc[("anger", 1), "n_attending"] == 1  # undecided is not yes
    assert table.loc[("overall", 0), "n_attending"] == 1.5  # the mean over concepts
    assert table.loc[("overall", 1), "n_attending"] == 0.5  # of heads that have an answer for every concept
    assert row["effect_sum"] == -1.5
    assert row["effect_min"] == -2.0
    assert row["effect_min_head"] == 0
    assert np.isnan(table.at[("anger", 1), "effect_sum"])
    assert pd.isna(table.at[("anger", 1), "effect_min_head"])
    assert table.at[("overall", 0), "mean_delta"] == pytest.approx(0.0)


def test_layer_statistics_without_effects_or_without_screen():
    assert layer_table(SCREEN)["effect_sum"].isna().all()
    assert layer_table(SCREEN)["n_attending"].isna().all()  # a q alone makes no head attend
    assert layer_table(None, EFFECTS)["mean_delta"].isna().all()


@pytest.mark.oracle
def test_the_studys_published_ranking_comes_out(shared):
    """Phase 6, GPT-2 small: gratitude 1:10, 3:2, 1:11, 0:3, 11:8 ...; overall 1:10 .1195, 3:2 .1097, 1:11 .0788."""
    scores = json.loads((shared / "reference" / "phase6" / "head_scores_gpt2.json").read_text())["scores"]
    screen = pd.DataFrame(scores).rename(columns={"emotion": "concept", "delta_attn": "estimate"})
    screen = screen.assign(query="phase6", measure="attention", control="phase6_unpaired").reindex(
        columns=TABLES["screen"].columns
    )
    table = rank_heads(screen, signed=True)
    gratitude = ["1:10", "3:2", "1:11", "0:3", "11:8", "0:5", "3:6", "1:3", "0:4", "0:6"]
    assert order(table, "gratitude") == gratitude
    assert order(table, "anger")[:3] == ["11:3", "2:2", "2:4"]
    assert order(table, "apology")[:3] == ["2:2", "2:4", "11:5"]
    assert order(table, "overall")[:3] == ["1:10", "3:2", "1:11"]
    overall = table[table["concept"] == "overall"]["score"].head(3)
    assert overall.round(4).tolist() == [0.1195, 0.1097, 0.0788]


def test_rank_correlation_and_auroc_agree_with_scipy():
    from scipy import stats

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=30), rng.integers(0, 5, size=30).astype(float)
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    positive = rng.random(30) < 0.4
    expected = stats.mannwhitneyu(b[positive], b[~positive]).statistic / (positive.sum() * (~positive).sum())
    assert auroc(b, positive) == pytest.approx(expected)
    assert np.isnan(rank_correlation(np.ones(5), np.arange(5.0)))
    assert np.isnan(auroc(a, np.arange(30) < 4))
    assert np.isnan(auroc(a, np.ones(30, dtype=bool)))


def test_a_score_that_knows_the_effects_agrees_fully():
    effects = -np.arange(10.0)
    found = score_agreement(-effects, effects, k=3, causal=effects < -4.5)
    assert found["spearman_abs"] == pytest.approx(1.0)
    assert found["spearman_signed"] == pytest.approx(1.0)
    assert found["rank_of_top_effect"] == 1
    assert found["precision_at_k"] == 1.0
    assert found["auroc"] == 1.0
    assert found["n_causal"] == 5
    blind = score_agreement(np.r_[np.nan, np.ones(9)], effects, k=3)
    assert blind["n_heads"] == 9
    assert np.isnan(blind["spearman_abs"])
    assert np.isnan(blind["auroc"])


def test_scores_that_do_not_match_are_refused():
    with pytest.raises(RequestError, match="do not belong together"):
        score_agreement(np.zeros(3), np.zeros(4))
    with pytest.raises(RequestError, match="k is not between"):
        score_agreement(np.zeros(3), np.zeros(3), k=4)


def test_screen_and_cause_are_compared_for_each_concept_and_measure():
    table = screen_agreement(SCREEN, EFFECTS, thresholds_nats={"anger": 0.05}, k=1)
    assert table[["concept", "measure"]].to_numpy().tolist() == [
        ["anger", "attention"], ["apology", "attention"], ["anger", "value_weighted"],
    ]  # fmt: skip
    assert table["n_heads"].tolist() == [2.0, 2.0, 2.0]
    assert table["n_causal"].tolist()[0] == 2.0
    assert table["rank_of_top_effect"].tolist() == [2.0, 1.0, 2.0]
