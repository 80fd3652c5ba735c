"""One study is laid out once, however many verbs and views ask of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

import headscope as hs
from headscope.api import attention_by_region
from headscope.errors import RequestError
from headscope.measure import edits, lexicons
from headscope.settings import Keeping
from headscope.stats.template_labels import label_templates
from headscope.study import Study
from headscope.verbs.forecast import forecast_ablation, forecast_sweep
from headscope.verbs.run_folder import begin_run
from headscope.worlds.texts import CONCEPTS
from tests.small_world import small_model, small_profile

FIRST, SECOND = CONCEPTS[:2]


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def profile():
    return small_profile()


@pytest.fixture
def counted(monkeypatch):
    """How often controls were passed through the model, lexicons turned into tokens, templates labelled."""
    counts = dict.fromkeys(("control passes", "BOS passes", "lexicons", "labels"), 0)

    def counting(name, function):
        def count(*arguments, **options):
            counts[name] += 1
            return function(*arguments, **options)

        return count

    run = edits.ControlStates._run
    monkeypatch.setattr(edits.ControlStates, "_run", counting("control passes", run))
    monkeypatch.setattr(edits, "bos_outputs", counting("BOS passes", edits.bos_outputs))
    monkeypatch.setattr("headscope.study.concept_tokens", counting("lexicons", lexicons.concept_tokens))
    monkeypatch.setattr("headscope.stats.template_labels.label_templates", counting("labels", label_templates))
    return counts


def test_a_whole_run_passes_the_controls_once_a_kind_of_edit(model, profile, counted, tmp_path, monkeypatch):
    """Screen, regions, fast scores, sweep, top sets with text, random sets, random words, curves and patches."""
    for of_the_folder in ("write_plots", "write_report"):  # which never see the model
        monkeypatch.setattr(f"headscope.pipeline.line.{of_the_folder}", lambda *_, **__: None)
    hs.run(model, profile, tmp_path / "run", negative_control=True, n_random=3, max_tokens=2, languages=("en",))
    assert counted["control passes"] == 1
    assert counted["labels"] == 1
    n_readouts = len(profile.readouts)
    assert counted["lexicons"] == 2 * n_readouts, "the profile's own, and the random words of the negative control"


def test_edits_that_come_later_add_what_they_need(model, profile, counted):
    study = hs.Study(model, profile, concepts=FIRST)
    study.sweep(heads="0:1", edits=("zero",))
    assert counted["control passes"] == 0
    study.sweep(heads="0:1", edits=("mean", "zero"))
    study.ablate("0:1,1:2", edits=("mean",), generate=False)
    assert counted["control passes"] == 1
    study.sweep(heads="0:1", edits=("resample",))
    study.sweep(heads="0:1", edits=("mean", "position_mean"))
    assert counted["control passes"] == 3
    assert counted["lexicons"] == len(profile.readouts)


def test_verbs_on_one_study_give_what_they_give_alone(model, profile):
    study = hs.Study(model, profile, seed=3)
    together = [
        study.sweep(heads="0:1,2:3"), study.ablate("0:1,1:2", concept=SECOND, max_tokens=3),
        study.screen(query="after"), study.attribute(verify=2), study.attention_by_region(),
    ]  # fmt: skip
    alone = [
        hs.sweep(model, profile, heads="0:1,2:3", seed=3),
        hs.ablate(model, profile, "0:1,1:2", concept=SECOND, max_tokens=3, seed=3),
        hs.screen(model, profile, query="after", seed=3),
        hs.attribute(model, profile, verify=2, seed=3),
        attention_by_region(model, profile),
    ]
    for one, other in zip(together, alone, strict=True):
        assert one.tables.keys() == other.tables.keys()
        for name, table in one.tables.items():
            assert table.equals(other.tables[name]), name
        assert one.values.equals(other.values)


def test_a_view_asks_for_less_and_shares_the_rest(model, profile):
    study = Study(model, profile)
    view = study.only(SECOND, prompts=[prompt.id for prompt in profile.prompts_of(SECOND)[:3]])
    assert [layout.id for layout in view.layouts if layout.concept == SECOND] == [
        prompt.id for prompt in profile.prompts_of(SECOND)[:3]
    ]
    assert view.controls == study.controls
    assert view.lexicons is study.lexicons
    assert view.states(["mean"]) is study.states(["mean"])
    assert all(any(layout is whole for whole in study.layouts) for layout in view.layouts)
    with pytest.raises(RequestError, match=f"does not ask for {FIRST}"):
        view.only(FIRST)


@pytest.mark.parametrize("edit", [("zero",), ("mean",), ("mean", "zero", "resample")])
def test_a_forecast_counts_what_runs_the_controls_included(model, profile, edit):
    study = Study(model, profile, concepts=FIRST)
    forecast = forecast_sweep(study, heads="0:1,2:3", edits=edit)
    names = [stage.stage for stage in forecast.stages]
    assert names == (["sweep"] if edit == ("zero",) else ["control states", "sweep"])
    told: list[str] = []
    record = hs.sweep(
        model, profile, concepts=FIRST, heads="0:1,2:3", edits=edit, progress=lambda stage, *_: told.append(stage)
    ).record
    assert list(dict.fromkeys(told)) == names, "progress has the forecast's names"
    assert forecast.stages[-1].tokens == record["n_forward_tokens"]
    assert forecast.stages[-1].layer_tokens == record["n_layer_tokens"]
    [*_, ablation] = forecast_ablation(study, model.head_set("0:1,2:3"), edits=edit, text_tokens=0).stages
    record = hs.ablate(
        model, profile, "0:1,2:3", concept=FIRST, edits=edit, generate=False,
        progress=lambda stage, *_: told.append(stage),
    ).record  # fmt: skip
    assert told[-1] == ablation.stage
    assert ablation.layer_tokens == record["n_layer_tokens"]


def test_what_decides_the_batches_of_texts_names_the_run(model, profile, tmp_path):
    """The machine's memory decides which texts are written together, and bits depend on that."""
    writing = {"max_tokens": 3, "generate": True}
    digests = set()
    for budget in (2**28, 2**30):
        study = Study(replace(model, memory_budget_bytes=budget), profile, batch_tokens=64)
        with begin_run("ablate", study, writing, Keeping(tmp_path / str(budget))) as run:
            digests.add(run.manifest.request_digest)
            assert run.manifest.request.batch_plan.keys() == {"batch_tokens", "held_tokens", "texts_at_once"}
        with begin_run("sweep", study, {}, Keeping(tmp_path / f"{budget} sweep")) as run:
            assert run.manifest.request.batch_plan == {"batch_tokens": 64}
    assert len(digests) == 2
