"""`headscope steer`: a run that says how far heads move a concept, from the command line to its report."""

import json

import numpy as np
import pandas as pd
import pytest

from headscope.profiles.loading import load_profile
from headscope.runs.folder import Run
from headscope.terms import PERPLEXITY_RATIO, PRIMARY, RESIDUAL
from tests.end_to_end.conftest import type_command, write_profile

SMALL = ("--doses", "2,4", "--n-random", "3", "--max-tokens", "4")


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steer") / "few"
    bundled = load_profile("baseline")
    return write_profile(folder, bundled.prompts, ["gratitude", "anger"], 7)


def steer(profile, *words):
    return type_command("steer", "--model", "demo", "--profile", profile, *words)


@pytest.fixture(scope="module")
def run(profile, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "steer"
    ended = steer(profile, "--heads", "3:3,1:0", "--concept", "gratitude", *SMALL, "--out", out, "--json")
    assert ended.code == 0, ended.err
    return Run.open(out), ended.json


def test_the_folder_has_every_dose_its_cost_its_nulls_and_its_texts(run):
    opened, told = run
    response = opened.table("dose_response")
    assert list(response["role"]) == ["requested", RESIDUAL]
    assert [row["verdict"] for row in told["dose_response"]] == list(response["verdict"])
    steering = opened.table("steering")
    for role in ("requested", RESIDUAL):
        for outcome in (PRIMARY, PERPLEXITY_RATIO):
            rows = steering[(steering["role"] == role) & (steering["outcome"] == outcome)]
            assert list(rows["dose"]) == [2.0, 4.0]
    texts = opened.table("texts")
    assert set(texts["dose"]) == {2.0, 4.0}
    assert texts.groupby("prompt_id")["baseline_text"].nunique().max() == 1


def test_the_slope_is_that_of_the_arrays(run):
    """Least squares through no effect, by hand: template means of sum(x d) / sum(x^2) on the control prompts."""
    opened, _ = run
    values = opened.read_arrays()["steer"]
    heads = values["steered_gratitude"].sel(lexicon="gratitude").isel(edit_gratitude=[0, 1])
    change = (heads - values["baseline"].sel(lexicon="gratitude")).to_numpy()
    steered = ~np.isnan(change[0])
    slopes = (2 * change[0] + 4 * change[1]) / 20
    frame = pd.DataFrame({"template": values["template"].to_numpy()[steered], "slope": slopes[steered]})
    by_hand = frame.groupby("template")["slope"].mean().mean()
    row = opened.table("dose_response").iloc[0]
    assert row["estimate"] == pytest.approx(by_hand)
    assert row["target"] == "neutral"
    assert set(values["concept"].to_numpy()[steered]) == {"neutral"}


def test_the_report_tells_of_it(run):
    opened, _ = run
    assert type_command("report", opened.path).code == 0
    for name in ("report.md", "evidence.md"):
        text = (opened.path / name).read_text(encoding="utf-8")
        assert "1:0" in text or "L1H0" in text
        assert "σ" in text


def test_workers_give_the_same_bytes(profile, tmp_path):
    words = ("--heads", "1:0,3:3", "--concept", "gratitude", *SMALL, "--workers", "2", "--out", tmp_path / "two")
    one = ("--heads", "1:0,3:3", "--concept", "gratitude", *SMALL, "--workers", "1", "--out", tmp_path / "one")
    assert steer(profile, *words).code == 0
    assert steer(profile, *one).code == 0
    for name in ("dose_response", "steering", "steering_nulls", "texts"):
        two, alone = ((tmp_path / folder / "tables" / f"{name}.csv").read_bytes() for folder in ("two", "one"))
        assert two == alone, name


def test_scale_needs_no_vector_and_has_no_random_ones(profile, tmp_path):
    ended = steer(
        profile, "--heads", "3:3", "--concept", "gratitude", "--edit", "scale", "--doses", "0,3", "--n-random", "3",
        "--no-generate", "--out", tmp_path / "s",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    (row,) = Run.open(tmp_path / "s").table("dose_response").to_dict("records")
    assert f"gratitude, 3:3: {row['verdict']}" in ended.out  # undecided: a sentence with the reason
    (row,) = Run.open(tmp_path / "s").table("dose_response").to_dict("records")
    assert (row["vector"], row["unit"], row["n_random_vectors"]) == ("", "nats_per_factor", 0)


@pytest.mark.parametrize("words", [("--vector", "probe"), ("--scope", "from_span"), ("--target", "concept")])
def test_other_vectors_scopes_and_targets(profile, tmp_path, words):
    ended = steer(
        profile, "--heads", "3:3", "--concept", "gratitude", "--doses", "2", "--n-random", "2", "--no-generate",
        *words, "--out", tmp_path / "s",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    opened = Run.open(tmp_path / "s")
    row = opened.table("dose_response").iloc[0]
    assert row["target"] == ("gratitude" if "concept" in words else "neutral")
    ratio = opened.table("steering")
    assert ratio[ratio["outcome"] == PERPLEXITY_RATIO]["estimate"].notna().all()


def test_a_vector_of_ones_own_steers_as_the_one_it_is(profile, tmp_path):
    """Any length of the same direction is the same vector; the opposite one has the opposite slope in its own σ."""
    rng = np.random.default_rng(0)
    value = rng.standard_normal((1, 32))
    slopes = {}
    for name, given in (("one", value), ("long", 7 * value), ("back", -value)):
        np.save(tmp_path / f"{name}.npy", given)
        ended = steer(
            profile, "--heads", "3:3", "--concept", "gratitude", "--doses=-1,1", "--n-random", "1", "--no-generate",
            "--vector", tmp_path / f"{name}.npy", "--out", tmp_path / name,
        )  # fmt: skip
        assert ended.code == 0, ended.err
        slopes[name] = Run.open(tmp_path / name).table("dose_response").iloc[0]["estimate"]
    assert slopes["long"] == pytest.approx(slopes["one"])
    assert slopes["back"] == pytest.approx(-slopes["one"])


def test_heads_are_taken_from_the_verdicts_of_a_run(profile, tmp_path):
    swept = type_command(
        "run", "--model", "demo", "--profile", profile, "--until", "verdicts", "--out", tmp_path / "run", "--quiet"
    )
    assert swept.code == 0, swept.err
    verdicts = Run.open(tmp_path / "run").table("verdicts")
    alone = verdicts[~verdicts["heads"].str.contains(",") & (verdicts["concept"] == "gratitude")]
    wanted = alone["verdict"].iloc[0]
    heads = list(alone.loc[alone["verdict"] == wanted, "heads"])
    words = ("--from", tmp_path / "run", "--verdict", wanted, "--concept", "gratitude", "--each", "--doses", "2")
    ended = steer(profile, *words, "--n-random", "1", "--out", tmp_path / "s", "--json")
    assert ended.code == 0, ended.err
    response = Run.open(tmp_path / "s").table("dose_response")
    assert list(response.loc[response["role"] == "single", "heads"]) == heads
    request = json.loads((tmp_path / "s" / "manifest.json").read_text(encoding="utf-8"))["request"]
    assert request["options"]["heads"] == {"gratitude": ",".join(heads)}
    slip = steer(profile, "--from", tmp_path / "run", "--verdict", "carier", "--concept", "gratitude")
    assert slip.code == 2
    assert 'verdict "carier" does not exist' in slip.err


def test_the_dry_run_counts_it(profile):
    ended = steer(profile, "--heads", "3:3", "--concept", "gratitude", *SMALL, "--dry-run", "--json")
    assert ended.code == 0, ended.err
    assert any("random vectors" in stage["stage"] for stage in ended.json["stages"])


WRONG = [
    ("", ("--heads", "--from")),
    ("--heads 3:3 --from nothing", ("said twice",)),
    ("--heads 3:3 --verdict carrier", ("--verdict", "--from")),
    ("--heads 3:3 --doses nan", ("finite", "nan")),
    ("--heads 3:3 --doses 1,x", ("finite", "x")),
    ("--heads 3:3 --doses 0", ("none of 0",)),
    ("--heads 3:3 --edit scale --doses 1,2", ("none of 1",)),
    ("--heads 3:3 --doses 2,2", ("each once",)),
    ("--heads 9:0", ("9:0", "does not exist")),
    ("--heads 3:3 --vector nothing.npy", ("nothing.npy", "mean_difference")),
    ("--heads 3:3 --vector short.npy", ("head 3:3", "(32,)")),
    ("--heads 3:3 --vector flat.npy", ("head 3:3", "length")),
    ("--heads 3:3,1:0 --vector short.npy", ("do not fit the set",)),
    ("--heads 3:3 --vector text.npy", ("cannot be read",)),
    ("--heads 3:3 --edit scale --vector probe", ("--vector", "--edit scale")),
    ("--from nothing", ("nothing",)),
    ("--heads 3:3 --each --max-tokens 3", ("--max-tokens", "--each")),
]


@pytest.mark.parametrize(("typed", "words"), WRONG, ids=[typed or "no heads" for typed, _ in WRONG])
def test_wrong_requests_are_told_and_nothing_is_written(profile, tmp_path, monkeypatch, typed, words):
    monkeypatch.chdir(tmp_path)
    np.save("short.npy", np.ones((1, 3)))
    np.save("flat.npy", np.zeros((1, 32)))
    (tmp_path / "text.npy").write_text("no array", encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    ended = steer(profile, "--concept", "gratitude", *typed.split())
    assert ended.code == 2, ended.err
    for word in words:
        assert word in ended.err
    assert sorted(tmp_path.iterdir()) == before


def test_one_template_is_too_few_to_fit_a_vector(tmp_path):
    bundled = load_profile("baseline")
    one = write_profile(tmp_path / "one", bundled.prompts, ["gratitude"], 1)
    ended = steer(one, "--heads", "3:3", "--concept", "gratitude", "--no-generate", "--out", tmp_path / "s")
    assert ended.code == 2
    assert "templates" in ended.err
    assert not (tmp_path / "s").exists()


def test_show_prints_slopes_whose_heading_fits_every_edit(run):
    ended = type_command("show", run[0].path)
    assert ended.code == 0, ended.err
    assert "slope (nats per dose)" in ended.out
    assert "residual_stream" in ended.out
