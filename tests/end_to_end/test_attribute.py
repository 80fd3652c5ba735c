"""Fast scores from the command line, alone and as the budget of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headscope.api import run
from headscope.errors import RequestError
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.runs.folder import Run
from tests.end_to_end.conftest import SMALL, Outcome, type_command


@pytest.fixture(scope="module")
def fast_run(tmp_path_factory: pytest.TempPathFactory, small_profile: Path) -> Run:
    """A run with a fast budget; only to be read."""
    folder = tmp_path_factory.mktemp("runs") / "fast"
    command = ("run", "--model", "demo", "--profile", small_profile, "--out", folder, "--budget", "fast")
    ended = type_command(*command, "--top-n", "2", *SMALL)
    assert ended.code == 0, ended.err
    return Run.open(folder)


def test_a_fast_run_measures_the_top_and_as_many_random_heads_exactly_and_confirms_nothing(fast_run: Run) -> None:
    scores, effects = fast_run.table("scores"), fast_run.table("effects")
    chosen = scores[(scores["measure"] == "attribution_patching") & (scores["rank"] <= 2)]
    top = set(zip(chosen["layer"], chosen["head"], strict=True))
    alone = effects[(effects["role"] == "single") & (effects["outcome"] == "lexicon_logodds_nats")]
    swept = set(zip(alone["layer"], alone["head"], strict=True))
    assert top < swept
    assert len(swept) == 2 * len(top)
    assert set(alone["status"]) == {"exploratory"}
    agreement = fast_run.table("agreement")
    assert set(agreement["n_random"]) == {len(top)}
    assert agreement["note"].str.contains("under 30 random heads: recall not estimated").all()
    assert agreement["recall_low"].isna().all()


def test_an_exact_run_has_every_head_both_ways(small_run: tuple[Path, Outcome]) -> None:
    done = Run.open(small_run[0])
    scores = done.table("scores")
    known = scores["exact_estimate"].notna()
    assert known[scores["edit"] != "zero"].all()
    zero = done.table("effects").query("edit == 'zero' and role == 'single'")
    places = set(zip(zero["concept"], zero["layer"], zero["head"], strict=True))
    under_zero = scores[scores["measure"] == "gate_gradient"]
    where = list(zip(under_zero["concept"], under_zero["layer"], under_zero["head"], strict=True))
    assert known[under_zero.index].tolist() == [place in places for place in where]
    assert set(done.table("agreement")["note"]) == {"every head was measured exactly"}
    repair = done.table("effects").query("outcome == 'self_repair_nats'")
    assert len(repair) == 2 * 16
    exact = done.table("effects").query(
        "outcome == 'lexicon_logodds_nats' and edit == 'mean' and role == 'single' and concept == 'anger'"
    )
    beside = scores.query("measure == 'attribution_patching' and concept == 'anger'")
    assert sorted(beside["exact_estimate"]) == sorted(exact["estimate"])
    values = done.read_arrays()["attribute"]
    assert values["attribution_patching"].dims == ("prompt", "layer", "head")


def test_attribute_leaves_a_folder_and_the_same_request_finds_it(
    small_profile: Path, headscope: Callable[..., Outcome]
) -> None:
    command = ("attribute", "--model", "demo", "--profile", small_profile, "--concept", "anger", "--json")
    first = headscope(*command, "--verify", "1", "--steps", "2", "--out", "a")
    again = headscope(*command, "--verify", "1", "--steps", "2", "--out", "a")
    assert first.code == again.code == 0, first.err
    assert first.json["scores"] == again.json["scores"]
    assert first.json["scores"][0]["measure"] == "attribution_patching"
    assert {"scores", "components", "agreement", "effects", "assay"} <= set(first.json["tables"])
    other = headscope(*command, "--verify", "1", "--steps", "3", "--out", "a")
    assert other.code == 2
    assert "steps: 2 there, 3 here" in other.err


def test_without_gradients_an_exact_run_says_so_and_a_fast_one_is_refused(small_profile: Path, tmp_path: Path) -> None:
    model, profile = load_model("demo"), load_profile(small_profile)
    # What inference-only kernels do: the projection's result has no history.
    model.anatomy.layers[1].projection.register_forward_hook(lambda _, args, output: output.detach())
    with pytest.raises(RequestError, match="gradients do not pass through"):
        run(model, profile, tmp_path / "fast", budget="fast")
    assert not (tmp_path / "fast").exists()
    options = {"top_k": 1, "n_random": 1, "max_tokens": 2, "concepts": "anger", "edits": ("mean",)}
    done = run(model, profile, tmp_path / "exact", **options)
    assert "scores" not in done.tables
    assert any("no fast scores: gradients do not pass" in warning for warning in done.manifest.warnings)


def test_a_sweep_of_hours_becomes_a_fast_run_that_says_so(
    small_profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headscope.verbs.budget.LONGEST_RUN_HOURS", 0.0)
    model, profile = load_model("demo"), load_profile(small_profile)
    options = {"top_k": 1, "top_n": 2, "n_random": 1, "max_tokens": 2, "concepts": "anger", "edits": ("mean",)}
    done = run(model, profile, tmp_path / "auto", patching=False, **options)
    assert done.manifest.request.options["budget"] == "fast"
    assert any("the budget is fast: a run that edits every head counts as" in one for one in done.manifest.warnings)
    effects = done.table("effects")
    assert "confirmatory" not in set(effects["status"])
