"""What a dry run says is what the run then does; and it leaves nothing behind."""

import json
from pathlib import Path

import pytest

from headscope.profiles.loading import load_profile
from headscope.stats.power import smallest_detectable_d
from tests.end_to_end.conftest import write_profile


@pytest.fixture(scope="module")
def tiny_profile(tmp_path_factory):
    bundled = load_profile("baseline")
    return write_profile(tmp_path_factory.mktemp("profiles") / "tiny", bundled.prompts, ("gratitude",), 4)


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_the_work_foretold_is_the_work_done(headscope, small_profile, tmp_path):
    request = ("sweep", "--model", "demo", "--profile", small_profile, "--concept", "anger", "--edit", "mean")
    told = headscope(*request, "--heads", "3:*", "--out", "here", "--dry-run", "--json")
    assert told.code == 0
    assert files(tmp_path) == []
    assert headscope(*request, "--heads", "3:*", "--out", "here", "--quiet").code == 0
    done = json.loads((tmp_path / "here" / "manifest.json").read_text())["record"]["sweep"]
    states, sweep = told.json["stages"]
    assert states["stage"] == "control states"
    assert states["forward_passes"] > 0
    assert sweep["tokens"] == done["n_forward_tokens"]
    assert not sweep["is_bound"]
    assert told.json["seconds"] > 0
    assert told.json["peak_mib"] > told.json["weights_mib"] > 0


def test_the_negative_control_is_foretold_changes_nothing_else_and_stands_in_its_own_table(
    headscope, small_profile, tmp_path
):
    request = ("sweep", "--model", "demo", "--profile", small_profile, "--concept", "anger", "--edit", "mean")
    told = headscope(*request, "--negative-control", "--dry-run", "--json")
    assert headscope(*request, "--out", "with", "--negative-control", "--quiet").code == 0
    assert headscope(*request, "--out", "without", "--quiet").code == 0
    record = json.loads((tmp_path / "with" / "manifest.json").read_text())["record"]
    tokens = {stage["stage"]: stage["tokens"] for stage in told.json["stages"]}
    assert tokens.pop("control states") > 0
    assert tokens == {
        "sweep": record["sweep"]["n_forward_tokens"],
        "negative control": record["negative_control"]["n_forward_tokens"],
    }
    tables = {path.name for path in (tmp_path / "without" / "tables").iterdir()}
    assert {path.name for path in (tmp_path / "with" / "tables").iterdir()} == tables | {"negative_control.csv"}
    for name in tables:
        with_it, without = (tmp_path / folder / "tables" / name for folder in ("with", "without"))
        assert with_it.read_bytes() == without.read_bytes(), name
    assert headscope("report", "with").code == 0
    for name in ("report.md", "evidence.md"):
        said = (tmp_path / "with" / name).read_text(encoding="utf-8")
        assert "cannot call a head a carrier, because no screen was made" in said


def test_a_sweep_without_the_deciding_edit_is_refused_before_the_model_is_loaded(headscope, small_profile, tmp_path):
    refused = headscope("sweep", "--model", "nowhere", "--profile", small_profile, "--edit", "zero")
    assert refused.code == 2
    assert '"mean" decides' in refused.err
    assert files(tmp_path) == []


def test_a_run_is_foretold_stage_by_stage_and_writes_nothing(headscope, small_profile, tmp_path):
    told = headscope("run", "--model", "demo", "--profile", small_profile, "--n-random", "3", "--dry-run")
    assert told.code == 0, told.err
    assert files(tmp_path) == []
    for words in ("sweep", "nulls", "curves", "an estimate", "nothing was written"):
        assert words in told.out
    assert f"{smallest_detectable_d(7, n_tests=32):.3g}" in told.out


def test_a_run_says_what_both_budgets_cost_and_which_it_takes(headscope, small_profile, tmp_path):
    request = ("run", "--model", "demo", "--profile", small_profile, "--concept", "anger", "--top-n", "2")
    told = {budget: headscope(*request, "--budget", budget, "--dry-run", "--json").json for budget in ("auto", "fast")}
    assert files(tmp_path) == []
    for budget, chosen in (("auto", "exact"), ("fast", "fast")):
        costs = {cost["budget"]: cost for cost in told[budget]["budgets"]}
        assert told[budget]["budget"] == chosen
        assert [name for name, cost in costs.items() if cost["chosen"]] == [chosen]
        assert costs["fast"]["tokens"] < costs["exact"]["tokens"]
        assert told[budget]["forward_passes"] == costs[chosen]["forward_passes"]
        assert costs[chosen]["tokens"] == sum(stage["tokens"] for stage in told[budget]["stages"])
    stages = {budget: {stage["stage"]: stage for stage in told[budget]["stages"]} for budget in told}
    assert "curves" in stages["auto"]
    assert "curves" not in stages["fast"]
    assert [stages[budget]["sweep"]["is_assumed"] for budget in ("auto", "fast")] == [False, True]
    done = headscope(*request, "--budget", "fast", "--out", "fast", "--until", "sweep", "--quiet")
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "fast" / "manifest.json").read_text())["record"]
    assert 0 < record["sweep"]["n_forward_tokens"] <= stages["fast"]["sweep"]["tokens"]
    # One batch: what the gradients cost, and one pass of direct attribution.
    assert stages["fast"]["scores"]["forward_passes"] == record["attribute"]["n_passes_per_batch"] + 1


def test_patching_is_foretold_and_writes_nothing(headscope, small_profile, tmp_path):
    request = ("patch", "--model", "demo", "--profile", small_profile, "--concept", "anger", "--heads", "3:0,3:3")
    told = headscope(*request, "--n-random", "2", "--max-tokens", "5", "--dry-run", "--json")
    assert told.code == 0, told.err
    assert files(tmp_path) == []
    assert told.json["seconds"] > 0
    n_targets = sum(row["n_prompts"] for row in told.json["reach"])
    assert told.json["text_tokens"] == 5 * 3 * n_targets
    assert [row["concept"] for row in told.json["reach"]] == ["anger, sufficiency", "anger, necessity"]


def test_too_few_templates_are_told_before_the_run(headscope, tiny_profile, tmp_path):
    told = headscope("ablate", "--model", "demo", "--profile", tiny_profile, "--heads", "3:3", "--dry-run")
    assert told.code == 0, told.err
    assert "4 templates are descriptive only" in told.err
    assert files(tmp_path) == []
