"""The edit that steers any text: the vectors of steering, by dose, the same after a file has held it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import headscope as hs
from headscope.errors import RequestError
from headscope.models.edit_format import read_record
from headscope.study import Study
from headscope.terms import FITTED_VECTORS
from headscope.verbs.steer_request import SteerRequest, sets_of, steering_edit, vectors_of
from tests.small_world import small_model, small_profile

HEADS = "0:1,1:2"


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(small_model(), small_profile())


def _values(study: Study, dose: float, vector: str = "mean_difference") -> dict[str, torch.Tensor]:
    made = steering_edit(study, HEADS, study.names[0], dose, vector=vector)
    return dict(made.record(study.model).values)


@pytest.mark.parametrize("vector", FITTED_VECTORS)
def test_it_adds_the_vectors_of_steering_by_dose(study: Study, vector: str) -> None:
    concept = study.names[0]
    fitted = vectors_of(study.only(concept), concept, SteerRequest(vector=vector), None)
    one, four, back = (_values(study, dose, vector) for dose in (1.0, 4.0, -1.0))
    assert list(one) == HEADS.split(",")
    for head, value in one.items():
        layer, place = map(int, head.split(":"))
        assert torch.equal(value, torch.from_numpy(fitted.whole(layer)[place]).float())
        assert value.norm() > 0
        assert torch.equal(four[head], 4 * value)  # a power of two: no rounding
        assert torch.equal(back[head], -value)


def test_a_file_gives_it_back_with_what_it_was_fitted_to(study: Study, tmp_path: Path) -> None:
    made = steering_edit(study, HEADS, study.names[0], 2.0, note="found by hand")
    path = study.model.save_edit(tmp_path / "up.safetensors", made)
    ids = torch.tensor([[1, 2, 3]])
    logits = []
    for edit in (made, hs.load_edit(path)):
        with study.model.edit(edit) as hf, torch.inference_mode():
            logits.append(hf(input_ids=ids).logits)
    assert torch.equal(*logits)
    about = read_record(path).about
    assert about["concept"] == study.names[0]
    assert (about["dose"], about["vector"], about["note"]) == (2.0, "mean_difference", "found by hand")
    assert about["profile"] == study.profile.name
    assert "unit vector" in about["values"]


@pytest.mark.parametrize("dose", [0.0, float("nan")])
def test_a_dose_that_is_none_is_refused(study: Study, dose: float) -> None:
    with pytest.raises(RequestError, match="dose"):
        steering_edit(study, HEADS, study.names[0], dose)


def test_heads_by_concept_are_text_or_sets_and_a_concept_that_is_none_is_refused(study: Study) -> None:
    concept = study.names[0]
    chosen = study.model.head_set(HEADS)
    for heads in ({concept: HEADS}, {concept: chosen}):
        assert sets_of(study, heads, SteerRequest()) == {concept: [chosen]}
    with pytest.raises(RequestError, match='"gratitud"'):
        sets_of(study, {concept: HEADS, "gratitud": HEADS}, SteerRequest())
