"""A run leaves a folder that can be read after every stage, stops where it was to, and goes on to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import headscope as hs
from headscope.errors import RequestError
from headscope.runs.folder import Run
from headscope.terms import STAGES
from tests.small_world import small_model, small_profile

OPTIONS = {"n_random": 3, "max_tokens": 2, "languages": ("en",), "concepts": "gratitude"}


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def profile():
    return small_profile()


@pytest.fixture(scope="module")
def whole(model, profile, tmp_path_factory):
    return hs.run(model, profile, tmp_path_factory.mktemp("whole") / "run", **OPTIONS)


def tables_of(run: Run) -> dict[str, bytes]:
    return {name: (run.path / "tables" / f"{name}.csv").read_bytes() for name in run.tables}


def statuses(run: Run) -> dict[str, str]:
    return {one["name"]: one["status"] for one in json.loads((run.path / "manifest.json").read_text())["stages"]}


def test_a_finished_run_has_done_every_stage_that_was_not_left_out(whole):
    told = statuses(whole)
    assert told == {name: "done" for name in STAGES if name != "negative_control"}
    for name in ("report.md", "evidence.md"):
        assert "How far this run is" not in (whole.path / name).read_text()


@pytest.mark.parametrize("until", ["screen", "probes", "verdicts"])
def test_a_run_that_was_to_stop_is_readable_and_the_same_request_goes_on_to_the_same_bytes(
    whole, model, profile, tmp_path, until
):
    stopped = hs.run(model, profile, tmp_path / "run", until=until, **OPTIONS)
    assert stopped.manifest.status == "stopped"
    told = statuses(stopped)
    assert told[until] == "done"
    assert {told[name] for name in STAGES[STAGES.index(until) + 1 : -1]} == {"not reached"}
    for name in ("report.md", "evidence.md"):
        assert "How far this run is" in (stopped.path / name).read_text()
    assert 'http-equiv="refresh"' not in (stopped.path / "report.html").read_text()
    assert list((stopped.path / "plots").glob("*.png")), "pictures are drawn at a stop"
    assert ("verdicts" in stopped.tables) == (until == "verdicts")
    assert "texts" not in stopped.tables
    again = hs.run(model, profile, tmp_path / "run", **OPTIONS)
    assert again.manifest.status == "finished"
    assert tables_of(again) == tables_of(whole)
    assert again.manifest.request_digest == whole.manifest.request_digest


def test_a_run_without_time_says_what_it_did_not_reach(model, profile, tmp_path):
    stopped = hs.run(model, profile, tmp_path / "run", time="0.001s", **OPTIONS)
    told = statuses(stopped)
    assert told["assay"] == "done", "what the first stage takes is not known before it"
    assert told["sweep"] == told["curves"] == "not reached"
    assert "sweep" in (stopped.manifest.error or "")
    assert (stopped.path / "report.md").exists()


def test_a_stop_in_the_middle_of_a_stage_leaves_a_report_of_the_stages_before(model, profile, tmp_path):
    seen: dict[str, str] = {}

    def stop(stage: str, done: int, total: int) -> None:
        folder = tmp_path / "run"
        if stage == "sweep" and (folder / "report.html").exists():
            seen["page"] = (folder / "report.html").read_text()
            seen["report"] = (folder / "report.md").read_text()
        if stage == "random sets":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hs.run(model, profile, tmp_path / "run", progress=stop, **OPTIONS)
    assert 'http-equiv="refresh"' in seen["page"], "a page of a run that goes on loads itself again"
    run = Run.open(tmp_path / "run")
    assert run.manifest.status == "stopped"
    told = statuses(run)
    assert told["texts"] == "done"
    assert told["nulls"] == told["curves"] == "not reached"
    assert "verdicts" in run.tables
    assert "nulls" not in run.tables
    page, report = (run.path / "report.html").read_text(), (run.path / "report.md").read_text()
    assert 'http-equiv="refresh"' not in page
    assert "How far this run is" in report


def test_a_run_with_everything_measured_is_the_superset(whole, model, profile, tmp_path):
    every = hs.run(model, profile, tmp_path / "run", complete=True, **OPTIONS)
    few, all_of_it = whole.table("effects"), every.table("effects")
    places = ["concept", "heads", "role", "outcome", "edit", "k"]
    singles = few[few["role"] == "single"].set_index(places).index
    assert set(singles) < set(all_of_it[all_of_it["role"] == "single"].set_index(places).index)
    assert whole.table("verdicts")["verdict"].equals(every.table("verdicts")["verdict"])
    assert whole.manifest.record["sweep"]["not_measured"] > 0
    assert "not_measured" not in every.manifest.record["sweep"]
    assert len(every.table("patching")) > len(whole.table("patching"))


def test_a_last_stage_that_is_left_out_leaves_no_folder(model, profile, tmp_path):
    with pytest.raises(RequestError, match="patching"):
        hs.run(model, profile, Path(tmp_path) / "run", until="patching", patching=False, **OPTIONS)
    assert not (tmp_path / "run").exists()


def test_a_run_with_everything_measured_stops_at_its_verdicts_too(model, profile, tmp_path):
    stopped = hs.run(model, profile, tmp_path / "run", complete=True, until="verdicts", **OPTIONS)
    told = statuses(stopped)
    assert (told["sweep"], told["verdicts"], told["texts"]) == ("done", "done", "not reached")
    assert "verdicts" in stopped.tables
