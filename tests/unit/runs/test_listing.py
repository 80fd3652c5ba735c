"""Many runs: each is listed once, filters mean what they say, and SQL reads everything and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from headscope.errors import RequestError
from headscope.runs.folder import Run
from headscope.runs.listing import query_runs, summarize_runs
from tests.unit.runs.test_folder import content, request
from tests.unit.runs.test_tables import cells_of


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Three runs, one of them unfinished, one with a damaged manifest, and something else."""
    for seed, (model, concept) in enumerate([("demo", "joy"), ("gpt2", "joy"), ("demo", "awe")]):
        facts = {"model": {"name": model}, "profile": {"name": "mine"}, "timings": {"sweep": 2.0}}
        asked = request(seed=seed, options={"concepts": [concept]})
        run = Run.create(tmp_path / f"run{seed}", asked, **facts)
        verdicts = pd.DataFrame(cells_of("verdicts"))
        verdicts["verdict"] = ["carrier", "undecided" if seed == 1 else "carrier"]
        run.write_table("verdicts", verdicts)
        run.close() if seed == 2 else run.finish()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    (tmp_path / "thesis.tex").write_text("years")
    return tmp_path


def names(lab: Path, **filters: str) -> list[str]:
    return [Path(summary.run).name for summary in summarize_runs(lab, **filters)]


def test_every_run_is_listed_with_its_facts(lab: Path) -> None:
    found = {Path(summary.run).name: summary for summary in summarize_runs(lab)}
    assert list(found) == ["broken", "run0", "run1", "run2"]
    assert found["broken"].status == "damaged"
    assert found["broken"].problem == "manifest is damaged"
    assert (found["run0"].model, found["run0"].concepts, found["run0"].seconds) == ("demo", ("joy",), 2.0)
    assert found["run0"].verdicts == {"carrier": 2}
    assert found["run2"].status == "running"


def test_filters_mean_what_they_say(lab: Path) -> None:
    assert names(lab, model="demo") == ["run0", "run2"]
    assert names(lab, concept="joy") == ["run0", "run1"]
    assert names(lab, status="finished") == ["run0", "run1"]
    assert names(lab, verdict="undecided") == ["run1"]
    assert names(lab, model="demo", concept="joy") == ["run0"]
    with pytest.raises(RequestError, match="cannot be read"):
        names(lab / "nowhere")


def test_verdicts_of_steering_count_where_there_is_one(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "steered", request(), model={"name": "demo"}, profile={"name": "mine"})
    doses = pd.DataFrame(cells_of("dose_response"))
    doses["verdict"] = ["steers", ""]  # of the residual stream nothing is claimed
    run.write_table("dose_response", doses)
    run.finish()
    assert [summary.verdicts for summary in summarize_runs(tmp_path)] == [{"steers": 1}]


def test_a_thousand_runs_are_listed(tmp_path: Path, tell: Callable[[str], None]) -> None:
    run = Run.create(tmp_path / "run0", request(), model={"name": "demo"})
    run.write_table("verdicts", pd.DataFrame(cells_of("verdicts")))
    run.finish()
    files = content(run.path)
    for number in range(1, 1000):
        (tmp_path / f"run{number}" / "tables").mkdir(parents=True)
        for name, data in files.items():
            (tmp_path / f"run{number}" / name).write_bytes(data)
    begun = time.process_time()
    assert len(list(summarize_runs(tmp_path))) == 1000
    tell(f"1,000 runs listed in {time.process_time() - begun:.2f} s of processor time")


def test_sql_sees_all_runs_and_all_tables(lab: Path) -> None:
    pytest.importorskip("duckdb", reason="DuckDB is not installed")
    answer = query_runs(
        lab, "SELECT run, count(*) AS n FROM verdicts WHERE verdict = 'carrier' GROUP BY run ORDER BY run"
    )
    assert [Path(run).name for run in answer["run"]] == ["run0", "run1", "run2"]
    assert query_runs(lab, "SELECT count(*) AS n FROM runs")["n"].tolist() == [4]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("", "only one SELECT"),
        ("SELECT 1; SELECT 2", "only one SELECT"),
        ("DROP TABLE runs", "only one SELECT"),
        ("COPY (SELECT 1) TO 'pwned.csv'", "only one SELECT"),
        ("ATTACH 'pwned.db'", "only one SELECT"),
        ("CREATE TABLE pwned AS SELECT 1", "only one SELECT"),
        ("SET enable_external_access = true", "only one SELECT"),
        ("INSTALL httpfs", "only one SELECT"),
        ("SELECT * FROM read_csv('/etc/passwd')", "cannot be answered"),
        ("SELECT * FROM read_text('/etc/passwd')", "cannot be answered"),
        ("SELECT * FROM '/etc/passwd'", "cannot be answered"),
        ("SELECT * FROM glob('/*')", "cannot be answered"),
        ("SELECT nothing FROM runs", "cannot be answered"),
        ("SELECT * FROM nowhere", "cannot be answered"),
        ("frobnicate", "cannot be answered"),
    ],
)
def test_sql_reaches_no_file_and_changes_nothing(
    lab: Path, sql: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb", reason="DuckDB is not installed")
    monkeypatch.chdir(lab)
    before = content(lab)
    with pytest.raises(RequestError, match=words):
        query_runs(lab, sql)
    assert content(lab) == before


def test_without_duckdb_the_message_says_how_to_get_it(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(RequestError, match=r"headscope\[query\]"):
        query_runs(lab, "SELECT 1")
