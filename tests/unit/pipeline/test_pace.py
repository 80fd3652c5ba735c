"""How far a run is, and what fits into its time, by a clock that the test moves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from headscope.errors import RequestError
from headscope.pipeline.pace import NEEDED, Pace, seconds_of
from headscope.runs.manifest import StageState
from headscope.stages import Counted
from headscope.terms import STAGES

WORK = {
    name: Counted(name, 1, 100, 100 * size)
    for name, size in zip(STAGES, (1, 2, 3, 4, 40, 8, 6, 20, 10, 30), strict=False)
}
STATES = (("sweep", "done"), ("verdicts", "not reached"))
LEFT_OUT = {"negative_control": "not asked for"}


class Told:
    """A folder that keeps what it is told."""

    def __init__(self, before=()) -> None:
        self.stages = []
        self.manifest = SimpleNamespace(stages=before)

    def tell_stages(self, stages) -> None:
        self.stages = [one.model_copy() for one in stages]


def pace_of(limit=None, until=None, before=(), **more):
    time = SimpleNamespace(now=100.0)
    folder = Told(before)
    pace = Pace(folder, WORK, LEFT_OUT, until=until, limit_seconds=limit, clock=lambda: time.now, **more)
    return pace, folder, time


def run(pace, time, seconds_each=lambda name: WORK[name].layer_tokens / 100):
    ran = []
    for name in STAGES:
        if pace.begins(name):
            ran.append(name)
            time.now += seconds_each(name)
            pace.done(name)
    return ran


def test_a_run_without_limit_does_every_stage_that_is_not_left_out():
    pace, folder, time = pace_of()
    assert run(pace, time) == [name for name in STAGES if name not in LEFT_OUT]
    assert pace.reached_all
    assert {one.name: one.status for one in folder.stages}["negative_control"] == "left out"
    assert [one.seconds for one in folder.stages if one.seconds is not None] == [1, 2, 3, 4, 40, 8, 6, 20, 10, 30]


def test_the_first_stage_gives_the_rate_and_a_later_one_betters_it():
    pace, folder, time = pace_of()
    assert pace.begins("assay")
    assert all(one.expected_seconds is None for one in folder.stages)
    time.now += 3.0
    pace.done("assay")
    expected = {one.name: one.expected_seconds for one in folder.stages}
    assert expected["sweep"] == pytest.approx(3.0 * 40)
    assert pace.begins("screen")
    time.now += 1.0
    pace.done("screen")
    assert {one.name: one.expected_seconds for one in folder.stages}["sweep"] == pytest.approx(0.5 * 40)


def test_a_run_that_goes_on_keeps_what_a_stage_took_when_it_was_run():
    done, cut = (StageState(name=name, status=status, seconds=50.0) for name, status in STATES)
    pace, folder, time = pace_of(before=(done, cut))
    run(pace, time, lambda name: 0.5)
    told = {one.name: one.seconds for one in folder.stages}
    assert told["sweep"] == 50.0
    assert told["verdicts"] == told["assay"] == 0.5


def test_stages_that_do_not_fit_are_not_begun_and_neither_is_what_needs_them():
    pace, folder, time = pace_of(limit=33.0)
    assert run(pace, time) == ["assay", "screen", "probes", "scores"]
    told = {one.name: one for one in folder.stages} | {one.name: one for one in pace.stages.values()}
    assert "it may take 40 s, and of --time 23 s are left" in told["sweep"].why
    for name, needed in NEEDED.items():
        assert told[name].status == "not reached"
        assert told[name].why == f"it needs the stage {needed}"
    assert not pace.reached_all


def test_a_stage_too_long_does_not_keep_a_shorter_one_from_being_run():
    pace, _, time = pace_of(limit=88.0)
    assert run(pace, time) == ["assay", "screen", "probes", "scores", "sweep", "verdicts", "texts", "nulls"]
    pace, _, time = pace_of(limit=78.0)
    assert run(pace, time) == ["assay", "screen", "probes", "scores", "sweep", "verdicts", "texts", "patching"]


@pytest.mark.parametrize("until", ["assay", "verdicts", "curves"])
def test_a_run_stops_after_the_stage_it_was_to_stop_after(until):
    pace, _, time = pace_of(until=until)
    ran = run(pace, time)
    assert ran[-1] == until
    assert pace.reached_all == (until == "curves")
    assert all(one.why == f"--until {until}" for one in pace.stages.values() if one.status == "not reached")


def test_a_stage_that_is_left_out_cannot_be_the_last():
    with pytest.raises(RequestError, match="negative_control"):
        pace_of(until="negative_control")


def test_a_run_that_is_stopped_has_not_reached_what_was_running():
    pace, folder, _ = pace_of()
    pace.begins("assay")
    pace.stopped()
    assert {one.status for one in folder.stages if one.name != "negative_control"} == {"not reached"}


def test_texts_count_by_what_is_written():
    pace, folder, time = pace_of(text_layer_tokens=400)
    pace.begins("assay")
    time.now += 1.0
    pace.done("assay")
    assert {one.name: one.expected_seconds for one in folder.stages}["texts"] == pytest.approx(6 + 4)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("90s", 90), ("1.5H", 5400)]
)
def test_times_are_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "0m", "-5m", "30 minutes", "1m1h", "infh"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(RequestError, match="--time is no time"):
        seconds_of(text)
