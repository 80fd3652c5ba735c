"""A kind of edit of one's own is measured like headscope's, and names the run."""

from __future__ import annotations

import numpy as np
import pytest

import headscope as hs
from headscope.errors import RequestError
from headscope.measure import edit_kinds
from headscope.settings import Keeping
from headscope.verbs.run_folder import begin_run
from headscope.worlds.texts import CONCEPTS
from tests.small_world import small_model, small_profile
from tests.tolerances import nats_error


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def profile():
    return small_profile()


@pytest.fixture(autouse=True)
def only_here(monkeypatch):
    monkeypatch.setattr(edit_kinds, "KINDS", edit_kinds.KINDS)
    before = dict(edit_kinds.KINDS)
    yield
    edit_kinds.KINDS.clear()
    edit_kinds.KINDS.update(before)


def test_an_edit_that_gives_what_another_gives_has_its_effects(model, profile):
    hs.edit_kind("my_mean")(lambda controls, prompt, layer, places: controls.mean(prompt, layer))
    hs.edit_kind("my_zero")(lambda controls, prompt, layer, places: 0.0 * controls.mean(prompt, layer))

    @hs.edit_kind("my_resample", by_token=True, varies_with="prompt")
    def my_resample(controls, prompt, layer, places):
        return controls.resampled(prompt, layer, places)

    pairs = {"my_mean": "mean", "my_zero": "zero", "my_resample": "resample"}
    values = hs.sweep(model, profile, heads="1:0,2:1", concepts=CONCEPTS[0], edits=(*pairs, *pairs.values())).values
    for own, known in pairs.items():
        of_own, of_known = (values["edited"][(values["kind"] == kind).to_numpy()].to_numpy() for kind in (own, known))
        assert np.allclose(of_own, of_known, atol=nats_error(model))


def test_the_source_of_an_edit_names_the_run(model, profile, tmp_path):
    digests = []
    for factor in (0.5, 0.25):
        text = f"lambda controls, prompt, layer, places: {factor} * controls.mean(prompt, layer)"
        hs.edit_kind("some_mean")(eval(text))  # noqa: S307 - two functions of one name
        study = hs.Study(model, profile)
        with begin_run("sweep", study, {"edits": ["some_mean"]}, Keeping(tmp_path / str(factor))) as run:
            digests.append(run.manifest.request_digest)
            assert run.manifest.request.options["own_edits"].keys() == {"some_mean"}
    assert digests[0] != digests[1]
    with begin_run("sweep", hs.Study(model, profile), {"edits": ["mean"]}, Keeping(tmp_path / "plain")) as run:
        assert run.manifest.request.options == {"edits": ["mean"]}


@pytest.mark.parametrize("name", ["mean", "patch", "Mine", "my edit", ""])
def test_a_name_that_is_taken_or_no_name_is_refused(name):
    with pytest.raises(RequestError, match="cannot be named"):
        hs.edit_kind(name)
