"""Rounding happens at display only, and a missing number is never 0."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from headscope.report.evidence import effect_of, effects_of
from headscope.report.findings import findings_of
from headscope.report.numbers import count, equation, interval, number, probability, share
from headscope.report.telling import Teller
from headscope.report.words import words_of
from headscope.stats.power import templates_for_power
from headscope.stats.verdicts import judge
from tests.unit.report.fake_tables import CONCEPTS, PRIMARY, fake_tables


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-0.4123, "−0.412"),
        (1.234, "1.23"),
        (-12.34, "−12.3"),
        (1234.5, "1234"),
        (0.0, "0"),
        (-0.0, "0"),
        (4.14e-5, "4.1e−05"),
        (math.nan, "—"),
        (pd.NA, "—"),
        (None, "—"),
        (math.inf, "∞"),
    ],
)
def test_numbers_are_shown_as(value: object, shown: str) -> None:
    assert number(value) == shown


@given(st.floats(min_value=-1e6, max_value=1e6, allow_nan=False))
def test_a_shown_number_is_near_its_value_and_zero_only_for_zero(value: float) -> None:
    shown = float(number(value).replace("−", "-"))
    assert abs(shown - value) <= max(5e-4 if abs(value) < 1 else 0.005 * abs(value), 0.05 * abs(value))
    assert (shown == 0) == (value == 0)


def test_probabilities_are_never_zero() -> None:
    assert probability(1e-9) == "< 0.001"
    assert probability(0.0499) == "0.050"
    assert equation("p", 1e-9) == "p < 0.001"
    assert equation("q", 0.25) == "q = 0.250"
    assert probability(math.nan) == interval(math.nan, 1.0) == share(pd.NA) == count(math.nan) == "—"


def test_an_effect_is_shown_only_if_p_and_interval_agree() -> None:
    row = {"concept": "anger", "heads": "1:2", "edit": "mean", "outcome": PRIMARY, "unit": "nats", "estimate": -0.5}
    base = {**row, "n_templates": 35, "n_prompts": 70}
    sure = {"ci_low": -0.8, "ci_high": -0.2, "p_value": 0.001, "q_value": 0.01, "p_max_t": 0.02}
    assert effect_of({**base, **sure}).direction == -1
    assert effect_of({**base, **sure, "p_max_t": 0.2}).direction == 0
    assert effect_of({**base, **sure, "ci_high": 0.1}).direction == 0
    assert effect_of({**base, **sure, "p_max_t": math.nan, "q_value": math.nan, "p_value": math.nan}).direction == 0
    ratio = {**base, **sure, "outcome": "perplexity_ratio", "estimate": 1.2, "ci_low": 1.1, "ci_high": 1.3}
    assert effect_of(ratio).direction == 1


def test_templates_needed_are_those_of_the_statistics_room() -> None:
    effects = fake_tables()["effects"]
    effect = next(one for one in effects_of(effects) if one.outcome == "sentiment_vader")
    size = int((effects["family"] == "sets/sentiment_vader/mean").sum())
    assert effect.n_tests == size
    assert effect.templates_needed == templates_for_power(effect.d_z, n_tests=size)
    assert effect.prompts_needed == 2 * effect.templates_needed


def test_findings_count_what_the_tables_hold() -> None:
    tables = fake_tables()
    screen, effects = tables["screen"], tables["effects"]
    for found in findings_of(tables):
        looked = screen[
            (screen["concept"] == found.concept) & (screen["query"] == "last") & (screen["measure"] == "attention")
        ]
        decisive = screen[
            (screen["concept"] == found.concept)
            & (screen["query"] == "last")
            & (screen["measure"] == "attention_without_sinks")
        ]
        assert len(found.attending) == (decisive["sim_low"] > 0.02).sum() > 0
        assert len(found.averse) == (decisive["sim_high"] < -0.02).sum()
        assert found.n_attending_open == ((decisive["sim_low"] <= 0.02) & (decisive["sim_high"] >= 0.02)).sum()
        alone = effects[
            (effects["concept"] == found.concept)
            & (effects["role"] == "single")
            & (effects["outcome"] == PRIMARY)
            & (effects["edit"] == "mean")
        ]
        limit = found.threshold_nats
        assert limit == tables["verdicts"].set_index("concept")["threshold_nats"][found.concept].iloc[0]
        assert len(found.lowering) == (alone["sim_high"] < -limit).sum()
        assert len(found.raising) == (alone["sim_low"] > limit).sum()
        is_detectable = (alone["p_max_t"] < 0.05) & ((alone["ci_high"] < 0) | (alone["ci_low"] > 0))
        assert found.n_detectable == is_detectable.sum()
        merged = looked.merge(alone, on=["layer", "head"])
        assert found.agreement is not None
        assert found.agreement.rho == pytest.approx(
            stats.spearmanr(merged["estimate_x"], -merged["estimate_y"]).statistic
        )
        assert found.agreement.low < found.agreement.rho < found.agreement.high
    assert [found.concept for found in findings_of(tables)] == list(CONCEPTS)


def test_a_sure_trifle_is_detectable_and_nothing_more() -> None:
    """A head whose every interval lies near 0, and never on it: no sentence says that it attends or lowers."""
    tables = fake_tables()
    for name, columns in (("screen", [0.0002, 0.0001, 0.0003]), ("effects", [-0.002, -0.003, -0.001])):
        table = tables[name].copy()
        one = table["concept"] == "gratitude"
        for column, value in zip(("estimate", "ci_low", "ci_high"), columns, strict=True):
            table.loc[one, column] = value
        table.loc[one, "sim_low"], table.loc[one, "sim_high"] = columns[1:]
        tables[name] = table.assign(p_value=1e-5, q_value=1e-5, p_max_t=1e-5) if name == "effects" else table
    verdicts = judge(tables["effects"], tables["screen"], tables["assay"])
    found = next(one for one in findings_of(tables | {"verdicts": verdicts}) if one.concept == "gratitude")
    assert (found.attending, found.averse, found.lowering, found.raising, found.carriers) == ([], [], [], [], [])
    assert found.n_detectable == len(found.alone) == 16
    for words in (Teller(words_of("en")), Teller(words_of("ja"))):
        said = " ".join([words.headline(found), *words.discussion(found), words.candidates(found)])
        for claim in ("16 of 16", "shown to lower", "16 個が概念の語に注意を向ける", "下げると示された"):
            assert claim not in said
    said = " ".join(Teller(words_of("en")).discussion(found))
    assert "0 of 16 heads attend to its words" in said
    assert "0 of 16 heads lower the log-odds by more than" in said
    assert "of 16 an effect of any size is detectable" in said
    assert "log-odds detectably" in said  # of the sets


def test_the_control_class_is_no_concept() -> None:
    assert "neutral" in set(fake_tables()["effects"]["concept"])
    assert "neutral" not in [found.concept for found in findings_of(fake_tables())]


def test_damage_stands_with_the_set_that_does_it() -> None:
    tables = fake_tables()
    for found in findings_of(tables):
        for one in found.sets:
            damage = one.effect("perplexity_ratio")
            rows = tables["effects"]
            rows = rows[
                (rows["heads"] == one.heads) & (rows["outcome"] == "perplexity_ratio") & (rows["edit"] == "mean")
            ]
            assert damage is not None
            assert damage.estimate in rows["estimate"].tolist()


def test_a_set_knows_the_sum_of_its_heads_and_its_place_among_random_sets() -> None:
    tables = fake_tables()
    for found in findings_of(tables):
        (joint,) = (one for one in found.sets if one.role == "joint_top")
        assert joint.total is not None
        assert joint.null is not None
        assert np.isclose(joint.null["floor"], 1 / (joint.null["n_random"] + 1))
