"""What the page begins with is what model, profile and run hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headscope.errors import ProfileError, RequestError
from headscope.explore.facts import EXAMPLES_COUNT, check_run, facts_of, page_words, profile_of
from headscope.explore.serving import Explorer
from headscope.models.head_model import HeadModel
from headscope.profiles.loading import load_profile
from headscope.report.words import languages
from headscope.runs.folder import Run
from tests.end_to_end.conftest import type_command, write_profile

HEADS = ("0:1", "3:3")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two heads of the bundled model, removed one by one on seven templates of one concept."""
    place = tmp_path_factory.mktemp("runs")
    small = write_profile(place / "small", load_profile("baseline").prompts, ("gratitude",), 7)
    words = (
        "sweep",
        "--model",
        "demo",
        "--profile",
        small,
        "--heads",
        ",".join(HEADS),
        "--out",
        place / "run",
        "--quiet",
    )
    ended = type_command(*words)
    assert ended.code == 0, ended.err
    return Run.open(place / "run")


def test_the_model_is_told_by_its_heads_and_the_profile_by_its_first_prompts(model: HeadModel) -> None:
    baseline = load_profile("baseline")
    facts = facts_of(model, baseline, None, keep=Path("kept"), language="ja")
    assert facts["model"] == {
        "name": "demo", "n_layers": 4, "heads_per_layer": [4, 4, 4, 4], "context_length": 192, "chat": False,
        "bos": True,
    }  # fmt: skip
    assert facts["profile"]["concepts"] == list(baseline.concepts)
    assert facts["run"] is None
    assert (facts["language"], facts["keep"]) == ("ja", "kept")
    first = [one["id"] for one in facts["profile"]["examples"] if one["concept"] == "anger"]
    assert first == [prompt.id for prompt in baseline.prompts_of("anger")][:EXAMPLES_COUNT]
    for example in facts["profile"]["examples"]:
        prompt = next(one for one in baseline.prompts if one.id == example["id"])
        assert (example["text"], tuple(example["span"])) == (prompt.text, prompt.span)
    json.dumps(facts, allow_nan=False)


def test_the_page_says_its_words_in_every_language_of_the_report() -> None:
    assert set(page_words()) == set(languages())
    assert all(entries["verdicts"] and entries["name"] for entries in page_words().values())


def test_a_run_gives_its_profile_its_maps_and_its_verdicts(model: HeadModel, run: Run) -> None:
    profile = profile_of(run)
    assert profile.fingerprint == run.manifest.request.profile_fingerprint
    assert check_run(run, model) is None
    told = facts_of(model, profile, run, keep=Path("kept"))["run"]
    effect, zero = told["measures"][:2]
    assert effect["key"] == "effect:lexicon_logodds_nats:mean"
    assert zero["key"] == "effect:lexicon_logodds_nats:zero"
    effects = run.table("effects")
    for one, edit in ((effect, "mean"), (zero, "zero")):
        grid = one["by_concept"]["gratitude"]
        assert [len(row) for row in grid] == list(model.heads_per_layer)
        mine = (effects["edit"] == edit) & (effects["outcome"] == "lexicon_logodds_nats")
        rows = effects[mine & (effects["concept"] == "gratitude")]
        measured = {(row["heads"]): row["estimate"] for row in rows.to_dict("records") if row["k"] == 1}
        for layer, values in enumerate(grid):
            for head, value in enumerate(values):
                name = f"{layer}:{head}"
                if name in HEADS:
                    assert value == pytest.approx(measured[name], rel=1e-5)  # six digits
                else:
                    assert value is None
    verdicts = run.table("verdicts")
    assert [(one["heads"], one["verdict"]) for one in told["verdicts"]["gratitude"]] == list(
        zip(verdicts["heads"], verdicts["verdict"], strict=True)
    )
    assert all(one["label"]["ja"] for one in told["verdicts"]["gratitude"])


def test_a_profile_that_was_changed_since_is_refused(model: HeadModel, run: Run) -> None:
    prompts = Path(str(run.manifest.profile["source"])) / "prompts.jsonl"
    before = prompts.read_text()
    prompts.write_text(before + json.dumps({"text": "Thanks for all of it.", "concept": "gratitude"}) + "\n")
    try:
        with pytest.raises(RequestError, match="asked another profile"):
            profile_of(run)
        with pytest.raises(RequestError, match="asked another profile"):
            Explorer(model, run=run)  # which lets its port go: an open socket is a warning
        prompts.unlink()
        with pytest.raises(ProfileError):
            profile_of(run)
    finally:
        prompts.write_text(before)


def test_a_run_of_another_model_is_refused_or_told(model: HeadModel, run: Run) -> None:
    described = run.manifest.model | {"heads_per_layer": [4, 4]}
    with pytest.raises(RequestError, match="the run is of a model with other heads"):
        check_run(Run(run.path, run.manifest.model_copy(update={"model": described}), None), model)
    others = run.manifest.request.model_copy(update={"model_fingerprint": "0" * 64})
    other = Run(run.path, run.manifest.model_copy(update={"request": others}), None)
    assert "whose weights are not those of demo" in (check_run(other, model) or "")
    names = [facts_of(model, None, one, keep=Path("kept"))["run"]["other_model"] for one in (run, other)]
    assert names == [None, "demo"]
