"""What work costs is found from what was timed, and is told for any other work; a clock that is told the time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedPasses
from headscope.measure.generation import TextPasses
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.stages import Counted
from headscope.study import Study
from headscope.verbs.forecast import forecast_of
from headscope.verbs.rates import MOST_SECONDS, Rates, calibrate, fitted
from headscope.verbs.sweep import sweep_stages

WORK = (
    Counted("unedited", 1, 100, 1200, logit_rows=30),
    Counted("deep", 1, 1000, 1000, logit_rows=300),
    Counted("middle", 1, 1000, 6000, logit_rows=300),
    Counted("other unedited", 1, 90, 1080, logit_rows=4),
)
RATES = Rates(2e-4, 1e-3, 0.07, 0.5, 0.01, n_timed=4, measured_seconds=1.0)


@pytest.fixture(scope="module")
def model():
    return load_model("demo", device="cpu")


@pytest.fixture(scope="module")
def study(model):
    whole = load_profile("baseline")
    kept = {prompt.template for prompt in whole.prompts_of("anger")[:6]}
    profile = replace(whole, prompts=tuple(prompt for prompt in whole.prompts if prompt.template in kept))
    return Study(model, profile, concepts="anger")


@pytest.mark.parametrize("costs", [(2e-4, 1e-3, 0.07), (1e-9, 3e-8, 1e-4), (5e-4, 0.0, 0.0), (0.0, 2.0, 3.0)])
def test_known_costs_are_found(costs):
    known = replace(RATES, layer_token_seconds=costs[0], logit_row_seconds=costs[1], pass_seconds=costs[2])
    assert fitted([(work, known.seconds(work)) for work in WORK]) == pytest.approx(costs, rel=1e-6, abs=1e-12)


def test_no_cost_is_negative_and_every_timing_counts_by_its_ratio():
    # More tokens that took less: no negative cost makes up for it.
    odd = [(Counted("a", 1, 10, 100, logit_rows=1), 1.0), (Counted("b", 1, 10, 200, logit_rows=1), 0.5)]
    assert min(fitted(odd)) >= 0
    # 10 % too long in a short pass weighs as much as 10 % too short in a long one.
    off = [(Counted("a", 0, 1, 1), 1.1e-3), (Counted("b", 0, 1000, 1000), 0.9)]
    layer_token, *_ = fitted([*off, *off])
    assert layer_token == pytest.approx(1e-3, rel=0.02)


def test_too_little_that_differs_leaves_the_last_costs_at_nought():
    layer_token, logit_row, a_pass = fitted([(WORK[0], 1.2)] * 5)
    assert (layer_token, logit_row, a_pass) == pytest.approx((1e-3, 0.0, 0.0))
    *_, a_pass = fitted([(work, RATES.seconds(work)) for work in WORK[:2]])
    assert a_pass == 0.0


def test_seconds_are_additive():
    both = Counted("both", 2, 1100, 2200, logit_rows=330)
    assert RATES.seconds(both) == pytest.approx(RATES.seconds(WORK[0]) + RATES.seconds(WORK[1]))
    assert RATES.text_seconds(300) == pytest.approx(3 * RATES.text_seconds(100))
    # Texts of half the length: twice the prompts.
    assert RATES.text_seconds(300, 15) - RATES.text_seconds(300, 30) == pytest.approx(10 * RATES.text_seconds_each)


def test_a_forecast_is_the_sum_of_its_stages_and_texts(study):
    forecast = forecast_of(study, WORK[:3], RATES, n_tests=1, text_tokens=600)
    assert list(forecast.seconds_of) == ["unedited", "deep", "middle", "texts"]
    assert forecast.seconds_of["deep"] == RATES.seconds(WORK[1])
    assert forecast.seconds_of["texts"] == RATES.text_seconds(600)
    assert forecast.seconds == pytest.approx(sum(forecast.seconds_of.values()))
    without = forecast_of(study, WORK[:3], RATES, n_tests=1)
    assert "texts" not in without.seconds_of
    assert forecast.seconds - without.seconds == pytest.approx(RATES.text_seconds(600))


class Machine:
    """A machine on which work takes what it is told to: its clock moves on by that, and by nothing else."""

    def __init__(self, rates: Rates, stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.n_passes = 50.0, 0
        unedited: set[tuple[int, ...]] = set()

        def run(passes, piece, arms):
            alone = stage.counted_of(passes, [replace(piece, arms=())])
            parts = [alone] if piece.rows not in unedited else []
            unedited.add(piece.rows)
            self.now += sum(rates.seconds(part) for part in parts)
            if piece.arms:
                self.now += rates.seconds(stage.counted_of(passes, [piece])) - rates.seconds(alone)
            self.n_passes += 1

        def write(passes, piece):
            n_texts, n_tokens = len(piece.units) * len(passes.arms), passes.sampling.max_tokens
            self.now += n_texts * (rates.text_seconds_each + n_tokens * rates.written_token_seconds)

        monkeypatch.setattr(ForcedPasses, "run", run)
        monkeypatch.setattr(ForcedPasses, "forget", lambda _: unedited.clear())
        monkeypatch.setattr(TextPasses, "run", write)

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_calibration_finds_what_the_machine_takes(study, model, monkeypatch, scale):
    [stage] = sweep_stages(study, model.head_set("*"), ("mean", "zero"))
    rates = replace(
        RATES, layer_token_seconds=2e-5 * scale, logit_row_seconds=3e-4 * scale, pass_seconds=0.02 * scale,
        text_seconds_each=0.03 * scale, written_token_seconds=1e-3 * scale,
    )  # fmt: skip
    machine = Machine(rates, stage, monkeypatch)
    found = calibrate(stage, clock=machine.clock)
    for name in ("layer_token_seconds", "logit_row_seconds", "pass_seconds"):
        assert getattr(found, name) == pytest.approx(getattr(rates, name)), name
    assert found.seconds(stage.counted()) == pytest.approx(rates.seconds(stage.counted()))
    assert found.text_seconds(900) == pytest.approx(rates.text_seconds(900))
    assert found.measured_seconds == pytest.approx(machine.now - 50.0)
    assert calibrate(stage, texts=False, clock=machine.clock).text_seconds(900) == 0.0


def test_a_slow_machine_runs_one_piece(study, model, monkeypatch):
    [stage] = sweep_stages(study, model.head_set("*"), ("mean",))
    machine = Machine(replace(RATES, pass_seconds=2 * MOST_SECONDS), stage, monkeypatch)
    found = calibrate(stage, texts=False, clock=machine.clock)
    assert found.n_timed == 2, "one piece: unedited, and under its arms"
    assert machine.n_passes == 4, "the same to warm up"
    assert found.seconds(stage.counted()) > 0


@pytest.mark.parametrize("damages_all", [False, True])
def test_places_with_logits_are_counted_where_they_are_read(study, model, damages_all):
    arms = [Arm(heads, "zero") for heads in map(model.head_set, ("1:0", "1:1", "3:2"))]
    stage = replace(study.stage("sweep", arms), damage_on="all" if damages_all else "controls")
    read = len(study.layouts) * len(study.profile.readouts)
    damaged = stage.layouts if damages_all else study.controls
    read += sum(layout.n_prompt for layout in damaged)
    assert stage.counted().logit_rows == read * (1 + len(arms))
    assert replace(stage, arms=()).counted().logit_rows == read
