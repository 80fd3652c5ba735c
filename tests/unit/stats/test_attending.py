"""Who attends, from prompts to the answer: by an interval beyond a size, never by a q."""

import numpy as np
import pandas as pd
import pytest

from headscope.heads import Head
from headscope.stats.attending import answer, attending
from headscope.stats.tables import EffectBlock, ScreenBlock, effects_table, head_tests, screen_table

HEADS = (Head(0, 0), Head(0, 1), Head(1, 0), Head(1, 1))
LOOKS, TINY, AWAY, WAVERS = HEADS
N = 32
TEMPLATES = [f"t{i:02d}" for i in range(N)]


def deltas(measure: str) -> np.ndarray:
    """One prompt a template: a head that looks, one whose Δ is always tiny and positive, one that looks away, noise."""
    draw = np.random.default_rng([3, len(measure)])
    return np.stack(
        [
            draw.normal(0.3, 0.05, N),
            draw.uniform(0.0001, 0.0003, N),
            draw.normal(-0.2, 0.02, N),
            draw.normal(0.03, 0.05, N),
        ],
        axis=1,
    )


def screen_of(**values: np.ndarray) -> pd.DataFrame:
    blocks = [
        ScreenBlock("anger", "last", measure, "paired_equal", "share", HEADS, of, np.zeros_like(of), TEMPLATES)
        for measure, of in values.items()
    ]
    return screen_table(blocks, seed=0)


def answers(screen: pd.DataFrame, smallest: float = 0.02) -> dict[Head, str]:
    rows = attending(screen, smallest)
    return {Head(int(a), int(b)): c for a, b, c in zip(rows["layer"], rows["head"], rows["answer"], strict=True)}


def test_a_perfectly_consistent_trifle_has_the_smallest_q_and_does_not_attend():
    screen = screen_of(attention_without_sinks=deltas("attention_without_sinks"))
    tiny = screen.set_index(["layer", "head"]).loc[(0, 1)]
    assert tiny["q_value"] == screen["q_value"].min() < 0.001
    assert answers(screen) == {LOOKS: "yes", TINY: "no", AWAY: "no", WAVERS: "undecided"}
    assert answers(screen, 0.00005)[TINY] == "yes"


def test_the_intervals_are_those_of_the_effects_table():
    """Simultaneous over all heads and concepts, made by the same sign-flips from the same differences."""
    values = deltas("attention")
    screen = screen_of(attention=values)
    block = EffectBlock(
        "anger", "o", "share", "mean", "all", head_tests(HEADS), np.zeros(N), values, TEMPLATES,
        family=str(screen["family"].iloc[0]), simultaneous=True, tolerance=1e-6,
    )  # fmt: skip
    effects = effects_table([block], seed=0)
    for column in ("estimate", "ci_low", "ci_high", "sim_low", "sim_high", "p_value", "mde"):
        np.testing.assert_array_equal(screen[column], effects[column])
    assert (screen["sim_low"] < screen["ci_low"]).all()


def test_where_a_share_without_sinks_is_undefined_all_attention_decides():
    without = deltas("attention_without_sinks")
    without[:, 0] = np.nan  # nothing is left beside the sink on any prompt,
    without[4:, 2] = np.nan  # on all but four, too few for an interval,
    without[:8, 3] = np.nan  # on eight of 32
    rows = attending(screen_of(attention=deltas("attention"), attention_without_sinks=without), 0.02)
    rows = rows.set_index(["layer", "head"])
    measures = ["attention", "attention_without_sinks", "attention", "attention_without_sinks"]
    assert rows["measure"].tolist() == measures
    assert rows["n_templates"].tolist() == [32, 32, 32, 24]
    assert rows["answer"].tolist() == ["yes", "no", "no", "undecided"]


def test_without_intervals_there_is_no_answer():
    few = [f"t{i % 5}" for i in range(N)]
    values = deltas("attention")
    block = ScreenBlock("anger", "last", "attention", "paired_equal", "share", HEADS, values, values * 0, few)
    rows = attending(screen_table([block], seed=0), 0.02)
    assert set(rows["answer"]) == {""}
    assert rows["estimate"].notna().all()
    assert attending(None, 0.02).empty
    assert attending(screen_table([], seed=0), 0.02).empty


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.021, 0.4, "yes"), (-0.4, 0.019, "no"), (0.02, 0.4, "undecided"), (-np.inf, np.inf, "undecided"),
     (np.nan, np.nan, "")],
)  # fmt: skip
def test_answers(low, high, expected):
    assert answer(low, high, 0.02) == expected
