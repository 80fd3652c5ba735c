"""Two runs beside each other: a run agrees with itself, monotone changes do not matter, and gaps are told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from headscope.errors import RequestError
from headscope.plots.selecting import lone_effects
from headscope.report.compare_page import compare, default_folder, render_comparison
from headscope.report.comparing import RunSide, compare_runs
from headscope.report.facts import facts_of
from headscope.runs.folder import Run
from headscope.runs.manifest import Request
from tests.unit.report.fake_patching import fake_patching, fake_scores
from tests.unit.report.fake_tables import CONCEPTS, PRIMARY, fake_facts, fake_tables


def side(name: str, n_layers: int = 4, n_heads: int = 4, seed: int = 0, **changes: pd.DataFrame | None) -> RunSide:
    tables = {**fake_tables(n_layers, n_heads, seed=seed), **changes}
    kept = {name: table for name, table in tables.items() if table is not None}
    return RunSide(name, kept, facts_of(fake_facts(n_layers, n_heads), kept))


def test_a_run_agrees_with_itself() -> None:
    found = compare_runs(side("a"), side("b"))
    assert len(found.agreement) == 4 * len(CONCEPTS)
    assert (found.agreement["rho"] == 1).all()
    assert (found.agreement["largest_difference"] == 0).all()
    assert found.changed.empty
    assert (found.counts["n_first"] == found.counts["n_second"]).all()
    assert found.notes == ()


def test_patches_and_predictions_are_compared_too() -> None:
    more = fake_patching() | {"scores": fake_scores(lone_effects(fake_tables()["effects"]))}
    found = compare_runs(side("a", **more), side("b", **more))
    measures = found.agreement["measure"].value_counts()
    for name in ("sufficiency", "necessity", "attribution_patching"):
        assert measures[name] == len(CONCEPTS)
    patched, scored = ({name: more[name]} for name in ("patching", "scores"))
    facts = fake_facts() | {"status": "failed"}
    one, two = (RunSide(name, of, facts_of(facts, of)) for name, of in (("a", patched), ("b", scored)))
    found = compare_runs(one, two)
    assert found.agreement.empty
    assert found.notes == (
        "a is not finished (status: failed); what it holds is compared.",
        "a has no scores; what needs them is left out.",
        "b is not finished (status: failed); what it holds is compared.",
        "b has no patching; what needs them is left out.",
    )
    assert "brings it (sufficiency)" in render_comparison(one, two, found)


def test_the_correlation_is_that_of_the_ranks_and_its_interval_holds_it() -> None:
    first, second = side("a"), side("b", seed=1)
    found = compare_runs(first, second).agreement.set_index(["concept", "measure"])
    for concept in CONCEPTS:
        rows = []
        for of in (first, second):
            effects = of.tables["effects"]
            mine = (effects["role"] == "single") & (effects["edit"] == "mean") & (effects["outcome"] == PRIMARY)
            rows.append(effects[mine & (effects["concept"] == concept)].set_index("heads")["estimate"].sort_index())
        row = found.loc[(concept, "effect_mean")]
        assert row["rho"] == pytest.approx(float(stats.spearmanr(*rows).statistic))
        assert row["ci_low"] < row["rho"] < row["ci_high"]
        apart = (rows[0] - rows[1]).abs()
        assert row["largest_difference"] == pytest.approx(apart.max())
        assert row["at_head"] == "L{}H{}".format(*apart.idxmax().split(":"))


def test_a_monotone_change_of_one_side_changes_no_correlation() -> None:
    effects = fake_tables()["effects"].copy()
    effects["estimate"] = np.exp(effects["estimate"])
    found = compare_runs(side("a"), side("b", effects=effects)).agreement
    assert (found["rho"] == 1).all()
    assert (found.loc[found["measure"] == "effect_mean", "largest_difference"] > 0).all()


def test_exactly_the_verdicts_that_differ_are_listed() -> None:
    verdicts = fake_tables()["verdicts"].copy()
    moved = verdicts.index[[0, 5]]
    verdicts.loc[moved, "verdict"] = "made up"
    found = compare_runs(side("a"), side("b", verdicts=verdicts)).changed
    assert list(zip(found["concept"], found["heads"], strict=True)) == [
        (row["concept"], row["heads"]) for row in verdicts.loc[moved].to_dict("records")
    ]
    assert set(found["verdict_second"]) == {"made up"}


def test_models_of_different_shape_have_no_heads_in_common() -> None:
    found = compare_runs(side("a"), side("b", 3, 5))
    assert found.agreement.empty
    assert found.changed.empty
    assert len(found.counts)
    assert "different shapes (4 layers, 16 heads; 3 layers, 15 heads)" in found.notes[0]


def test_what_one_run_lacks_is_named() -> None:
    found = compare_runs(side("a"), side("b", effects=None, verdicts=None))
    assert found.notes == ("b has no effects, verdicts; what needs them is left out.",)
    assert set(found.agreement["measure"]) == {"attention", "value_weighted"}
    tables = fake_tables(concepts=CONCEPTS[:2])
    fewer = RunSide("c", tables, facts_of(fake_facts(), tables))
    assert compare_runs(side("a"), fewer).notes == ("Only a has the concepts apology.",)


def _folder(path: Path, seed: int) -> Path:
    request = Request(verb="run", options={}, model_fingerprint="m", profile_fingerprint="p", seed=seed)
    with Run.create(path, request, model=fake_facts()["model"], profile={"name": "baseline"}) as made:
        for name, table in fake_tables(seed=seed).items():
            made.write_table(name, table)
    return path


def test_files_are_written_once_and_replaced_by_force_only(tmp_path: Path) -> None:
    runs = [_folder(tmp_path / str(seed), seed) for seed in range(3)]
    found, page = compare(runs[0], runs[1], tmp_path / "out")
    assert sorted(path.name for path in page.parent.iterdir()) == [
        "agreement.csv",
        "changed_verdicts.csv",
        "compare.html",
        "verdict_counts.csv",
    ]
    read = pd.read_csv(page.with_name("agreement.csv"))
    np.testing.assert_array_equal(read["rho"], found.agreement["rho"])
    before = page.read_bytes()
    compare(runs[0], runs[1], tmp_path / "out")
    assert page.read_bytes() == before
    with pytest.raises(RequestError, match="there already"):
        compare(runs[0], runs[2], tmp_path / "out")
    assert page.read_bytes() == before
    compare(runs[0], runs[2], tmp_path / "out", force=True)
    assert page.read_bytes() != before
    assert default_folder(runs[0], runs[1]).name.startswith("compare-")


def test_what_is_no_run_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="not a run folder"):
        compare(_folder(tmp_path / "a", 0), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_page_holds_both_runs_numbers_as_data() -> None:
    first, second = side("a </script><script>"), side("b", seed=1)
    page = render_comparison(first, second, compare_runs(first, second))
    assert page.count("<script") == 3
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [run["name"] for run in data["runs"]] == ["a </script><script>", "b"]
    assert len(data["agreement"]["rho"]) == 4 * len(CONCEPTS)


def test_runs_without_a_table_that_is_compared_are_refused() -> None:
    probed = RunSide("b", {"probes": pd.DataFrame({"concept": []})}, facts_of(fake_facts(), {}))
    with pytest.raises(RequestError, match="nothing to compare in b"):
        compare_runs(side("a"), probed)
